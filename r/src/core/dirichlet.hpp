#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "special.hpp"

// Maximum-likelihood totals of Dirichlet rows whose mean is known.
namespace vacal {

constexpr double nudge = 1e-5;  // keeps logarithms of rates finite; the published implementation's value

inline double nudged(double x, int n_causes) { return (x + nudge) / (1 + n_causes * nudge); }

// E[log((shift + scale B + nudge) / (1 + C nudge))] for B ~ Beta(a, b), a > 0, b >= 0 (b = 0: B = 1).
//
// With g(B) = log(1 + scale B / c), E g = g(1) E B + E[g(B) - g(1) B]; the difference vanishes at both ends of
// [0, 1], so that on the log-odds scale the integrand is analytic and dies off at least exponentially even for
// a or b near 0: the trapezoid rule is then exact to about 1e-12.
inline double expected_log_rate(double a, double b, double shift, double scale, int n_causes) {
  const double c = shift + nudge;
  const double base = log_of(c / (1 + n_causes * nudge));
  const double g1 = log1p_of(scale / c);
  if (b <= 0) return base + g1;
  const double log_norm = log_beta(a, b);
  const double mode = log_of(a) - log_of(b);
  const auto log_density = [&](double t) {  // of t = logit(B)
    const double softplus = t > 0 ? t + log1p_of(exp_of(-t)) : log1p_of(exp_of(t));
    return a * t - (a + b) * softplus - log_norm;
  };
  const double width = std::sqrt(trigamma(a) + trigamma(b));
  const double step = 0.35 * std::min(1.0, width);
  const double negligible = log_density(mode) - 45;
  const double left = std::min(0.0, log_of(c / scale)) - 45, right = 45;
  const auto term = [&](double t, double log_d) {
    const double e = exp_of(-std::fabs(t));
    const double x = t > 0 ? 1 / (1 + e) : e / (1 + e);
    const double y = t > 0 ? e / (1 + e) : 1 / (1 + e);  // 1 - x
    // near x = 1, g(x) - g(1) x = log1p(-scale y / (c + scale)) + g(1) y without cancellation
    const double h = t > 0 ? log1p_of(-scale * y / (c + scale)) + g1 * y : log1p_of(scale * x / c) - g1 * x;
    return h * exp_of(log_d);
  };
  const double start = std::min(std::max(mode, left), right);
  double sum = term(start, log_density(start));
  for (const double direction : {-1.0, 1.0}) {
    for (int k = 1;; ++k) {
      const double t = start + direction * k * step;
      const double log_d = log_density(t);
      if (t < left || t > right || log_d < negligible) break;
      sum += term(t, log_d);
    }
  }
  return base + g1 * a / (a + b) + sum * step;
}

// Total concentration s of the Dirichlet with the given mean that maximises the expected log-density:
// the root of digamma(s) - sum_j m_j digamma(s m_j) + sum_j m_j E[log x_j], which falls in s.
// Components with mean 0 are left out. Between 1e-6 and 1e12.
inline double fit_total(const std::vector<double>& mean, const std::vector<double>& expected_log) {
  double constant = 0;
  for (std::size_t j = 0; j < mean.size(); ++j) {
    if (mean[j] > 0) constant += mean[j] * expected_log[j];
  }
  double low = log_of(1e-6), high = log_of(1e12), u = 0;
  for (int iteration = 0; iteration < 200; ++iteration) {
    const double s = exp_of(u);
    double value = digamma(s) + constant, slope = trigamma(s);
    for (const double m : mean) {
      if (m <= 0) continue;
      value -= m * digamma(s * m);
      slope -= m * m * trigamma(s * m);
    }
    (value > 0 ? low : high) = u;
    const double newton = u - value / (slope * s);
    const double next = newton > low && newton < high ? newton : 0.5 * (low + high);
    if (std::fabs(next - u) < 1e-13 * (1 + std::fabs(u))) return exp_of(next);
    u = next;
  }
  return exp_of(u);
}

// The Dirichlet that best fits lambda e_i + (1 - lambda) D, D ~ Dirichlet(alpha): mean kept, total by maximum
// likelihood of the nudged rates. A row with one positive component is a constant and stays as it is.
inline std::vector<double> shrink_row(const std::vector<double>& alpha, int i, double lambda) {
  const int n = static_cast<int>(alpha.size());
  double total = 0;
  int positive = 0;
  for (const double x : alpha) {
    total += x;
    positive += x > 0;
  }
  if (positive < 2) return alpha;
  std::vector<double> mean(n, 0.0), expected_log(n, 0.0);
  for (int j = 0; j < n; ++j) {
    if (alpha[j] <= 0) continue;
    const double shift = i == j ? lambda : 0;
    mean[j] = shift + (1 - lambda) * alpha[j] / total;
    expected_log[j] = expected_log_rate(alpha[j], total - alpha[j], shift, 1 - lambda, n);
  }
  const double s = fit_total(mean, expected_log);
  for (double& m : mean) m *= s;
  return mean;
}

// Dirichlet alphas of one row from samples of it (n_samples x n_causes): the samples' mean, total by maximum
// likelihood of the nudged samples. A rate that is 0 in every sample is a structural zero.
inline std::vector<double> fit_row(const std::vector<double>& samples, int n_causes) {
  const int n_samples = static_cast<int>(samples.size()) / n_causes;
  std::vector<double> mean(n_causes, 0.0), expected_log(n_causes, 0.0);
  for (int s = 0; s < n_samples; ++s) {
    for (int j = 0; j < n_causes; ++j) {
      mean[j] += samples[s * n_causes + j] / n_samples;
      expected_log[j] += log_of(nudged(samples[s * n_causes + j], n_causes)) / n_samples;
    }
  }
  double sum = 0;
  for (const double m : mean) sum += m;
  for (double& m : mean) m /= sum;
  const double total = fit_total(mean, expected_log);
  for (double& m : mean) m *= total;
  return mean;
}

}  // namespace vacal
