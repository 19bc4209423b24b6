#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "joint_posterior.hpp"
#include "linalg.hpp"
#include "math.hpp"

// Where the shared coordinates have their mode with every stratum at its own (z = 0), and how curved it is there.
namespace vacal::joint {

// BFGS (Nocedal and Wright 2006, section 6.1) on the leading coordinates, the others at 0.
inline std::vector<double> climb(JointPosterior& density, std::vector<double> x, long long& evaluations) {
  const int n = density.dense();
  std::fill(x.begin() + n, x.end(), 0.0);
  std::vector<double> gradient(x.size()), next(x.size()), inverse(n * n, 0.0), direction(n), moved(n), change(n), image(n);
  for (int i = 0; i < n; ++i) inverse[i * n + i] = 0.1;
  double value = density.evaluate(x.data(), gradient.data());
  for (int step = 0; step < 100; ++step) {
    double slope = 0, largest = 0;
    for (int i = 0; i < n; ++i) {
      direction[i] = 0;
      for (int j = 0; j < n; ++j) direction[i] += inverse[i * n + j] * gradient[j];
      slope += direction[i] * gradient[i];
      largest = std::max(largest, std::fabs(direction[i]));
    }
    if (!(slope > 0.01)) break;
    double length = std::min(1.0, 2 / largest);
    bool higher = false;
    std::vector<double> y;
    for (int attempt = 0; attempt < 20 && !higher; ++attempt, length *= higher ? 1 : 0.3) {
      y = x;
      for (int i = 0; i < n; ++i) y[i] += length * direction[i];
      const double there = density.evaluate(y.data(), next.data());
      ++evaluations;
      higher = there > value + 1e-4 * length * slope;
      if (higher) value = there;
    }
    if (!higher) break;
    double along = 0, quadratic = 0;
    for (int i = 0; i < n; ++i) {
      moved[i] = y[i] - x[i];
      change[i] = gradient[i] - next[i];
      along += moved[i] * change[i];
    }
    x = y;
    gradient.swap(next);
    if (along < 1e-10) continue;
    for (int i = 0; i < n; ++i) {
      image[i] = 0;
      for (int j = 0; j < n; ++j) image[i] += inverse[i * n + j] * change[j];
      quadratic += image[i] * change[i];
    }
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < n; ++j) {
        inverse[i * n + j] +=
            (1 + quadratic / along) * moved[i] * moved[j] / along - (image[i] * moved[j] + moved[i] * image[j]) / along;
      }
    }
  }
  return x;
}

// Minus the second derivatives by the leading coordinates, symmetric, by differences of gradients.
inline std::vector<double> curvature(JointPosterior& density, const std::vector<double>& at, long long& evaluations) {
  const int n = density.dense();
  const double h = 1e-3;
  std::vector<double> out(n * n, 0.0), above(at.size()), below(at.size());
  for (int i = 0; i < n; ++i) {
    std::vector<double> x = at;
    x[i] = at[i] + h;
    density.evaluate(x.data(), above.data());
    x[i] = at[i] - h;
    density.evaluate(x.data(), below.data());
    evaluations += 2;
    for (int j = 0; j < n; ++j) {
      const double second = 0.5 * (below[j] - above[j]) / (2 * h);
      out[i * n + j] += second;
      out[j * n + i] += second;
    }
  }
  return out;
}

// Turns a into its Cholesky triangle, zeros above; false where it is not positive definite.
inline bool factorise_positive(std::vector<double>& a, int n) {
  bool positive = true;
  const auto root = [&](double rest, int) {
    positive = positive && rest > 0;
    return std::sqrt(rest);
  };
  factorise(a.data(), a.data(), n, root, [&](double rest, int j) { return rest / a[j * n + j]; });
  for (int i = 0; i < n; ++i) std::fill(&a[i * n] + i + 1, &a[i * n] + n, 0.0);
  return positive;
}

// Lower triangle S with S S' the inverse of a, or of a with as much added to its diagonal as makes it positive.
inline std::vector<double> root_of_inverse(const std::vector<double>& a, int n) {
  std::vector<double> factor = a, inverse(n * n);
  for (double added = 0; !factorise_positive(factor, n); added = added == 0 ? 0.05 : 2 * added) {
    if (added > 1e6) throw SamplingError("the curvature at the mode is not finite");
    factor = a;
    for (int i = 0; i < n; ++i) factor[i * n + i] += added == 0 ? 0.05 : 2 * added;
  }
  std::vector<double> column(n);
  for (int c = 0; c < n; ++c) {
    for (int i = 0; i < n; ++i) {
      column[i] = i == c;
      for (int j = 0; j < i; ++j) column[i] -= factor[i * n + j] * column[j];
      column[i] /= factor[i * n + i];
    }
    for (int i = n - 1; i >= 0; --i) {
      for (int j = i + 1; j < n; ++j) column[i] -= factor[j * n + i] * column[j];
      column[i] /= factor[i * n + i];
    }
    for (int i = 0; i < n; ++i) inverse[i * n + c] = column[i];
  }
  if (!factorise_positive(inverse, n)) throw SamplingError("the curvature at the mode is not finite");
  return inverse;
}

}  // namespace vacal::joint
