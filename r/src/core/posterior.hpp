#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "column_shear.hpp"
#include "modes.hpp"
#include "math.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// Log-density and gradient of (p, M_1, .., M_K) given the counts, in unbounded coordinates of about unit scale. Every
// Dirichlet component is a gamma variable y over the sum of its row; its coordinate t is
//   alpha >= 1: log y = log alpha + t / sqrt(alpha);
//   alpha < 1:  log y = t - (1/alpha - 1) log(1 + exp(-t)), under which the density falls off as exp(t) to the
//               left for any alpha, where that of log y would fall off as slowly as exp(alpha log y);
// columns of matrices about which the data tell much are straightened further (ColumnShear). The cost of an
// evaluation does not depend on the number of deaths.
class Posterior {
 public:
  explicit Posterior(const Problem& problem)
      : layout_(make_layout(problem)), c_(layout_.n_causes), stride_(padded(c_)), dimension_(layout_.size()) {
    size_workspace();
    add_shears();
    for (int i = 0; i < dimension_; ++i) {
      if (alpha_[i] < 1 && !is_pivot_[i]) small_.push_back(i);
    }
    for (auto* v : {&small_t_, &small_e_, &small_l_, &small_jacobian_}) v->assign(padded(n_small()), 1.0);
  }

  int dimension() const { return dimension_; }
  int dense() const { return c_; }  // p is what the fit is for: its coordinates come first

  // log-density up to a constant; t and gradient have padded(dimension()) values.
  double evaluate(const double* t, double* gradient) {
    to_gamma(t);
    double value = prior_value();
    for (const MatrixRow& row : layout_.rows) normalise_row(row);
    std::fill(by_log_p_.begin(), by_log_p_.end(), 0.0);
    value += likelihood();
    for (int i = 0; i < padded(dimension_); i += 2) store(gradient + i, load(&alpha_[i]) - load(&y_[i]));
    for (const MatrixRow& row : layout_.rows) add_row_gradient(row, gradient);
    for (const ColumnShear& shear : shears_) shear.pull_back(gradient, by_log_p_.data());
    add_fraction_gradient(gradient);
    chain_rule(gradient);
    return value;
  }

  // CSMF at t.
  void fractions(const double* t, double* p) {
    to_gamma(t);
    std::copy(p_.begin(), p_.begin() + c_, p);
  }

  // Points to start n chains from: draws of p and M given the expected complete counts at the modes that matter, which
  // take turns, so that modes apart show as chains that disagree.
  std::vector<std::vector<double>> starts(Rng& rng, int n) const {
    std::vector<Expectation> modes = find_modes(layout_, rng);
    std::vector<std::vector<double>> points;
    for (int i = 0; i < n; ++i) points.push_back(coordinates(modes[i % modes.size()].draw(rng)));
    return points;
  }

 private:
  int n_small() const { return static_cast<int>(small_.size()); }

  void size_workspace() {
    const int n = padded(dimension_);
    alpha_ = layout_.alpha;
    for (double a : alpha_) {
      centre_.push_back(a >= 1 ? log_of(a) : 0);
      slope_.push_back(a >= 1 ? 1 / std::sqrt(a) : 1);
    }
    for (auto* v : {&alpha_, &centre_, &slope_, &log_y_, &rate_}) v->resize(n, 0.0);
    y_.assign(n, 1.0);
    is_pivot_.assign(dimension_, 0);
    for (auto* v : {&p_, &by_log_p_, &pull_, &q_}) v->assign(stride_, 0.0);
    for (const auto& constant : layout_.constant) {
      matrix_.emplace_back(c_ * stride_, 0.0);
      back_.emplace_back(stride_, 0.0);
      for (int i = 0; i < c_; ++i) {
        std::copy(&constant[i * c_], &constant[i * c_] + c_, &matrix_.back()[i * stride_]);
      }
    }
  }

  void add_shears() {
    Expectation guess(layout_);
    guess.iterate(200);
    for (std::size_t k = 0; k < layout_.counts.size(); ++k) {
      double deaths = 0;
      for (double x : layout_.counts[k]) deaths += x;
      for (int j = 0; j < c_; ++j) {
        ColumnShear shear(layout_, guess, static_cast<int>(k), j);
        if (!shear.possible() || deaths < shear.prior_deaths()) continue;
        shear.set_deaths(deaths);
        centre_[shear.pivot()] = 0;
        slope_[shear.pivot()] = 1;
        is_pivot_[shear.pivot()] = 1;
        shears_.push_back(shear);
      }
    }
  }

  void to_gamma(const double* t) {
    for (int i = 0; i < padded(dimension_); i += 2) {
      store(&log_y_[i], load(&centre_[i]) + load(&slope_[i]) * load(t + i));
    }
    bend_small(t);
    for (const ColumnShear& shear : shears_) log_y_[shear.pivot()] = shear.level();
    exp_all(log_y_.data(), y_.data(), padded(dimension_));
    normalise(0, c_, p_.data());
    for (ColumnShear& shear : shears_) shear.apply(t[shear.pivot()], p_.data(), y_.data(), log_y_.data());
  }

  // The map for alpha < 1, and the log of its Jacobian.
  void bend_small(const double* t) {
    const int n = n_small();
    log_jacobian_ = 0;
    for (int s = 0; s < n; ++s) small_t_[s] = -std::fabs(t[small_[s]]);
    exp_all(small_t_.data(), small_e_.data(), padded(n));  // exp(-|t|)
    for (int s = 0; s < padded(n); ++s) small_t_[s] = 1 + small_e_[s];
    log_all(small_t_.data(), small_l_.data(), padded(n));
    for (int s = 0; s < n; ++s) {
      const int at = small_[s];
      const double bend = 1 / alpha_[at] - 1, x = t[at];
      log_y_[at] = x - bend * (small_l_[s] + std::max(-x, 0.0));
      small_e_[s] = (x > 0 ? small_e_[s] : 1.0) / small_t_[s];  // 1 / (1 + exp(t))
      slope_[at] = small_jacobian_[s] = 1 + bend * small_e_[s];
    }
    log_all(small_jacobian_.data(), small_l_.data(), padded(n));
    for (int s = 0; s < n; ++s) log_jacobian_ += small_l_[s];
  }

