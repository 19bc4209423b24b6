#include <cpp11.hpp>

#include <algorithm>
#include <vector>

#include "batch_columns.h"
#include "core/batch.hpp"

cpp11::writable::list calibrate_batch_(cpp11::list data, cpp11::list settings, int threads, SEXP progress) {
  using namespace batch;
  const std::vector<vacal::AlgorithmModel> models = read_models(data);
  const std::size_t n = models.front().left.size();
  const std::vector<vacal::Stratum> strata = read_strata(data, static_cast<int>(n));
  const vacal::Settings s = read_settings(settings);

  const std::size_t n_fits = models.size() + (s.ensemble ? 1 : 0);
  const int total = static_cast<int>(strata.size() * n_fits);
  int done = 0;
  const auto report = [&](vacal::Finished f) {
    ++done;
    if (Rf_isNull(progress)) return;
    cpp11::function call(progress);
    call(static_cast<int>(f.stratum) + 1, fit_name(models, f.fit).c_str(), done, total);
  };
  const int n_threads = std::min(threads, static_cast<int>(strata.size()));
  const auto one = [&](std::size_t at, const auto& after_fit, const auto& heartbeat) {
    return vacal::estimate_stratum(strata[at], models, s, after_fit, heartbeat);
  };
  const std::vector<vacal::StratumResult> results =
      vacal::BatchRun(strata.size(), one).run(n_threads, report, [] { cpp11::check_user_interrupt(); });

  using cpp11::as_sexp;
  return {"estimates"_nm = estimates_columns(results, models),
          "quantiles"_nm = quantile_values(results, s.quantiles.size()),
          "fits"_nm = fits_columns(results, models),
          "matrices_used"_nm = used_matrices(results, models.size(), n),
          "matrices_published"_nm = published_matrices(models, n),
          "calibrated_causes"_nm = calibrated_causes(models, n),
          "draws"_nm = s.keep_draws ? draws_array(results, static_cast<std::size_t>(s.work.draws), n) : R_NilValue};
}
