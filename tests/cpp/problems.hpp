#pragma once

#include <utility>
#include <vector>

#include "core/types.hpp"

// Small problems for tests.
namespace problems {

// Deaths of one algorithm, with `diagonal` and `rest` as Dirichlet parameters (or rates, see fixed()).
inline vacal::AlgorithmData algorithm(double diagonal, double rest, std::vector<double> counts) {
  const std::size_t n = counts.size();
  vacal::AlgorithmData a;
  a.matrix.assign(n * n, rest);
  for (std::size_t i = 0; i < n; ++i) a.matrix[i * n + i] = diagonal;
  a.counts = std::move(counts);
  a.calibrated.assign(n, 1);
  return a;
}

inline vacal::AlgorithmData fixed(vacal::AlgorithmData a) {
  a.fixed = true;
  return a;
}

inline vacal::AlgorithmData with_zeros(vacal::AlgorithmData a, const std::vector<int>& at) {
  for (int i : at) a.matrix[i] = 0;
  return a;
}

inline vacal::AlgorithmData within(vacal::AlgorithmData a, std::vector<char> calibrated) {
  a.calibrated = std::move(calibrated);
  return a;
}

inline vacal::Problem problem(std::vector<vacal::AlgorithmData> algorithms, std::vector<double> prior = {}) {
  vacal::Problem p;
  p.n_causes = static_cast<int>(algorithms.front().counts.size());
  p.algorithms = std::move(algorithms);
  p.prior = prior.empty() ? std::vector<double>(p.n_causes, 1.0) : std::move(prior);
  return p;
}

}  // namespace problems
