#pragma once

#include <cmath>
#include <vector>

#include "math.hpp"
#include "rng.hpp"

namespace vacal {

// One random row of a misclassification matrix: its components are coordinates offset .. offset + length - 1.
struct MatrixRow {
  int algorithm, cause, offset, length;
  double total;  // sum of its Dirichlet parameters
};

// The unknowns of a posterior: p has coordinates 0 .. n_causes - 1, the random rows of the matrices the rest.
struct Layout {
  int n_causes = 0;
  std::vector<double> alpha;    // by coordinate: Dirichlet parameters
  std::vector<int> column;      // by coordinate: VA cause; unused for p
  std::vector<MatrixRow> rows;
  std::vector<std::vector<double>> counts;    // by algorithm with deaths: n_causes
  std::vector<std::vector<double>> constant;  // by algorithm: n_causes x n_causes, its constant rows
  int size() const { return static_cast<int>(alpha.size()); }
};

// Expectation-maximisation for (p, M) with the deaths' true causes as missing data (Dempster, Laird and Rubin 1977).
// Adding the Dirichlet parameters themselves to the expected counts gives the mode on the logarithmic scale.
class Expectation {
 public:
  explicit Expectation(const Layout& layout)
      : layout_(layout), n_(layout.n_causes), m_(layout.constant), expected_(layout.size()) {
    set_shares(layout.alpha);
  }

  const std::vector<double>& p() const { return p_; }
  double rate(int algorithm, int cause, int column) const { return m_[algorithm][cause * n_ + column]; }

  // Fraction of deaths that an algorithm should give to a VA cause.
  double fraction(int algorithm, int column) const {
    double sum = 0;
    for (int i = 0; i < n_; ++i) sum += p_[i] * rate(algorithm, i, column);
    return sum;
  }

  void iterate(int steps) {
    for (int step = 0; step < steps; ++step) {
      expect();
      for (int c = 0; c < layout_.size(); ++c) expected_[c] += layout_.alpha[c];
      set_shares(expected_);
    }
  }

  // p and the rows of M in proportion to these positive values by coordinate.
  void set_shares(const std::vector<double>& y) {
    p_.assign(y.begin(), y.begin() + n_);
    divide_by_sum(p_);
    for (const MatrixRow& row : layout_.rows) {
      std::vector<double> share(y.begin() + row.offset, y.begin() + row.offset + row.length);
      divide_by_sum(share);
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
  static void divide_by_sum(std::vector<double>& x) {
    double sum = 0;
    for (double v : x) sum += v;
    for (double& v : x) v /= sum;
  }

  // Expected counts: of true causes for p, of (true, VA) cause for the matrices.
  void expect() {
    std::fill(expected_.begin(), expected_.end(), 0.0);
    for (std::size_t k = 0; k < layout_.counts.size(); ++k) {
      std::vector<double> per_fraction(n_, 0.0);
      for (int j = 0; j < n_; ++j) {
        const double a = layout_.counts[k][j];
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
  std::vector<std::vector<double>> m_;
  std::vector<double> expected_;
};

}  // namespace vacal
