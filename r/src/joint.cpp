#include <cpp11.hpp>

#include <chrono>
#include <string>
#include <vector>

#include "batch_columns.h"
#include "core/joint.hpp"

// The joint model: whole calibrations, and the sampler and its density alone, for tests and studies.

namespace {

using namespace cpp11::literals;
namespace writable = cpp11::writable;
using vacal::joint::JointResult;
using vacal::joint::JointSummary;

writable::list fit_columns(const JointResult& result, const std::vector<vacal::AlgorithmModel>& models) {
  writable::strings algorithm, reason;
  writable::doubles nation_rhat, nation_bulk, nation_tail, strata_rhat, strata_bulk, strata_tail, relabelled, acceptance,
      evaluations, budget, phi_mean, phi_low, phi_high;
  writable::integers divergences, transitions;
  writable::logicals converged, published;
  for (std::size_t k = 0; k < result.fits.size(); ++k) {
    const JointSummary& fit = result.fits[k];
    if (!fit.fitted) continue;
    const auto& d = fit.diagnostics;
    algorithm.push_back(cpp11::r_string(batch::fit_name(models, k)));
    converged.push_back(cpp11::r_bool(d.converged));
    published.push_back(cpp11::r_bool(d.publishable()));
    reason.push_back(batch::na_if_empty(d.reason));
    nation_rhat.push_back(d.nation.rhat);
    nation_bulk.push_back(d.nation.ess_bulk);
    nation_tail.push_back(d.nation.ess_tail);
    strata_rhat.push_back(d.strata.rhat);
    strata_bulk.push_back(d.strata.ess_bulk);
    strata_tail.push_back(d.strata.ess_tail);
    divergences.push_back(d.divergences);
    transitions.push_back(d.transitions);
    acceptance.push_back(d.acceptance);
    relabelled.push_back(d.relabelled);
    evaluations.push_back(static_cast<double>(d.evaluations));
    budget.push_back(static_cast<double>(d.budget));
    phi_mean.push_back(fit.phi_mean);
    phi_low.push_back(fit.phi_low);
    phi_high.push_back(fit.phi_high);
  }
  return {"algorithm"_nm = algorithm,
          "converged"_nm = converged,
          "published"_nm = published,
          "reason"_nm = reason,
          "rhat_nation"_nm = nation_rhat,
          "ess_bulk_nation"_nm = nation_bulk,
          "ess_tail_nation"_nm = nation_tail,
          "rhat_strata"_nm = strata_rhat,
          "ess_bulk_strata"_nm = strata_bulk,
          "ess_tail_strata"_nm = strata_tail,
          "divergences"_nm = divergences,
          "transitions"_nm = transitions,
          "acceptance"_nm = acceptance,
          "relabelled"_nm = relabelled,
          "evaluations"_nm = evaluations,
          "budget"_nm = budget,
          "phi_mean"_nm = phi_mean,
          "phi_q025"_nm = phi_low,
          "phi_q975"_nm = phi_high};
}

// Causes that deviate are given as one text: positions from 1, separated by commas.
writable::list misfit_columns(const JointResult& result, const std::vector<vacal::AlgorithmModel>& models) {
  writable::strings fit_name, algorithm, causes;
  writable::integers stratum;
  writable::doubles p_value, scatter;
  writable::logicals misfit;
  for (std::size_t k = 0; k < result.fits.size(); ++k) {
    for (const vacal::joint::MisfitRow& row : result.fits[k].misfits) {
      if (std::isnan(row.found.p_value)) continue;
      std::string text;
      for (const int c : row.causes) text += (text.empty() ? "" : ",") + std::to_string(c + 1);
      stratum.push_back(static_cast<int>(row.stratum) + 1);
      fit_name.push_back(cpp11::r_string(batch::fit_name(models, k)));
      algorithm.push_back(cpp11::r_string(models[row.algorithm].name));
      p_value.push_back(row.found.p_value);
      scatter.push_back(row.found.scatter);
      misfit.push_back(cpp11::r_bool(row.found.misfit()));
      causes.push_back(batch::na_if_empty(text));
    }
  }
  return {"stratum"_nm = stratum, "fit"_nm = fit_name,  "algorithm"_nm = algorithm, "p_value"_nm = p_value,
          "scatter"_nm = scatter, "misfit"_nm = misfit, "causes"_nm = causes};
}

// counts: strata x algorithms x causes; matrices: causes x causes each; fixed: one per algorithm; calibrated:
// algorithms x causes.
vacal::joint::JointProblem read_joint_problem(const cpp11::list& x) {
  const cpp11::doubles counts(x["counts"]);
  const cpp11::list matrices(x["matrices"]);
  const cpp11::logicals fixed(x["fixed"]), calibrated(x["calibrated"]);
  const int k_total = static_cast<int>(matrices.size()), n = static_cast<int>(calibrated.size()) / k_total;
  const int s_total = static_cast<int>(counts.size()) / (k_total * n);
  vacal::joint::JointProblem out;
  out.pooled.n_causes = n;
  out.pooled.prior.assign(n, 1.0);
  out.counts.assign(s_total, {});
  out.scatter = cpp11::as_cpp<bool>(x["scatter"]);
  for (int k = 0; k < k_total; ++k) {
    const cpp11::doubles m(matrices[k]);
    vacal::AlgorithmData data;
    data.fixed = fixed[k] == TRUE;
    for (int i = 0; i < n; ++i) {
      data.calibrated.push_back(calibrated[k + k_total * i] == TRUE);
      for (int j = 0; j < n; ++j) data.matrix.push_back(m[i + n * j]);
    }
    data.counts.assign(n, 0.0);
    for (int s = 0; s < s_total; ++s) {
      for (int c = 0; c < n; ++c) {
        const double a = counts[s + s_total * (k + k_total * c)];
        data.counts[c] += a;
        out.counts[s].push_back(a);
      }
    }
    out.pooled.algorithms.push_back(data);
  }
  return out;
}

// What R is told while it waits: each fit's end, and of the fit that runs a line after each check, and every 15 s.
class Progress {
 public:
  Progress(SEXP callback, const std::vector<vacal::AlgorithmModel>& models, std::size_t n_strata, int n_fits)
      : callback_(callback), models_(models), n_strata_(n_strata), n_fits_(n_fits) {}

