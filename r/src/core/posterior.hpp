#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "math.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// Log-density and gradient of (p, M_1, .., M_K) given the counts, in unbounded coordinates of about unit scale
// under the prior. Every Dirichlet component is a gamma variable y over the sum of its row; its coordinate t is
//   alpha >= 1: log y = log alpha + t / sqrt(alpha);
//   alpha < 1:  log y = t - (1/alpha - 1) log(1 + exp(-t)), under which the density falls off as exp(t) to the
//               left for any alpha, where that of log y would fall off as slowly as exp(alpha log y).
// The cost of an evaluation does not depend on the number of deaths. Rows of fixed matrices, and rows with one
// component only, are constants.
class Posterior {
 public:
  explicit Posterior(const Problem& problem) : c_(problem.n_causes), stride_(padded(problem.n_causes)) {
    for (double beta : problem.prior) add_component(beta);
    for (const AlgorithmData& a : problem.algorithms) {
      if (std::any_of(a.counts.begin(), a.counts.end(), [](double x) { return x > 0; })) add_algorithm(a);
    }
    size_workspace();
  }

  int dimension() const { return dimension_; }
  int n_causes() const { return c_; }

  // The counts times a factor: a flatter likelihood of the same shape, where a chain moves freely.
  void temper(const std::vector<double>& factors);

  // log-density up to a constant; gradient has room for padded(dimension()) values.
  double evaluate(const double* t, double* gradient) {
    to_gamma(t);
    double value = prior_value();
    normalise(0, c_, p_.data());
    for (const Row& row : rows_) normalise_row(row);
    value += likelihood();
    prior_gradient(gradient);
    add_fraction_gradient(gradient);
    for (const Row& row : rows_) add_row_gradient(row, gradient);
    chain_rule(gradient);
    return value;
  }

  // CSMF at t.
  void fractions(const double* t, double* p) {
    to_gamma(t);
    normalise(0, c_, p_.data());
    std::copy(p_.begin(), p_.begin() + c_, p);
  }

  // A point to start from: a draw from the prior, moved by expectation-maximisation towards the data, then a
  // draw of p and M given the expected complete counts there.
  std::vector<double> start(Rng& rng) const;

 private:
  struct Row {
    int algorithm, cause, offset, length;
  };

  void add_component(double alpha) {
    const int at = dimension_++;
    alpha_.push_back(alpha);
    const bool large = alpha >= 1;
    centre_.push_back(large ? log_of(alpha) : 0);
    slope_.push_back(large ? 1 / std::sqrt(alpha) : 1);
    if (!large) small_.push_back(at);
  }

  void add_algorithm(const AlgorithmData& a) {
    const int k = static_cast<int>(counts_.size());
    std::vector<double> counts(stride_, 0.0), matrix(c_ * stride_, 0.0);
    std::copy(a.counts.begin(), a.counts.end(), counts.begin());
    for (int i = 0; i < c_; ++i) {
      if (a.calibrated[i]) add_row(a, k, i, matrix.data() + i * stride_);
      else matrix[i * stride_ + i] = 1;
    }
    counts_.push_back(counts);
    matrix_.push_back(matrix);
    back_.emplace_back(stride_, 0.0);
  }

  void add_row(const AlgorithmData& a, int k, int i, double* constant) {
    std::vector<int> columns;
    double total = 0;
    for (int j = 0; j < c_; ++j) {
      if (!a.calibrated[j] || a.matrix[i * c_ + j] <= 0) continue;
      columns.push_back(j);
      total += a.matrix[i * c_ + j];
    }
    if (columns.empty()) throw SamplingError("row " + std::to_string(i + 1) + " of a matrix has no positive entry");
    if (a.fixed || columns.size() == 1) {
      for (int j : columns) constant[j] = a.matrix[i * c_ + j] / total;
      return;
    }
    rows_.push_back({k, i, dimension_, static_cast<int>(columns.size())});
    for (int j : columns) add_component(a.matrix[i * c_ + j]), column_.push_back(j);
  }

  void size_workspace() {
    const int n = padded(dimension_), s = padded(static_cast<int>(small_.size()));
    for (auto* v : {&alpha_, &centre_, &slope_}) v->resize(n, 0.0);
    log_y_.assign(n, 0.0);
    y_.assign(n, 1.0);
    rate_.assign(n, 0.0);
    p_.assign(stride_, 0.0);
    pull_.assign(stride_, 0.0);
    q_.assign(stride_, 0.0);
    for (auto* v : {&small_t_, &small_e_, &small_l_, &small_jacobian_}) v->assign(s, 1.0);
  }

  void to_gamma(const double* t) {
    for (int i = 0; i < padded(dimension_); i += 2) {
      store(&log_y_[i], load(&centre_[i]) + load(&slope_[i]) * load(t + i));
    }
    bend_small(t);
    exp_all(log_y_.data(), y_.data(), padded(dimension_));
  }

