#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "layout.hpp"
#include "math.hpp"
#include "rng.hpp"

namespace vacal {

// Expectation-maximisation for (p, M) with the deaths' true causes as missing data (Dempster, Laird and Rubin 1977).
// Adding the Dirichlet parameters themselves to the expected counts gives the mode on the logarithmic scale.
class Expectation {
 public:
  explicit Expectation(const Layout& layout)
      : layout_(layout), n_(layout.n_causes), m_(layout.constant), counts_(layout.counts), expected_(layout.size()) {
    std::vector<double> log_alpha;
    for (double a : layout.alpha) log_alpha.push_back(log_of(a));
    set_shares(log_alpha);
  }

  const std::vector<double>& p() const { return p_; }
  double rate(int algorithm, int cause, int column) const { return m_[algorithm][cause * n_ + column]; }

  // Fraction of deaths that an algorithm should give to a VA cause.
  double fraction(int algorithm, int column) const {
    double sum = 0;
    for (int i = 0; i < n_; ++i) sum += p_[i] * rate(algorithm, i, column);
    return sum;
  }

  // Log of the posterior density of the logarithms of the unknowns, up to a constant.
  double objective() const {
    double value = 0;
    for (int i = 0; i < n_; ++i) value += layout_.alpha[i] * log_of(p_[i]);
    for (const MatrixRow& row : layout_.rows) {
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        value += layout_.alpha[c] * log_of(rate(row.algorithm, row.cause, layout_.column[c]));
      }
    }
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      for (int j = 0; j < n_; ++j) {
        const double a = counts_[k][j];
        if (a > 0) value += a * log_of(fraction(static_cast<int>(k), j));
      }
    }
    return std::isfinite(value) ? value : -1e300;
  }

  // From here on every algorithm's deaths count as at most this many: with few, iterations converge quickly.
  void limit_deaths(double most) {
    counts_ = layout_.counts;
    for (auto& counts : counts_) {
      double deaths = 0;
      for (double a : counts) deaths += a;
      for (double& a : counts) a *= std::min(1.0, most / deaths);
    }
  }

  void iterate(int steps) {
    for (int step = 0; step < steps; ++step) {
      expect();
      for (int c = 0; c < layout_.size(); ++c) expected_[c] = log_of(expected_[c] + layout_.alpha[c]);
      set_shares(expected_);
    }
  }

  // p and the rows of M in proportion to the values with these logarithms by coordinate.
  void set_shares(const std::vector<double>& log_y) {
    p_ = shares(&log_y[0], n_);
    for (const MatrixRow& row : layout_.rows) {
      const std::vector<double> share = shares(&log_y[row.offset], row.length);
      for (int c = 0; c < row.length; ++c) {
        m_[row.algorithm][row.cause * n_ + layout_.column[row.offset + c]] = share[c];
      }
    }
  }

  // Logs of gammas of a draw given the expected complete counts, every row brought to a sum from its prior.
  std::vector<double> draw(Rng& rng) {
    expect();
    std::vector<double> log_y(layout_.size());
    draw_row(0, n_, rng, log_y);
    for (const MatrixRow& row : layout_.rows) draw_row(row.offset, row.length, rng, log_y);
    return log_y;
  }

 private:
  static std::vector<double> shares(const double* log_y, int n) {
    const double top = *std::max_element(log_y, log_y + n);
    std::vector<double> x(n);
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] = exp_of(log_y[i] - top);
    for (double& v : x) v /= sum;
    return x;
  }

  // Expected counts: of true causes for p, of (true, VA) cause for the matrices.
  void expect() {
    std::fill(expected_.begin(), expected_.end(), 0.0);
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      std::vector<double> per_fraction(n_, 0.0);
      for (int j = 0; j < n_; ++j) {
        const double a = counts_[k][j];
        if (a > 0) per_fraction[j] = a / fraction(static_cast<int>(k), j);
      }
      for (int i = 0; i < n_; ++i) {
        for (int j = 0; j < n_; ++j) expected_[i] += p_[i] * m_[k][i * n_ + j] * per_fraction[j];
      }
      for (const MatrixRow& row : layout_.rows) {
        if (row.algorithm != static_cast<int>(k)) continue;
        for (int c = row.offset; c < row.offset + row.length; ++c) {
          const int j = layout_.column[c];
          expected_[c] = p_[row.cause] * m_[k][row.cause * n_ + j] * per_fraction[j];
        }
      }
    }
  }

  void draw_row(int offset, int length, Rng& rng, std::vector<double>& log_y) {
    double total = 0, log_sum = -std::numeric_limits<double>::infinity();
    for (int c = offset; c < offset + length; ++c) {
      log_y[c] = rng.log_gamma(layout_.alpha[c] + expected_[c]);
      log_sum = log_sum_exp(log_sum, log_y[c]);
      total += layout_.alpha[c];
    }
    const double shift = rng.log_gamma(total) - log_sum;
    for (int c = offset; c < offset + length; ++c) log_y[c] += shift;
  }

  const Layout& layout_;
  int n_;
  std::vector<double> p_;
  std::vector<std::vector<double>> m_, counts_;
  std::vector<double> expected_;
};

}  // namespace vacal
