#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "types.hpp"

namespace vacal {

// One random row of a misclassification matrix: its components are coordinates offset .. offset + length - 1.
struct MatrixRow {
  int algorithm, cause, offset, length;
  double total;  // sum of its Dirichlet parameters
};

// The unknowns of a posterior: p has coordinates 0 .. n_causes - 1, the random rows of the matrices the rest.
struct Layout {
  int n_causes = 0;
  std::vector<double> alpha;  // by coordinate: Dirichlet parameters
  std::vector<int> column;    // by coordinate: VA cause; unused for p
  std::vector<MatrixRow> rows;
  std::vector<std::vector<double>> counts;    // by algorithm with deaths: n_causes
  std::vector<std::vector<double>> constant;  // by algorithm: n_causes x n_causes, its constant rows
  int size() const { return static_cast<int>(alpha.size()); }
};

namespace detail {

inline bool has_deaths(const AlgorithmData& data) {
  return std::any_of(data.counts.begin(), data.counts.end(), [](double x) { return x > 0; });
}

// Columns at which row i of an algorithm's matrix is not zero: within the block of calibrated causes those with a
// positive entry, outside of it the diagonal.
inline std::vector<int> open_columns(const AlgorithmData& data, int i, int n) {
  std::vector<int> columns;
  for (int j = 0; j < n; ++j) {
    if (data.calibrated[i] ? data.calibrated[j] && data.matrix[i * n + j] > 0 : i == j) columns.push_back(j);
  }
  if (columns.empty()) throw SamplingError("row " + std::to_string(i + 1) + " of a matrix has no positive entry");
  return columns;
}

inline void refuse_unreachable(const AlgorithmData& data, int n, std::size_t algorithm) {
  std::vector<char> reached(n, 0);
  for (int i = 0; i < n; ++i) {
    for (int j : open_columns(data, i, n)) reached[j] = 1;
  }
  for (int j = 0; j < n; ++j) {
    if (data.counts[j] == 0 || reached[j]) continue;
    throw SamplingError("algorithm " + std::to_string(algorithm + 1) + " has deaths of VA cause " + std::to_string(j + 1) +
                        ", which its matrix gives to no true cause");
  }
}

}  // namespace detail

// Which unknowns a problem has. Rows of fixed matrices, rows with one component and rows outside the block of
// calibrated causes are constants; algorithms without deaths tell nothing and are left out.
inline Layout make_layout(const Problem& problem) {
  const int n = problem.n_causes;
  refuse_many_causes(n);
  Layout layout{n, problem.prior, std::vector<int>(n, 0), {}, {}, {}};
  for (std::size_t a = 0; a < problem.algorithms.size(); ++a) {
    const AlgorithmData& data = problem.algorithms[a];
    if (!detail::has_deaths(data)) continue;
    detail::refuse_unreachable(data, n, a);
    std::vector<double> constant(n * n, 0.0);
    for (int i = 0; i < n; ++i) {
      const std::vector<int> columns = detail::open_columns(data, i, n);
      const int length = static_cast<int>(columns.size()), k = static_cast<int>(layout.counts.size());
      double total = 0;
      for (int j : columns) total += data.matrix[i * n + j];
      if (data.fixed || length == 1) {
        for (int j : columns) constant[i * n + j] = length == 1 ? 1 : data.matrix[i * n + j] / total;
        continue;
      }
      layout.rows.push_back({k, i, layout.size(), length, total});
      for (int j : columns) {
        layout.alpha.push_back(data.matrix[i * n + j]);
        layout.column.push_back(j);
      }
    }
    layout.counts.push_back(data.counts);
    layout.constant.push_back(constant);
  }
  return layout;
}

// An algorithm's random row of a true cause; null where that row is constant.
inline const MatrixRow* find_row(const Layout& layout, int algorithm, int cause) {
  for (const MatrixRow& row : layout.rows) {
    if (row.algorithm == algorithm && row.cause == cause) return &row;
  }
  return nullptr;
}

// How many VA causes an algorithm's matrix gives to at least one true cause: those without a column of structural zeros.
inline int n_open_causes(const Layout& layout, int algorithm) {
  const int n = layout.n_causes;
  std::vector<char> open(n, 0);
  for (const MatrixRow& row : layout.rows) {
    if (row.algorithm != algorithm) continue;
    for (int c = row.offset; c < row.offset + row.length; ++c) open[layout.column[c]] = 1;
  }
  for (int i = 0; i < n * n; ++i) {
    if (layout.constant[algorithm][i] > 0) open[i % n] = 1;
  }
  return static_cast<int>(std::count(open.begin(), open.end(), 1));
}

}  // namespace vacal
