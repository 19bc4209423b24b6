#include <cpp11.hpp>

#include <string>
#include <vector>

#include "core/diagnostics.hpp"
#include "core/sampler.hpp"
#include "core/summarise.hpp"

// Direct calls of the samplers on a problem, and their diagnostics, for tests and benchmarks.

namespace {

using namespace cpp11::literals;

// counts: algorithms x causes; matrices: causes x causes each; fixed: one per algorithm; calibrated: as counts.
vacal::Problem read_problem(const cpp11::list& x) {
  const cpp11::doubles counts(x["counts"]), prior(x["prior"]);
  const cpp11::list matrices(x["matrices"]);
  const cpp11::logicals fixed(x["fixed"]), calibrated(x["calibrated"]);
  const int n = static_cast<int>(prior.size()), n_algorithms = static_cast<int>(matrices.size());
  vacal::Problem problem;
  problem.n_causes = n;
  problem.prior.assign(prior.begin(), prior.end());
  for (int k = 0; k < n_algorithms; ++k) {
    const cpp11::doubles m(matrices[k]);
    vacal::AlgorithmData data;
    data.fixed = fixed[k] == TRUE;
    for (int i = 0; i < n; ++i) {
      data.counts.push_back(counts[k + n_algorithms * i]);
      data.calibrated.push_back(calibrated[k + n_algorithms * i] == TRUE);
      for (int j = 0; j < n; ++j) data.matrix.push_back(m[i + n * j]);
    }
    problem.algorithms.push_back(data);
  }
  return problem;
}

vacal::Method method_named(const std::string& name) {
  if (name == "importance") return vacal::Method::importance;
  return name == "hmc" ? vacal::Method::hmc : vacal::Method::automatic;
}

}  // namespace

cpp11::writable::list sample_problem_(cpp11::list problem, cpp11::list work, std::string stratum, std::string fit,
                                      std::string method) {
  vacal::Work w;
  w.draws = cpp11::as_cpp<int>(work["draws"]);
  w.effective_draws = cpp11::as_cpp<double>(work["effective_draws"]);
  w.budget = static_cast<long long>(cpp11::as_cpp<double>(work["budget"]));
  const vacal::Key key{static_cast<std::uint64_t>(cpp11::as_cpp<double>(work["seed"])), vacal::hash_text(stratum),
                       vacal::hash_text(fit)};
  const auto heartbeat = [] { cpp11::check_user_interrupt(); };
  const vacal::Fit f = vacal::sample(read_problem(problem), w, key, heartbeat, method_named(method));
  return {"p"_nm = cpp11::writable::doubles(f.p.begin(), f.p.end()),
          "rhat"_nm = f.rhat,
          "ess_bulk"_nm = f.ess_bulk,
          "ess_tail"_nm = f.ess_tail,
          "sampler"_nm = f.sampler,
          "reason"_nm = f.reason,
          "acceptance"_nm = f.acceptance,
          "evaluations"_nm = static_cast<double>(f.evaluations),
          "divergences"_nm = f.divergences,
          "converged"_nm = f.converged};
}

cpp11::writable::doubles diagnose_(cpp11::doubles chains, int n_chains) {
  const R_xlen_t length = chains.size() / n_chains;
  vacal::diagnostics::Chains columns;
  for (int c = 0; c < n_chains; ++c) {
    columns.emplace_back(chains.begin() + c * length, chains.begin() + (c + 1) * length);
  }
  const vacal::diagnostics::Diagnostics d = vacal::diagnostics::diagnose(columns);
  return {"rhat"_nm = d.rhat, "ess_bulk"_nm = d.ess_bulk, "ess_tail"_nm = d.ess_tail};
}