  // The map for alpha < 1, and the log of its Jacobian.
  void bend_small(const double* t) {
    const int n = static_cast<int>(small_.size());
    log_jacobian_ = 0;
    if (n == 0) return;
    for (int s = 0; s < n; ++s) small_t_[s] = -std::fabs(t[small_[s]]);
    exp_all(small_t_.data(), small_e_.data(), padded(n));  // exp(-|t|)
    for (int s = 0; s < padded(n); ++s) small_t_[s] = 1 + small_e_[s];
    log_all(small_t_.data(), small_l_.data(), padded(n));
    for (int s = 0; s < n; ++s) {
      const int at = small_[s];
      const double bend = 1 / alpha_[at] - 1, x = t[at];
      log_y_[at] = x - bend * (small_l_[s] + std::max(-x, 0.0));
      small_e_[s] = (x > 0 ? small_e_[s] : 1.0) / small_t_[s];  // 1 / (1 + exp(t))
      small_jacobian_[s] = 1 + bend * small_e_[s];
      slope_[at] = small_jacobian_[s];
    }
    log_all(small_jacobian_.data(), small_l_.data(), padded(n));
    for (int s = 0; s < n; ++s) log_jacobian_ += small_l_[s];
  }

  double prior_value() const {
    double value = log_jacobian_;
    for (int i = 0; i < dimension_; ++i) value += alpha_[i] * log_y_[i] - y_[i];
    return value;
  }

  // Shares of y in its sum; where all have nearly underflowed, relative to the largest.
  void normalise(int offset, int length, double* shares) {
    double sum = 0;
    for (int i = 0; i < length; ++i) sum += y_[offset + i];
    if (sum > 1e-280) {
      const double scale = 1 / sum;
      for (int i = 0; i < length; ++i) shares[i] = y_[offset + i] * scale;
      return;
    }
    const double top = *std::max_element(&log_y_[offset], &log_y_[offset] + length);
    for (int i = 0; i < length; ++i) shares[i] = exp_of(log_y_[offset + i] - top);
    sum = 0;
    for (int i = 0; i < length; ++i) sum += shares[i];
    for (int i = 0; i < length; ++i) shares[i] /= sum;
  }

  void normalise_row(const Row& row) {
    normalise(row.offset, row.length, &rate_[row.offset]);
    double* target = matrix_[row.algorithm].data() + row.cause * stride_;
    const int* column = &column_[row.offset - c_];
    for (int m = 0; m < row.length; ++m) target[column[m]] = rate_[row.offset + m];
  }

  // sum_kj a_kj log q_kj, q_k = M_k' p; leaves a_kj / q_kj in back_ and its pull on each p_i in pull_.
  double likelihood() {
    double value = 0;
    std::fill(pull_.begin(), pull_.end(), 0.0);
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      const double* m = matrix_[k].data();
      for (int j = 0; j < stride_; j += 2) {
        Pair sum = both(0.0);
        for (int i = 0; i < c_; ++i) sum += both(p_[i]) * load(m + i * stride_ + j);
        store(&q_[j], sum);
      }
      for (int j = 0; j < c_; ++j) {
        const double a = counts_[k][j];
        back_[k][j] = a > 0 ? a / q_[j] : 0;
        value += a > 0 ? a * log_of(q_[j]) : 0;
      }
    }
    return value;
  }

  void prior_gradient(double* gradient) const {
    for (int i = 0; i < padded(dimension_); i += 2) store(gradient + i, load(&alpha_[i]) - load(&y_[i]));
  }

  void add_fraction_gradient(double* gradient) {
    double total = 0;
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      for (int i = 0; i < c_; ++i) pull_[i] += row_pull(static_cast<int>(k), i);
    }
    for (int i = 0; i < c_; ++i) total += p_[i] * pull_[i];
    for (int i = 0; i < c_; ++i) gradient[i] += p_[i] * (pull_[i] - total);
  }

  double row_pull(int k, int i) const {
    const double* m = matrix_[k].data() + i * stride_;
    Pair sum = both(0.0);
    for (int j = 0; j < stride_; j += 2) sum += load(m + j) * load(&back_[k][j]);
    return sum[0] + sum[1];
  }

  void add_row_gradient(const Row& row, double* gradient) const {
    const double mean = row_pull(row.algorithm, row.cause), p = p_[row.cause];
    const double* back = back_[row.algorithm].data();
    const int* column = &column_[row.offset - c_];
    for (int m = 0; m < row.length; ++m) {
      gradient[row.offset + m] += p * rate_[row.offset + m] * (back[column[m]] - mean);
    }
  }

  void chain_rule(double* gradient) const {
    for (int i = 0; i < padded(dimension_); i += 2) store(gradient + i, load(gradient + i) * load(&slope_[i]));
    for (std::size_t s = 0; s < small_.size(); ++s) {
      const double bend = small_jacobian_[s] - 1;
      gradient[small_[s]] -= bend * (1 - small_e_[s]) / small_jacobian_[s];
    }
  }

  double coordinate(int at, double log_y) const;

  int c_, stride_, dimension_ = 0;
  std::vector<double> alpha_, centre_, slope_;  // by coordinate; slope_ = d log y / d t
  std::vector<int> small_, column_;             // coordinates with alpha < 1; VA cause of matrix coordinates
  std::vector<Row> rows_;
  std::vector<std::vector<double>> counts_, matrix_, back_;  // by algorithm
  std::vector<double> log_y_, y_, rate_, p_, pull_, q_;
  std::vector<double> small_t_, small_e_, small_l_, small_jacobian_;
  double log_jacobian_ = 0;
};

