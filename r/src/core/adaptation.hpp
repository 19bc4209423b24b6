#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "math.hpp"

namespace vacal {

// The square root S of the inverse metric: standard deviations by coordinate, and a dense lower triangle for the
// first few coordinates, whose covariance is worth its cost.
struct Metric {
  Metric(int n, int n_dense) : scale(padded(n), 1.0), dense(n_dense), triangle(n_dense * n_dense, 0.0) {
    for (int i = 0; i < dense; ++i) triangle[i * dense + i] = 1;
  }
  std::vector<double> scale;
  int dense;
  std::vector<double> triangle;  // dense x dense, row-major

  // x += step * S r
  void move(double step, const double* r, double* x) const {
    for (int i = 0; i < dense; ++i) {
      double sum = 0;
      for (int j = 0; j <= i; ++j) sum += triangle[i * dense + j] * r[j];
      x[i] += step * sum;
    }
    int i = dense;
    for (; i % 2; ++i) x[i] += step * scale[i] * r[i];
    for (const Pair s = both(step); i < static_cast<int>(scale.size()); i += 2) {
      store(x + i, load(x + i) + s * load(&scale[i]) * load(r + i));
    }
  }

  // g = S' g
  void turn(double* g) const {
    for (int j = 0; j < dense; ++j) {
      double sum = 0;
      for (int i = j; i < dense; ++i) sum += triangle[i * dense + j] * g[i];
      g[j] = sum;
    }
    int i = dense;
    for (; i % 2; ++i) g[i] *= scale[i];
    for (; i < static_cast<int>(scale.size()); i += 2) store(g + i, load(g + i) * load(&scale[i]));
  }
};

// Variances, and covariances of the dense block, over the draws of all chains in a window.
class Moments {
 public:
  explicit Moments(const Metric& metric)
      : mean_(metric.scale.size(), 0.0), square_(mean_), change_(mean_), product_(metric.triangle.size(), 0.0) {}

  void add(const std::vector<double>& x, int dense) {
    ++count_;
    for (std::size_t i = 0; i < x.size(); ++i) {
      change_[i] = x[i] - mean_[i];
      mean_[i] += change_[i] / count_;
      square_[i] += change_[i] * (x[i] - mean_[i]);
    }
    for (int i = 0; i < dense; ++i) {
      for (int j = 0; j <= i; ++j) product_[i * dense + j] += change_[i] * (x[j] - mean_[j]);
    }
  }

  void update(Metric& metric) const {  // variances shrunk towards those so far
    const double prior = 5;
    for (std::size_t i = 0; i < mean_.size(); ++i) {
      const double s = metric.scale[i];
      metric.scale[i] = std::sqrt((square_[i] + prior * s * s + 1e-12) / (count_ + prior - 1));
    }
    const int n = metric.dense;
    std::vector<double> covariance(n * n);
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j <= i; ++j) covariance[i * n + j] = product_[i * n + j] / (count_ + prior - 1);
      covariance[i * n + i] = metric.scale[i] * metric.scale[i];
    }
    factorise(covariance, n, metric.triangle);
  }

 private:
  static void factorise(const std::vector<double>& a, int n, std::vector<double>& l) {  // Cholesky
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j <= i; ++j) {
        double sum = a[i * n + j];
        for (int k = 0; k < j; ++k) sum -= l[i * n + k] * l[j * n + k];
        if (i == j) l[i * n + i] = std::sqrt(std::max(sum, 1e-6 * a[i * n + i]));
        else l[i * n + j] = sum / l[j * n + j];
      }
    }
  }

  double count_ = 0;
  std::vector<double> mean_, square_, change_, product_;
};

// Step size by dual averaging (Hoffman and Gelman 2014, section 3.2).
class StepSize {
 public:
  explicit StepSize(double target) : target_(target) {}
  double current() const { return step_; }
  double averaged() const { return exp_of(log_average_); }
  void restart(double step) {
    step_ = step;
    mu_ = log_of(10 * step);
    count_ = error_ = log_average_ = 0;
  }
  void update(double acceptance) {
    ++count_;
    const double weight = 1 / (count_ + 10);
    error_ = (1 - weight) * error_ + weight * (target_ - acceptance);
    const double log_step = mu_ - error_ * std::sqrt(count_) / 0.05;
    const double decay = exp_of(-0.75 * log_of(count_));
    log_average_ = decay * log_step + (1 - decay) * log_average_;
    step_ = exp_of(log_step);
  }

 private:
  double target_, step_ = 0.1, mu_ = 0, count_ = 0, error_ = 0, log_average_ = 0;
};

}  // namespace vacal
