#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

// Dense linear algebra for matrices of a few dozen causes, row-major.
namespace vacal {

namespace detail {

// LU with partial pivoting, in place; false when a pivot is exactly zero.
inline bool lu_factor(std::vector<double>& a, std::vector<int>& pivot, int n) {
  for (int k = 0; k < n; ++k) {
    int best = k;
    for (int i = k + 1; i < n; ++i) {
      if (std::fabs(a[i * n + k]) > std::fabs(a[best * n + k])) best = i;
    }
    pivot[k] = best;
    if (a[best * n + k] == 0) return false;
    if (best != k) std::swap_ranges(a.begin() + k * n, a.begin() + (k + 1) * n, a.begin() + best * n);
    for (int i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] /= a[k * n + k];
      for (int j = k + 1; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
    }
  }
  return true;
}

inline void lu_solve(const std::vector<double>& lu, const std::vector<int>& pivot, int n, std::vector<double>& x) {
  for (int k = 0; k < n; ++k) std::swap(x[k], x[pivot[k]]);
  for (int i = 1; i < n; ++i) {
    for (int j = 0; j < i; ++j) x[i] -= lu[i * n + j] * x[j];
  }
  for (int i = n - 1; i >= 0; --i) {
    for (int j = i + 1; j < n; ++j) x[i] -= lu[i * n + j] * x[j];
    x[i] /= lu[i * n + i];
  }
}

inline double norm_one(const std::vector<double>& a, int n) {
  double largest = 0;
  for (int j = 0; j < n; ++j) {
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += std::fabs(a[i * n + j]);
    largest = std::max(largest, sum);
  }
  return largest;
}

inline double norm_one_of_inverse(const std::vector<double>& lu, const std::vector<int>& pivot, int n) {
  double largest = 0;
  for (int j = 0; j < n; ++j) {
    std::vector<double> column(n, 0.0);
    column[j] = 1;
    lu_solve(lu, pivot, n, column);
    double sum = 0;
    for (const double x : column) sum += std::fabs(x);
    largest = std::max(largest, sum);
  }
  return largest;
}

}  // namespace detail

// Cholesky's lower triangle L of a symmetric a, both n x n, row by row. `rest` is what the earlier columns leave of an entry
// of a: root(rest, i) makes of it the diagonal entry of row i, divide(rest, j) the entry of an earlier column j. a and l may
// be one array; above the diagonal nothing is read or written.
template <class T, class Root, class Divide>
inline void factorise(const T* a, T* l, int n, Root root, Divide divide) {
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j <= i; ++j) {
      T rest = a[i * n + j];
      for (int k = 0; k < j; ++k) rest -= l[i * n + k] * l[j * n + k];
      l[i * n + j] = j < i ? divide(rest, j) : root(rest, i);
    }
  }
}

// Least-squares solution of least norm of a x = b through one-sided Jacobi rotations (Hestenes), singular
// values below sqrt(machine epsilon) times the largest taken as zero, as the usual pseudo-inverse in R does.
inline std::vector<double> solve_pseudo_inverse(std::vector<double> a, const std::vector<double>& b, int n) {
  std::vector<double> v(n * n, 0.0);
  for (int i = 0; i < n; ++i) v[i * n + i] = 1;
  for (int sweep = 0; sweep < 60; ++sweep) {
    double off = 0;
    for (int p = 0; p < n; ++p) {
      for (int q = p + 1; q < n; ++q) {
        double pp = 0, qq = 0, pq = 0;
        for (int i = 0; i < n; ++i) {
          pp += a[i * n + p] * a[i * n + p];
          qq += a[i * n + q] * a[i * n + q];
          pq += a[i * n + p] * a[i * n + q];
        }
        if (std::fabs(pq) <= 1e-15 * std::sqrt(pp * qq) || pq == 0) continue;
        off = std::max(off, std::fabs(pq));
        const double zeta = (qq - pp) / (2 * pq);
        const double t = std::copysign(1.0, zeta) / (std::fabs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (int i = 0; i < n; ++i) {
          const double ap = a[i * n + p], vp = v[i * n + p];
          a[i * n + p] = c * ap - s * a[i * n + q];
          a[i * n + q] = s * ap + c * a[i * n + q];
          v[i * n + p] = c * vp - s * v[i * n + q];
          v[i * n + q] = s * vp + c * v[i * n + q];
        }
      }
    }
    if (off == 0) break;
  }
  std::vector<double> squared(n, 0.0);
  for (int j = 0; j < n; ++j) {
    for (int i = 0; i < n; ++i) squared[j] += a[i * n + j] * a[i * n + j];
  }
  const double largest = *std::max_element(squared.begin(), squared.end());
  std::vector<double> x(n, 0.0);
  for (int j = 0; j < n; ++j) {
    if (squared[j] <= std::numeric_limits<double>::epsilon() * largest) continue;
    double projection = 0;
    for (int i = 0; i < n; ++i) projection += a[i * n + j] * b[i];
    for (int i = 0; i < n; ++i) x[i] += v[i * n + j] * projection / squared[j];
  }
  return x;
}

// Solves m' p = q; by the pseudo-inverse where m is singular to working precision.
inline std::vector<double> solve_transposed(const std::vector<double>& m, const std::vector<double>& q, int n) {
  std::vector<double> a(n * n);
  for (int i = 0; i < n; ++i) {
    for (int j = 0; j < n; ++j) a[j * n + i] = m[i * n + j];
  }
  std::vector<double> lu = a;
  std::vector<int> pivot(n);
  const bool factored = detail::lu_factor(lu, pivot, n);
  if (!factored ||
      detail::norm_one(a, n) * detail::norm_one_of_inverse(lu, pivot, n) > 1 / std::numeric_limits<double>::epsilon()) {
    return solve_pseudo_inverse(a, q, n);
  }
  std::vector<double> p = q;
  detail::lu_solve(lu, pivot, n, p);
  return p;
}

}  // namespace vacal