  double prior_value() const {
    Pair sum = both(0.0);
    for (int i = 0; i < padded(dimension_); i += 2) sum += load(&alpha_[i]) * load(&log_y_[i]) - load(&y_[i]);
    return log_jacobian_ + sum[0] + sum[1];
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
    sum = 0;
    for (int i = 0; i < length; ++i) sum += shares[i] = exp_of(log_y_[offset + i] - top);
    for (int i = 0; i < length; ++i) shares[i] /= sum;
  }

  void normalise_row(const MatrixRow& row) {
    normalise(row.offset, row.length, &rate_[row.offset]);
    double* target = matrix_[row.algorithm].data() + row.cause * stride_;
    for (int c = row.offset; c < row.offset + row.length; ++c) target[layout_.column[c]] = rate_[c];
  }

  // sum_kj a_kj log q_kj, q_k = M_k' p; leaves a_kj / q_kj in back_ and the gradient by p in pull_.
  double likelihood() {
    double value = 0;
    std::fill(pull_.begin(), pull_.end(), 0.0);
    for (std::size_t k = 0; k < matrix_.size(); ++k) {
      const double* m = matrix_[k].data();
      for (int j = 0; j < stride_; j += 2) {
        Pair sum = both(0.0);
        for (int i = 0; i < c_; ++i) sum += both(p_[i]) * load(m + i * stride_ + j);
        store(&q_[j], sum);
      }
      for (int j = 0; j < c_; ++j) {
        const double a = layout_.counts[k][j];
        back_[k][j] = a > 0 ? a / q_[j] : 0;
        value += a > 0 ? a * log_of(q_[j]) : 0;
      }
      for (int i = 0; i < c_; ++i) pull_[i] += row_pull(static_cast<int>(k), i);
    }
    return value;
  }

  double row_pull(int k, int i) const {
    const double* m = matrix_[k].data() + i * stride_;
    Pair sum = both(0.0);
    for (int j = 0; j < stride_; j += 2) sum += load(m + j) * load(&back_[k][j]);
    return sum[0] + sum[1];
  }

  void add_row_gradient(const MatrixRow& row, double* gradient) const {
    const double mean = row_pull(row.algorithm, row.cause), p = p_[row.cause];
    const double* back = back_[row.algorithm].data();
    for (int c = row.offset; c < row.offset + row.length; ++c) {
      gradient[c] += p * rate_[c] * (back[layout_.column[c]] - mean);
    }
  }

  void add_fraction_gradient(double* gradient) {
    double total = 0;
    for (int i = 0; i < c_; ++i) total += by_log_p_[i] += p_[i] * pull_[i];
    for (int i = 0; i < c_; ++i) gradient[i] += by_log_p_[i] - p_[i] * total;
  }

  void chain_rule(double* gradient) const {
    for (int i = 0; i < padded(dimension_); i += 2) store(gradient + i, load(gradient + i) * load(&slope_[i]));
    for (int s = 0; s < n_small(); ++s) {
      gradient[small_[s]] -= (small_jacobian_[s] - 1) * (1 - small_e_[s]) / small_jacobian_[s];
    }
  }

  // The coordinates of given log y.
  std::vector<double> coordinates(std::vector<double> log_y) const {
    std::vector<double> t(padded(dimension_), 0.0), log_p(log_y.begin(), log_y.begin() + c_);
    double log_sum = -std::numeric_limits<double>::infinity();
    for (double x : log_p) log_sum = log_sum_exp(log_sum, x);
    for (double& x : log_p) x -= log_sum;
    for (const ColumnShear& shear : shears_) t[shear.pivot()] = shear.invert(log_p, log_y);
    for (int i = 0; i < dimension_; ++i) {
      if (is_pivot_[i]) continue;
      t[i] = alpha_[i] >= 1 ? (log_y[i] - centre_[i]) * std::sqrt(alpha_[i]) : unbend(alpha_[i], log_y[i]);
    }
    return t;
  }

  // Inverse of the map for alpha < 1, by Newton's method from its nearer asymptote.
  static double unbend(double alpha, double log_y) {
    const double bend = 1 / alpha - 1;
    double t = log_y > 0 ? log_y : log_y * alpha;
    for (int step = 0; step < 60; ++step) {
      const double e = exp_of(-std::fabs(t));
      const double value = t - bend * (log_of(1 + e) + std::max(-t, 0.0));
      const double move = (log_y - value) / (1 + bend * (t > 0 ? e : 1.0) / (1 + e));
      t += move;
      if (std::fabs(move) < 1e-12 * (1 + std::fabs(t))) break;
    }
    return t;
  }

  Layout layout_;
  int c_, stride_, dimension_;
  std::vector<double> alpha_, centre_, slope_;  // by coordinate; slope_ = d log y / d t
  std::vector<char> is_pivot_;
  std::vector<int> small_;  // coordinates with alpha < 1
  std::vector<ColumnShear> shears_;
  std::vector<std::vector<double>> matrix_, back_;  // by algorithm
  std::vector<double> log_y_, y_, rate_, p_, by_log_p_, pull_, q_;
  std::vector<double> small_t_, small_e_, small_l_, small_jacobian_;
  double log_jacobian_ = 0;
};

}  // namespace vacal
