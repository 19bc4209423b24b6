#include <cpp11.hpp>

#include <vector>

#include "core/prepare.hpp"
#include "core/stratum.hpp"
#include "core/summarise.hpp"

// Kernels of the preparation, for tests against plain R. Matrices come and go as R holds them (column-major).

namespace {

std::vector<double> to_vector(const cpp11::doubles& x) { return {x.begin(), x.end()}; }

std::vector<double> transposed(const std::vector<double>& x, int n) {
  std::vector<double> out(x.size());
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) out[j * n + i] = x[i * n + j];
  }
  return out;
}

cpp11::writable::doubles to_r(const std::vector<double>& x) { return cpp11::writable::doubles(x.begin(), x.end()); }

}  // namespace

cpp11::writable::list prepare_(cpp11::doubles matrix, cpp11::doubles counts, cpp11::logicals left, bool fixed,
                               bool path_correction) {
  using namespace cpp11::literals;
  const int n = static_cast<int>(counts.size());
  vacal::AlgorithmModel model;
  model.fixed = fixed;
  model.matrix = transposed(to_vector(matrix), n);
  for (const auto l : left) model.left.push_back(l == TRUE ? vacal::Left::asked_for : vacal::Left::in);
  const vacal::Member member = vacal::prepare_member(model, to_vector(counts), path_correction);
  return {"lambda"_nm = member.lambda, "matrix"_nm = to_r(transposed(member.matrix, n))};
}

cpp11::writable::doubles fit_row_(cpp11::doubles samples, int n_causes) {
  return to_r(vacal::fit_row(to_vector(samples), n_causes));
}

double expected_log_rate_(double a, double b, double shift, double scale, int n_causes) {
  return vacal::expected_log_rate(a, b, shift, scale, n_causes);
}

cpp11::writable::doubles expand_study_causes_(cpp11::doubles matrix, cpp11::integers broad, bool fixed) {
  int n = 0;
  while (n * n < matrix.size()) ++n;
  const std::vector<int> map(broad.begin(), broad.end());
  const auto out = vacal::expand_study_causes(transposed(to_vector(matrix), n), n, map, fixed);
  return to_r(transposed(out, static_cast<int>(map.size())));
}

cpp11::writable::doubles round_to_total_(cpp11::doubles weights, double total) {
  return to_r(vacal::round_to_total(to_vector(weights), total));
}

// low, high: algorithms x causes, NA where an algorithm does not calibrate a cause; ensemble: its means, or of length 0.
cpp11::writable::logicals disagreements_(cpp11::doubles low, cpp11::doubles high, cpp11::doubles ensemble, int n_causes) {
  const int n_algorithms = static_cast<int>(low.size()) / n_causes;
  std::vector<vacal::Estimate> estimates(n_algorithms);
  std::vector<const vacal::Estimate*> algorithms;
  for (int k = 0; k < n_algorithms; ++k) {
    vacal::Estimate& e = estimates[k];
    for (int c = 0; c < n_causes; ++c) {
      e.low.push_back(low[k + n_algorithms * c]);
      e.high.push_back(high[k + n_algorithms * c]);
      e.cause_status.emplace_back(ISNAN(e.low.back()) ? "passed_through" : "calibrated");
    }
    algorithms.push_back(&e);
  }
  vacal::Estimate pooled;
  pooled.status = vacal::calibrated_status;
  pooled.mean.assign(ensemble.begin(), ensemble.end());
  cpp11::writable::logicals out;
  for (const char d : vacal::disagreements(algorithms, ensemble.size() > 0 ? &pooled : nullptr, n_causes)) {
    out.push_back(cpp11::r_bool(d != 0));
  }
  return out;
}
