#include <cpp11.hpp>

#include <string>
#include <vector>

#include "core/common_matrices.hpp"
#include "core/common_sampler.hpp"
#include "core/summarise.hpp"

// Common matrix draws: what baselines are made of.

namespace {

using namespace cpp11::literals;
namespace writable = cpp11::writable;

writable::doubles to_r(const std::vector<double>& x) { return writable::doubles(x.begin(), x.end()); }

vacal::Key read_key(const cpp11::list& key) {
  return {static_cast<std::uint64_t>(cpp11::as_cpp<double>(key["seed"])),
          vacal::hash_text(cpp11::as_cpp<std::string>(key["stratum"])), vacal::hash_text(cpp11::as_cpp<std::string>(key["fit"]))};
}

// counts: algorithms x causes; matrices: causes x causes each, Dirichlet parameters or rates; fixed: one per algorithm;
// calibrated: as counts.
vacal::Problem read_country(const cpp11::list& x) {
  const cpp11::doubles counts(x["counts"]);
  const cpp11::list matrices(x["matrices"]);
  const cpp11::logicals fixed(x["fixed"]), calibrated(x["calibrated"]);
  const int k_total = static_cast<int>(matrices.size()), n = static_cast<int>(counts.size()) / k_total;
  vacal::Problem problem;
  problem.n_causes = n;
  problem.prior.assign(n, 1.0);
  for (int k = 0; k < k_total; ++k) {
    const cpp11::doubles m(matrices[k]);
    vacal::AlgorithmData data;
    data.fixed = fixed[k] == TRUE;
    for (int i = 0; i < n; ++i) {
      data.counts.push_back(counts[k + k_total * i]);
      data.calibrated.push_back(calibrated[k + k_total * i] == TRUE);
      for (int j = 0; j < n; ++j) data.matrix.push_back(m[i + n * j]);
    }
    problem.algorithms.push_back(data);
  }
  return problem;
}

// One key an algorithm, by its name.
std::vector<vacal::Key> algorithm_keys(const vacal::Key& country, const cpp11::strings& algorithms) {
  std::vector<vacal::Key> keys;
  for (const auto& name : algorithms) keys.push_back({country.seed, country.stratum, vacal::hash_text(std::string(name))});
  return keys;
}

}  // namespace

// The matrices' own distributions: draws x algorithms x causes x VA causes, row-major.
cpp11::writable::doubles draw_matrices_(cpp11::list problem, cpp11::strings algorithms, int draws, cpp11::list key) {
  return to_r(vacal::common::draw_matrices(read_country(problem), draws, algorithm_keys(read_key(key), algorithms)));
}

// Matrices and fractions given the counts.
cpp11::writable::list sample_country_(cpp11::list problem, cpp11::strings algorithms, cpp11::list work, cpp11::list key) {
  vacal::Work w;
  w.draws = cpp11::as_cpp<int>(work["draws"]);
  w.effective_draws = cpp11::as_cpp<double>(work["effective_draws"]);
  w.budget = static_cast<long long>(cpp11::as_cpp<double>(work["budget"]));
  const vacal::Key own = read_key(key);
  const vacal::common::CountryFit f = vacal::common::sample_country(read_country(problem), w, algorithm_keys(own, algorithms),
                                                                    own, [] { cpp11::check_user_interrupt(); });
  return {"matrices"_nm = to_r(f.m),
          "p"_nm = to_r(f.fit.p),
          "rhat"_nm = f.fit.rhat,
          "ess_bulk"_nm = f.fit.ess_bulk,
          "ess_tail"_nm = f.fit.ess_tail,
          "converged"_nm = f.fit.converged,
          "divergences"_nm = f.fit.divergences,
          "evaluations"_nm = static_cast<double>(f.fit.evaluations)};
}

// matrices: draws x algorithms x causes x VA causes, row-major, as is centres: strata x draws x causes; counts: strata x
// algorithms x causes, row-major. Several strata, each with the key of its name.
cpp11::writable::list sample_common_(cpp11::doubles matrices, cpp11::doubles counts, cpp11::doubles centres,
                                     cpp11::strings strata, cpp11::list shape, cpp11::list key) {
  const int draws = cpp11::as_cpp<int>(shape["draws"]), k = cpp11::as_cpp<int>(shape["algorithms"]);
  const int n = cpp11::as_cpp<int>(shape["causes"]);
  const cpp11::doubles inner(shape["inner"]);
  const vacal::common::InnerWork work{static_cast<int>(inner[0]), static_cast<int>(inner[1]), static_cast<int>(inner[2]),
                                      inner[3], inner[4]};
  const std::vector<double> m(matrices.begin(), matrices.end());
  const vacal::common::MatrixDraws common(m.data(), draws, k, n);
  vacal::Key own = read_key(key);
  writable::doubles p, correlation, acceptance, log_likelihood;
  writable::integers impossible;
  p.reserve(strata.size() * draws * n);
  for (R_xlen_t s = 0; s < strata.size(); ++s) {
    cpp11::check_user_interrupt();
    own.stratum = vacal::hash_text(std::string(strata[s]));
    const std::vector<double> a(counts.begin() + s * k * n, counts.begin() + (s + 1) * k * n);
    const std::vector<double> prior(centres.begin() + s * draws * n, centres.begin() + (s + 1) * draws * n);
    const vacal::common::CommonFit fit = vacal::common::sample_common(common, a, prior, work, own);
    for (const double x : fit.p) p.push_back(x);
    for (const double x : fit.log_likelihood) log_likelihood.push_back(x);
    correlation.push_back(fit.correlation);
    acceptance.push_back(fit.acceptance);
    impossible.push_back(fit.impossible);
  }
  return {"p"_nm = p, "correlation"_nm = correlation, "acceptance"_nm = acceptance, "impossible"_nm = impossible,
          "log_likelihood"_nm = log_likelihood};
}