  void after_fit(std::size_t k) {
    tell(k, static_cast<int>(k) + 1, NA_STRING);
    checks_ = 0;
  }

  void heartbeat(std::size_t k, const vacal::joint::JointStatus& now) {
    cpp11::check_user_interrupt();
    const auto time = std::chrono::steady_clock::now();
    if (now.checks == checks_ && time - last_ < std::chrono::seconds(15)) return;
    checks_ = now.checks;
    last_ = time;
    const std::string line = "joint fit " + batch::fit_name(models_, k) + ", " + vacal::joint::with_commas(n_strata_) +
                             (n_strata_ == 1 ? " stratum: " : " strata: ") + vacal::joint::words(now);
    tell(k, static_cast<int>(k), cpp11::r_string(line));
  }

 private:
  void tell(std::size_t k, int done, const cpp11::r_string& line) const {
    if (Rf_isNull(callback_)) return;
    cpp11::function call(callback_);
    call(NA_INTEGER, batch::fit_name(models_, k).c_str(), done, n_fits_, "line"_nm = writable::strings({line}));
  }

  SEXP callback_;
  const std::vector<vacal::AlgorithmModel>& models_;
  std::size_t n_strata_;
  int n_fits_, checks_ = 0;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

writable::doubles to_r(const std::vector<double>& x) { return writable::doubles(x.begin(), x.end()); }

}  // namespace

cpp11::writable::list calibrate_joint_(cpp11::list data, cpp11::list settings, int threads, SEXP progress) {
  const std::vector<vacal::AlgorithmModel> models = batch::read_models(data);
  const std::size_t n = models.front().left.size();
  const std::vector<vacal::Stratum> strata = batch::read_strata(data, static_cast<int>(n));
  vacal::Settings s = batch::read_settings(settings);
  s.work.budget = static_cast<long long>(cpp11::as_cpp<double>(settings["budget"]));
  const int total = static_cast<int>(models.size() + (s.ensemble ? 1 : 0));
  Progress told(progress, models, strata.size(), total);
  const auto after_fit = [&](std::size_t k) { told.after_fit(k); };
  const auto heartbeat = [&](std::size_t k, const vacal::joint::JointStatus& now) { told.heartbeat(k, now); };
  const JointResult result = vacal::joint::JointCalibration(strata, models, s, threads, after_fit, heartbeat).run();
  const std::size_t n_draws = static_cast<std::size_t>(s.work.draws);
  return {"estimates"_nm = batch::estimates_columns(result.strata, models),
          "quantiles"_nm = batch::quantile_values(result.strata, s.quantiles.size()),
          "fits"_nm = batch::fits_columns(result.strata, models),
          "matrices_used"_nm = batch::used_matrices(result.strata, models.size(), n),
          "matrices_published"_nm = batch::published_matrices(models, n),
          "calibrated_causes"_nm = batch::calibrated_causes(models, n),
          "draws"_nm = s.keep_draws ? batch::draws_array(result.strata, n_draws, n) : R_NilValue,
          "joint_fits"_nm = fit_columns(result, models),
          "misfit"_nm = misfit_columns(result, models)};
}

cpp11::writable::list sample_joint_(cpp11::list problem, cpp11::list work) {
  const vacal::joint::JointProblem data = read_joint_problem(problem);
  const vacal::joint::JointWork w{cpp11::as_cpp<int>(work["draws"]), cpp11::as_cpp<double>(work["effective_draws"]),
                                  static_cast<long long>(cpp11::as_cpp<double>(work["budget"])),
                                  cpp11::as_cpp<int>(work["threads"]), cpp11::as_cpp<double>(work["rhat"])};
  const vacal::Key key{static_cast<std::uint64_t>(cpp11::as_cpp<double>(work["seed"])), 0, 0};
  const vacal::joint::JointFit fit =
      vacal::joint::JointSampler(data, w, key, [](const vacal::joint::JointStatus&) { cpp11::check_user_interrupt(); }).run();
  return {"p"_nm = to_r(fit.p),
          "m"_nm = to_r(fit.m),
          "pi"_nm = to_r(fit.pi),
          "phi"_nm = to_r(fit.phi),
          "kappa"_nm = to_r(fit.kappa),
          "rhat"_nm = std::max(fit.nation.rhat, fit.strata.rhat),
          "rhat_nation"_nm = fit.nation.rhat,
          "ess_bulk_nation"_nm = fit.nation.ess_bulk,
          "ess_bulk_strata"_nm = fit.strata.ess_bulk,
          "evaluations"_nm = static_cast<double>(fit.evaluations),
          "divergences"_nm = fit.divergences,
          "relabelled"_nm = fit.relabelled,
          "converged"_nm = fit.converged,
          "reason"_nm = fit.reason};
}

// Log-density and gradient at the coordinates t; of length 0: at a starting point, which is returned as well.
cpp11::writable::list joint_density_(cpp11::list problem, cpp11::doubles t) {
  vacal::joint::JointPosterior density(read_joint_problem(problem));
  std::vector<double> x(t.begin(), t.end());
  vacal::Rng rng(vacal::Key{}, 0);
  if (x.empty()) x = density.start(rng);
  x.resize(vacal::padded(density.dimension()), 0.0);
  std::vector<double> gradient(x.size());
  const double value = density.evaluate(x.data(), gradient.data());
  x.resize(density.dimension());
  gradient.resize(density.dimension());
  return {"t"_nm = to_r(x), "value"_nm = value, "gradient"_nm = to_r(gradient)};
}
