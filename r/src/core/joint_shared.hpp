#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "column_shear.hpp"
#include "expectation.hpp"
#include "joint_model.hpp"
#include "layout.hpp"
#include "math.hpp"
#include "rng.hpp"

namespace vacal::joint {

// A point of the shared coordinates: in the terms of the model, and what their gradient needs.
struct SharedState {
  SharedPoint point;
  double log_prior = 0;          // of phi, kappa, pi and the matrices with the labels as they are, in these coordinates
  std::vector<double> log_rate;  // by coordinate of the layout: of the matrices' random rows
  std::vector<double> y, log_y, slope, by_log_y, pi, shear_share;
};

// The coordinates of what strata share, of about unit scale: t[0] is phi's, then come those of the layout (pi and the random
// rows of the matrices: log-gamma variables, bent where their shape is small; columns of matrices that the data pin down
// are straightened, see ColumnShear), then those of the kappa.
class SharedCoordinates {
 public:
  // deaths: what all strata together tell about the fraction of a column, as so many deaths of one algorithm.
  SharedCoordinates(std::shared_ptr<const Layout> layout, std::vector<Scatter> scattered, double deaths)
      : layout_(std::move(layout)), c_(layout_->n_causes), k_(static_cast<int>(layout_->counts.size())), n_(layout_->size()),
        scattered_(std::move(scattered)), is_pivot_(n_, 0) {
    for (double alpha : layout_->alpha) {
      bends_.emplace_back(alpha);
      centre_.push_back(bends_.back().inverse(log_of(alpha)));
      unit_.push_back(1 / (bends_.back().slope(centre_.back()) * std::sqrt(alpha)));
    }
    add_shears(deaths);
  }

  int size() const { return 1 + n_ + static_cast<int>(scattered_.size()); }

  SharedState state() const {
    SharedState at;
    at.point.kappa.assign(k_, std::numeric_limits<double>::infinity());
    at.point.m.assign(k_ * c_ * c_, 0.0);
    for (int k = 0; k < k_; ++k) std::copy(layout_->constant[k].begin(), layout_->constant[k].end(), &at.point.m[k * c_ * c_]);
    for (auto* v : {&at.point.b, &at.point.firm, &at.pi}) v->assign(c_, 0.0);
    at.point.bends.resize(c_);
    for (auto* v : {&at.log_y, &at.y}) v->assign(padded(n_), 1.0);
    for (auto* v : {&at.slope, &at.by_log_y, &at.log_rate}) v->assign(n_, 0.0);
    int n_shares = 0;
    for (const ColumnShear& shear : shears_) n_shares += shear.n_parts();
    at.shear_share.assign(n_shares, 0.0);
    return at;
  }

  // Sets a state() to that at t.
  void place(const double* t, SharedState& at) const {
    at.log_prior = -0.5 * t[0] * t[0];
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      const double z = t[1 + n_ + v];
      at.log_prior -= 0.5 * z * z;
      at.point.kappa[scattered_[v].algorithm] = exp_of(mean_log_kappa + sd_log_kappa * z);
    }
    at.point.phi = exp_of(mean_log_phi + sd_log_phi * t[0]);
    place_gammas(t, at);
    for (int i = 0; i < n_; ++i) at.log_prior += layout_->alpha[i] * at.log_y[i] - at.y[i] + log_of(at.slope[i]);
    place_shapes(at);
    place_matrices(at);
  }

