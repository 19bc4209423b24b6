#pragma once

#include <cmath>
#include <vector>

#include "expectation.hpp"
#include "math.hpp"

namespace vacal {

// With many deaths the data pin q_j = sum_i p_i M_ij: a thin curved sheet in (p, M), on which a sampler creeps. For a
// column that the data know better than the prior does, this map straightens most of the curve. With
// Q_j = sum_i p_i y_ij / alpha_i. (q_j, but for the fluctuation of the rows' sums), it makes log Q_j a coordinate in
// place of log y at one pivot row, and log (y_ij / y_pivot) in place of the column's other log y_ij:
//   log y_ij = l_ij + s,   s = target + unit * t - log sum_i (p_i / alpha_i.) exp(l_ij),   l_pivot constant.
// s depends on t by a constant factor only, so the Jacobian is constant.
class ColumnShear {
 public:
  // Column `column` of an algorithm's matrix, at a guess of p and M. Components: log y of all its random entries.
  ColumnShear(const Layout& layout, const Expectation& guess, int algorithm, int column) {
    double best = -1;
    fraction_ = guess.fraction(algorithm, column);
    for (const MatrixRow& row : layout.rows) {
      if (row.algorithm != algorithm) continue;
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        if (layout.column[c] != column) continue;
        const double mean = layout.alpha[c] / row.total, p = guess.p()[row.cause];
        parts_.push_back({c, row.cause, 1 / row.total});
        variance_ += p * p * mean * (1 - mean) / (row.total + 1);
        if (layout.alpha[c] > best) best = layout.alpha[c], pivot_ = c;
      }
    }
    target_ = log_of(fraction_);
    level_ = best > 0 ? log_of(best) : 0;
  }

  // Deaths of the algorithm's that tell as much about the column's fraction as the prior of the matrix does.
  double prior_deaths() const { return fraction_ / variance_; }
  bool possible() const { return parts_.size() > 1 && fraction_ > 0; }
  void set_deaths(double deaths) { unit_ = 1 / std::sqrt(fraction_ * (deaths + prior_deaths())); }

  int pivot() const { return pivot_; }
  double level() const { return level_; }  // log y that the pivot has before apply()

  int n_parts() const { return static_cast<int>(parts_.size()); }

  // From l (and exp l) to log y and y; share: n_parts() shares of the rows in Q_j.
  void apply(double t, const double* p, double* y, double* log_y, double* share) const {
    double sum = 0;
    for (int i = 0; i < n_parts(); ++i) sum += share[i] = p[parts_[i].cause] * parts_[i].per_fraction * y[parts_[i].at];
    const double shift = target_ + unit_ * t - log_of(sum), factor = exp_of(shift), scale = 1 / sum;
    for (int i = 0; i < n_parts(); ++i) {
      share[i] *= scale;
      y[parts_[i].at] *= factor;
      log_y[parts_[i].at] += shift;
    }
  }

  // From the gradient by log y to that by l and t, with the shares of apply(); adds to the gradient by log p.
  void pull_back(const double* share, double* gradient, double* by_log_p) const {
    double total = 0;
    for (const Part& part : parts_) total += gradient[part.at];
    for (int i = 0; i < n_parts(); ++i) {
      const double back = total * share[i];
      gradient[parts_[i].at] -= back;
      by_log_p[parts_[i].cause] -= back;
    }
    gradient[pivot_] = total * unit_;
  }

  // Turns log y into l, and returns t.
  double invert(const std::vector<double>& log_p, std::vector<double>& log_y) const {
    double log_sum = -std::numeric_limits<double>::infinity();
    for (const Part& part : parts_) {
      log_sum = log_sum_exp(log_sum, log_p[part.cause] + log_of(part.per_fraction) + log_y[part.at]);
    }
    const double shift = log_y[pivot_] - level_;
    for (const Part& part : parts_) log_y[part.at] -= shift;
    return (log_sum - target_) / unit_;
  }

 private:
  struct Part {
    int at, cause;
    double per_fraction;  // 1 / alpha_i.
  };

  std::vector<Part> parts_;
  int pivot_ = -1;
  double target_ = 0, level_ = 0, unit_ = 1, fraction_ = 0, variance_ = 0;
};

}  // namespace vacal