// The coordinate at which a component has this log y: the inverse of the maps above.
inline double Posterior::coordinate(int at, double log_y) const {
  const double alpha = alpha_[at];
  if (alpha >= 1) return (log_y - centre_[at]) * std::sqrt(alpha);
  const double bend = 1 / alpha - 1;
  double t = log_y > 0 ? log_y : log_y * alpha;  // the map's two asymptotes
  for (int step = 0; step < 60; ++step) {
    const double e = exp_of(-std::fabs(t));
    const double value = t - bend * (log_of(1 + e) + std::max(-t, 0.0));
    const double move = (log_y - value) / (1 + bend * (t > 0 ? e : 1.0) / (1 + e));
    t += move;
    if (std::fabs(move) < 1e-12 * (1 + std::fabs(t))) break;
  }
  return t;
}

inline std::vector<double> Posterior::start(Rng& rng) const {
  std::vector<double> log_y(dimension_), share(dimension_), extra(dimension_);
  std::vector<double> p(c_), q(c_);
  std::vector<std::vector<double>> m = matrix_;
  auto normalise_into = [](const double* from, double* to, int n) {
    const double top = *std::max_element(from, from + n);
    double sum = 0;
    for (int i = 0; i < n; ++i) sum += to[i] = exp_of(from[i] - top);
    for (int i = 0; i < n; ++i) to[i] /= sum;
  };
  auto settle = [&] {
    normalise_into(log_y.data(), p.data(), c_);
    for (const Row& row : rows_) {
      normalise_into(&log_y[row.offset], &share[row.offset], row.length);
      for (int j = 0; j < row.length; ++j) {
        m[row.algorithm][row.cause * stride_ + column_[row.offset - c_ + j]] = share[row.offset + j];
      }
    }
  };
  auto expect = [&] {  // expected complete counts of every component
    std::fill(extra.begin(), extra.end(), 0.0);
    for (std::size_t k = 0; k < counts_.size(); ++k) {
      std::fill(q.begin(), q.end(), 0.0);
      for (int i = 0; i < c_; ++i) {
        for (int j = 0; j < c_; ++j) q[j] += p[i] * m[k][i * stride_ + j];
      }
      for (int i = 0; i < c_; ++i) {
        for (int j = 0; j < c_; ++j) {
          if (counts_[k][j] > 0) extra[i] += counts_[k][j] * p[i] * m[k][i * stride_ + j] / q[j];
        }
      }
      for (const Row& row : rows_) {
        if (row.algorithm != static_cast<int>(k)) continue;
        for (int j = 0; j < row.length; ++j) {
          const int column = column_[row.offset - c_ + j];
          const double a = counts_[k][column];
          if (a > 0) extra[row.offset + j] = a * p[row.cause] * share[row.offset + j] / q[column];
        }
      }
    }
  };
  for (int i = 0; i < dimension_; ++i) log_y[i] = rng.log_gamma(alpha_[i]);
  settle();
  for (int step = 0; step < 30; ++step) {
    expect();
    for (int i = 0; i < dimension_; ++i) log_y[i] = log_of(alpha_[i] + extra[i]);
    settle();
  }
  expect();
  for (int i = 0; i < dimension_; ++i) log_y[i] = rng.log_gamma(alpha_[i] + extra[i]);
  // Row sums of the complete counts are not gamma(alpha) sums: bring each row back to its own total.
  auto rescale = [&](int offset, int length) {
    double total = 0, target = 0;
    const double top = *std::max_element(&log_y[offset], &log_y[offset] + length);
    for (int i = 0; i < length; ++i) total += exp_of(log_y[offset + i] - top), target += alpha_[offset + i];
    const double shift = rng.log_gamma(target) - top - log_of(total);
    for (int i = 0; i < length; ++i) log_y[offset + i] += shift;
  };
  rescale(0, c_);
  for (const Row& row : rows_) rescale(row.offset, row.length);
  std::vector<double> t(padded(dimension_), 0.0);
  for (int i = 0; i < dimension_; ++i) t[i] = coordinate(i, log_y[i]);
  return t;
}

}  // namespace vacal