  // The gradient by t of the log-density whose other parts have the gradients `by` (by what strata share) and by_log_rate.
  void pull_back(const double* t, const SharedState& at, const SharedGradient& by, const std::vector<double>& by_log_rate,
                 double* gradient) const {
    const SharedPoint& point = at.point;
    std::vector<double> by_log_pi(c_), g(n_);
    double mean = 0;
    for (int i = 0; i < c_; ++i) mean += by_log_pi[i] = point.b[i] * by.by_b[i];
    gradient[0] = -t[0] + sd_log_phi * (by.by_phi * point.phi + mean);
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      gradient[1 + n_ + v] = -t[1 + n_ + v] + sd_log_kappa * by.by_log_kappa[v];
    }
    for (int i = 0; i < n_; ++i) g[i] = layout_->alpha[i] - at.y[i];
    pull_back_matrices(point, by, by_log_rate, g);
    const double* share = at.shear_share.data();
    for (const ColumnShear& shear : shears_) {
      shear.pull_back(share, g.data(), by_log_pi.data());
      share += shear.n_parts();
    }
    double total = 0;
    for (int i = 0; i < c_; ++i) total += by_log_pi[i];
    for (int i = 0; i < c_; ++i) g[i] += by_log_pi[i] - point.b[i] / point.phi * total;
    for (int i = 0; i < n_; ++i) gradient[1 + i] = is_pivot_[i] ? g[i] : unit_[i] * (at.slope[i] * g[i] + at.by_log_y[i]);
  }

  // A point to start from: phi, kappa, pi and M from their priors, M and pi brought to the pooled counts by
  // expectation-maximisation and drawn given the expected counts.
  void start(Rng& rng, double* t) const {
    Expectation expectation(*layout_);
    std::vector<double> prior(n_);
    for (int i = 0; i < n_; ++i) prior[i] = exp_of(rng.log_gamma(layout_->alpha[i]));
    expectation.set_shares(prior);
    expectation.iterate(30);
    const std::vector<double> log_y = expectation.draw(rng);
    t[0] = rng.normal();
    set_coordinates(log_y, t);
    for (int i = 1 + n_; i < size(); ++i) t[i] = rng.normal();
  }

  // Moves the coordinates t, whose state is `at`, so that every slot comes to the place of the cause that it stands for.
  // Rows take the gamma sums of their new place.
  void relabel(const SharedState& at, const std::vector<int>& labels, double* t) const {
    std::vector<double> log_y(at.log_y.begin(), at.log_y.begin() + n_);
    for (int i = 0; i < c_; ++i) log_y[labels[i]] = at.log_y[i];
    for (const MatrixRow& row : layout_->rows) {
      if (labels[row.cause] == row.cause) continue;
      const MatrixRow& to = *find_row(*layout_, row.algorithm, labels[row.cause]);
      const double shift = log_sum(to, at.log_y) - log_sum(row, at.log_y);
      for (int c = 0; c < row.length; ++c) log_y[to.offset + c] = at.log_y[row.offset + c] + shift;
    }
    set_coordinates(log_y, t);
  }

 private:
  // Columns that the deaths know better than the prior does are straightened.
  void add_shears(double deaths) {
    Expectation guess(*layout_);
    guess.iterate(200);
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < c_; ++j) {
        ColumnShear shear(*layout_, guess, k, j);
        if (!shear.possible() || deaths < shear.prior_deaths()) continue;
        shear.set_deaths(deaths);
        is_pivot_[shear.pivot()] = 1;
        shears_.push_back(shear);
      }
    }
  }

  // Sets log y, y and pi.
  void place_gammas(const double* t, SharedState& at) const {
    for (int i = 0; i < n_; ++i) {
      const Bend& bend = bends_[i];
      const double u = centre_[i] + unit_[i] * t[1 + i], e = exp_of(-std::fabs(u));
      const double left = (u > 0 ? e : 1.0) / (1 + e);
      at.log_y[i] = u - bend.bend * (std::max(-u, 0.0) + log1p_of(e));
      at.slope[i] = 1 + bend.bend * left;
      at.by_log_y[i] = -bend.bend * left * (1 - left) / at.slope[i];  // of log slope, by u
    }
    for (const ColumnShear& shear : shears_) {
      at.log_y[shear.pivot()] = shear.level();
      at.slope[shear.pivot()] = 1;
    }
    exp_all(at.log_y.data(), at.y.data(), padded(n_));
    double sum = 0;
    for (int i = 0; i < c_; ++i) sum += at.y[i];
    for (int i = 0; i < c_; ++i) at.pi[i] = at.y[i] / sum;
    double* share = at.shear_share.data();
    for (const ColumnShear& shear : shears_) {
      shear.apply(t[1 + shear.pivot()], at.pi.data(), at.y.data(), at.log_y.data(), share);
      share += shear.n_parts();
    }
  }

  // Sets b and what follows from it.
  void place_shapes(SharedState& at) const {
    SharedPoint& point = at.point;
    double sum = 0;
    for (int i = 0; i < c_; ++i) sum += at.y[i];
    point.firm_sum = 0;
    for (int i = 0; i < c_; ++i) {
      point.b[i] = std::max(point.phi * at.y[i] / sum, 1e-250);
      point.firm[i] = std::sqrt(point.b[i] * point.b[i] + 0.25);
      point.firm_sum += point.firm[i];
      point.bends[i] = Bend(point.b[i]);
    }
  }

  void place_matrices(SharedState& at) const {
    for (const MatrixRow& row : layout_->rows) {
      double total = 0;
      for (int c = row.offset; c < row.offset + row.length; ++c) total += at.y[c];
      double* m = &at.point.m[(row.algorithm * c_ + row.cause) * c_];
      const double log_total = log_of(total);
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        m[layout_->column[c]] = at.y[c] / total;
        at.log_rate[c] = at.log_y[c] - log_total;
      }
    }
  }

  // Adds to the gradient by the log-gamma variables.
  void pull_back_matrices(const SharedPoint& point, const SharedGradient& by, const std::vector<double>& by_log_rate,
                          std::vector<double>& g) const {
    std::vector<double> by_log_m(c_);
    for (const MatrixRow& row : layout_->rows) {
      const int at = (row.algorithm * c_ + row.cause) * c_;
      double pull = 0;
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        const int j = at + layout_->column[c];
        by_log_m[c - row.offset] = point.m[j] * by.by_m[j] + by_log_rate[c];
        pull += by_log_m[c - row.offset];
      }
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        g[c] += by_log_m[c - row.offset] - point.m[at + layout_->column[c]] * pull;
      }
    }
  }

  static double log_sum(const MatrixRow& row, const std::vector<double>& log_y) {
    double sum = -std::numeric_limits<double>::infinity();
    for (int c = row.offset; c < row.offset + row.length; ++c) sum = log_sum_exp(sum, log_y[c]);
    return sum;
  }

  // Sets the coordinates of pi and the matrices to those of the gamma variables with these logs.
  void set_coordinates(std::vector<double> log_y, double* t) const {
    std::vector<double> log_pi(log_y.begin(), log_y.begin() + c_);
    double log_sum = -std::numeric_limits<double>::infinity();
    for (double x : log_pi) log_sum = log_sum_exp(log_sum, x);
    for (double& x : log_pi) x -= log_sum;
    for (const ColumnShear& shear : shears_) t[1 + shear.pivot()] = shear.invert(log_pi, log_y);
    for (int i = 0; i < n_; ++i) {
      if (!is_pivot_[i]) t[1 + i] = (bends_[i].inverse(log_y[i]) - centre_[i]) / unit_[i];
    }
  }

  std::shared_ptr<const Layout> layout_;
  int c_, k_, n_;
  std::vector<Scatter> scattered_;
  std::vector<Bend> bends_;  // by coordinate of the layout, of its Dirichlet parameter
  std::vector<double> centre_, unit_;
  std::vector<ColumnShear> shears_;
  std::vector<char> is_pivot_;
};

}  // namespace vacal::joint
