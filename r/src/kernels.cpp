#include <cpp11.hpp>

#include <vector>

#include "core/prepare.hpp"
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

cpp11::writable::doubles to_r(const std::vector<double>& x) {
  return cpp11::writable::doubles(x.begin(), x.end());
}

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
