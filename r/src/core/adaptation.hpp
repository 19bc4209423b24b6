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
      const double* row = &triangle[i * dense];
      Pair pairs = both(0.0);
      for (int j = 0; j < i; j += 2) pairs += load(row + j) * load(r + j);
      const double last = i % 2 ? 0 : row[i] * r[i];
      x[i] += step * (pairs[0] + pairs[1] + last);
    }
    int i = dense;
    for (; i % 2; ++i) x[i] += step * scale[i] * r[i];
    for (const Pair s = both(step); i < static_cast<int>(scale.size()); i += 2) {
      store(x + i, load(x + i) + s * load(&scale[i]) * load(r + i));
    }
  }

  // g = S' g, row by row: a row changes nothing that later rows read.
  void turn(double* g) const {
    for (int i = 0; i < dense; ++i) {
      const double *row = &triangle[i * dense], by = g[i];
      g[i] = 0;
      for (int j = 0; j < i; j += 2) store(g + j, load(g + j) + both(by) * load(row + j));
      if (i % 2 == 0) g[i] = row[i] * by;
    }
    int i = dense;
    for (; i % 2; ++i) g[i] *= scale[i];
    for (; i < static_cast<int>(scale.size()); i += 2) store(g + i, load(g + i) * load(&scale[i]));
  }
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
