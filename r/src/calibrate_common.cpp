#include <cpp11.hpp>

#include <string>
#include <vector>

#include "batch_columns.h"
#include "core/batch.hpp"
#include "core/common_stratum.hpp"

// Common matrix draws: strata given a baseline.

namespace {

using namespace cpp11::literals;
namespace writable = cpp11::writable;
using vacal::common::CommonCalibration;
using vacal::common::FitInput;

std::vector<double> read_doubles(const cpp11::list& x, const char* name) {
  const cpp11::doubles values(x[name]);
  return {values.begin(), values.end()};
}

std::vector<int> read_indices(const cpp11::list& x, const char* name) {
  const cpp11::integers values(x[name]);
  std::vector<int> out;
  for (const int v : values) out.push_back(v - 1);
  return out;
}

// What common_fit_input() of R/common_strata.R makes.
FitInput read_fit(const cpp11::list& x, int draws) {
  FitInput fit;
  fit.reason = cpp11::as_cpp<std::string>(x["reason"]);
  fit.drawn = cpp11::as_cpp<bool>(x["drawn"]);
  if (!fit.drawn) return fit;
  fit.causes = read_indices(x, "causes");
  fit.members = cpp11::as_cpp<int>(x["members"]);
  fit.m = read_doubles(x, "m");
  fit.counts = read_doubles(x, "counts");
  fit.prior = read_doubles(x, "prior");
  fit.given = read_doubles(x, "given");
  for (const auto taken : cpp11::logicals(x["takes_given"])) fit.takes_given.push_back(taken == TRUE);
  fit.pooled = read_doubles(x, "pooled");
  fit.borrow = cpp11::as_cpp<bool>(x["borrow"]);
  fit.quality.sampler = "common_draws";
  fit.quality.reason = cpp11::as_cpp<std::string>(x["source"]);
  fit.quality.rhat = cpp11::as_cpp<double>(x["rhat"]);
  fit.quality.ess_bulk = cpp11::as_cpp<double>(x["ess_bulk"]);
  fit.quality.ess_tail = cpp11::as_cpp<double>(x["ess_tail"]);
  fit.quality.divergences = cpp11::as_cpp<int>(x["divergences"]);
  fit.quality.converged = cpp11::as_cpp<bool>(x["converged"]);
  fit.quality.distinct_draws = draws;
  return fit;
}

writable::list inner_columns(const CommonCalibration& calibration, std::size_t n_strata, std::size_t n_fits,
                             const std::vector<vacal::AlgorithmModel>& models) {
  writable::integers stratum, impossible;
  writable::strings algorithm;
  writable::doubles correlation;
  for (std::size_t s = 0; s < n_strata; ++s) {
    for (std::size_t f = 0; f < n_fits; ++f) {
      const auto& inner = calibration.inner(s, f);
      if (!inner.sampled) continue;
      stratum.push_back(static_cast<int>(s) + 1);
      algorithm.push_back(cpp11::r_string(batch::fit_name(models, f)));
      correlation.push_back(inner.correlation);
      impossible.push_back(inner.impossible);
    }
  }
  return {"stratum"_nm = stratum, "algorithm"_nm = algorithm, "correlation"_nm = correlation, "impossible"_nm = impossible};
}

std::vector<double> values_of(const cpp11::doubles& x) { return {x.begin(), x.end()}; }

}  // namespace

// The models of a batch as the core sees them: matrices (study causes expanded; row-major), and which causes each
// algorithm calibrates.
cpp11::writable::list common_models_(cpp11::list data) {
  writable::list out;
  for (const vacal::AlgorithmModel& model : batch::read_models(data)) {
    writable::logicals inside;
    for (const vacal::Left left : model.left) inside.push_back(cpp11::r_bool(left == vacal::Left::in));
    out.push_back(writable::list({"matrix"_nm = writable::doubles(model.matrix.begin(), model.matrix.end()),
                                  "calibrated"_nm = inside, "fixed"_nm = model.fixed}));
  }
  return out;
}

// p0 and each of the units' p and r: draws x causes, row-major, as is the result.
cpp11::writable::doubles common_centre_(cpp11::doubles p0, cpp11::list p, cpp11::list r, int causes, double mix) {
  std::vector<std::vector<double>> units, centres;
  for (R_xlen_t u = 0; u < p.size(); ++u) {
    units.push_back(values_of(cpp11::doubles(p[u])));
    centres.push_back(values_of(cpp11::doubles(r[u])));
  }
  const std::vector<double> out = vacal::common::centre(values_of(p0), units, centres, causes, mix);
  return writable::doubles(out.begin(), out.end());
}

cpp11::writable::list calibrate_common_(cpp11::list data, cpp11::list settings, cpp11::list fits, int threads, SEXP progress) {
  const std::vector<vacal::AlgorithmModel> models = batch::read_models(data);
  const std::size_t n = models.front().left.size();
  const std::vector<vacal::Stratum> strata = batch::read_strata(data, static_cast<int>(n));
  const vacal::Settings s = batch::read_settings(settings);
  std::vector<FitInput> inputs;
  for (R_xlen_t f = 0; f < fits.size(); ++f) inputs.push_back(read_fit(cpp11::list(fits[f]), s.work.draws));

  const int total = static_cast<int>(strata.size() * inputs.size());
  int done = 0;
  const auto report = [&](vacal::Finished f) {
    ++done;
    if (Rf_isNull(progress)) return;
    cpp11::function call(progress);
    call(static_cast<int>(f.stratum) + 1, batch::fit_name(models, f.fit).c_str(), done, total);
  };
  CommonCalibration calibration(strata, models, inputs, s);
  const auto one = [&](std::size_t at, const auto& after_fit, const auto& heartbeat) {
    return calibration.estimate(at, after_fit, heartbeat);
  };
  const std::vector<vacal::StratumResult> results =
      vacal::BatchRun(strata.size(), one).run(std::min(threads, static_cast<int>(strata.size())), report, [] {
        cpp11::check_user_interrupt();
      });
  return {"estimates"_nm = batch::estimates_columns(results, models),
          "quantiles"_nm = batch::quantile_values(results, s.quantiles.size()),
          "fits"_nm = batch::fits_columns(results, models),
          "matrices_used"_nm = batch::used_matrices(results, models.size(), n),
          "matrices_published"_nm = batch::published_matrices(models, n),
          "calibrated_causes"_nm = batch::calibrated_causes(models, n),
          "draws"_nm = s.keep_draws ? batch::draws_array(results, static_cast<std::size_t>(s.work.draws), n) : R_NilValue,
          "common_strata"_nm = inner_columns(calibration, strata.size(), inputs.size(), models)};
}
