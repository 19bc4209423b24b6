#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "adaptation.hpp"
#include "lanes.hpp"
#include "linalg.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// Variances, and covariances of the leading coordinates, over the draws of all chains in a window.
class Moments {
 public:
  Moments(const Metric& metric, const std::vector<Lanes>& origin)
      : origin_(origin), change_(origin.size()), sum_(origin.size(), Lanes(0.0)), square_(sum_),
        product_(metric.triangle.size(), Lanes(0.0)) {}

  void add(const std::vector<Lanes>& x, int dense) {
    ++count_;
    for (std::size_t i = 0; i < x.size(); ++i) {
      change_[i] = x[i] - Lanes(origin_[i][0]);
      sum_[i] += change_[i];
      square_[i] += change_[i] * change_[i];
    }
    for (int i = 0; i < dense; ++i) {
      for (int j = 0; j < i; ++j) product_[i * dense + j] += change_[i] * change_[j];
    }
  }

  void update(Metric& metric) const {  // shrunk towards what it was
    constexpr double prior = 5;
    const double n = count_ * Lanes::size, divisor = n + prior - 1;
    for (std::size_t i = 0; i < sum_.size(); ++i) {
      const double s = metric.scale[i], total = sum(sum_[i]);
      metric.scale[i] = std::sqrt((sum(square_[i]) - total * total / n + prior * s * s + 1e-12) / divisor);
    }
    const int dense = metric.dense;
    std::vector<double> covariance(dense * dense);
    for (int i = 0; i < dense; ++i) {
      for (int j = 0; j < i; ++j) {
        covariance[i * dense + j] = (sum(product_[i * dense + j]) - sum(sum_[i]) * sum(sum_[j]) / n) / divisor;
      }
      covariance[i * dense + i] = metric.scale[i] * metric.scale[i];
    }
    std::vector<double>& l = metric.triangle;
    factorise(
        covariance.data(), l.data(), dense,
        [&](double rest, int i) { return std::sqrt(std::max(rest, 1e-6 * covariance[i * dense + i])); },
        [&](double rest, int j) { return rest / l[j * dense + j]; });
  }

 private:
  double count_ = 0;
  std::vector<Lanes> origin_, change_, sum_, square_, product_;
};

// Hamiltonian Monte Carlo (Neal 2011) with four chains side by side, for a Density with
//   int dimension() const;
//   int dense() const;                                      // leading coordinates with a dense metric
//   std::vector<Lanes> starts(Rng&);                        // points to start from, one a lane
//   Lanes evaluate(const Lanes* x, Lanes* gradient);        // log-density up to a constant
//   void fractions(const Lanes* x, Lanes* p);               // what the fit is for
// The chains share metric, step size and the length of trajectories, all adapted on all of them in a common warm-up;
// after it they are independent given these. The mean length is such that successive draws of the fraction that mixes
// worst are about uncorrelated; it varies widely about that, or else a fraction that swings quickly would come back to
// where it started.
template <class Density>
class Hmc {
 public:
  Hmc(const Density& density, const Key& key, std::function<void()> heartbeat)
      : heartbeat_(std::move(heartbeat)), density_(density), jitter_(key, 0), n_(density.dimension()),
        metric_(n_, density.dense()), x_(density_.starts(jitter_)) {
    for (int c = 0; c < Lanes::size; ++c) streams_.emplace_back(key, static_cast<std::uint64_t>(c) + 1);
    for (auto* v : {&gradient_, &next_gradient_, &next_, &momentum_}) v->assign(n_, Lanes(0.0));
    value_ = density_.evaluate(x_.data(), gradient_.data());
    for (int c = 0; c < Lanes::size; ++c) {
      if (!std::isfinite(value_[c])) throw SamplingError("the density is not finite at a starting point");
    }
  }

  void warm_up(int n_wanted) {
    n_wanted_ = n_wanted;
    step_size_ = 0.1;
    length_ = 1;
    adapt(30, false, false);
    length_ = 2;
    for (int window : {30, 60}) adapt(window, true, window > 30);
    adapt(80, true, true);
    adapt(50, false, false);
    acceptance_ = divergences_ = n_transitions_ = 0;
  }

  // One transition of every chain.
  void advance() {
    transition(step_size_ * (0.9 + 0.2 * jitter_.uniform()));
    heartbeat_();
  }
  void fractions(Lanes* p) { density_.fractions(x_.data(), p); }

  long long evaluations() const { return evaluations_; }
  int divergences() const { return static_cast<int>(divergences_); }
  double acceptance() const { return acceptance_ / n_transitions_; }
  double step_size() const { return step_size_; }
  double length() const { return length_; }

 private:
  // Transitions that adapt the step size, and at their end, if asked for, the metric and the length of trajectories.
  void adapt(int transitions, bool metric, bool length) {
    Moments moments(metric_, x_);
    step_.restart(step_size_);
    std::vector<std::vector<Lanes>> path;
    for (int i = 0; i < transitions; ++i) {
      step_.update(transition(step_.current()));
      if (metric) moments.add(x_, metric_.dense);
      if (length) {
        path.emplace_back(n_wanted_);
        density_.fractions(x_.data(), path.back().data());
      }
      heartbeat_();
    }
    if (metric) {
      moments.update(metric_);
      value_ = density_.evaluate(x_.data(), gradient_.data());
      turn(gradient_);
    }
    if (length) adapt_length(path);
    step_size_ = step_.averaged();
  }

  // Where a quantity swings as cos(frequency * length), successive draws' correlation gives its frequency.
  void adapt_length(const std::vector<std::vector<Lanes>>& path) {
    constexpr double aim = 0;
    double worst = -1;
    for (int j = 0; j < n_wanted_; ++j) worst = std::max(worst, correlation(path, j));
    length_ *= std::min(2.0, std::max(0.7, std::acos(aim) / std::acos(std::min(worst, 0.95))));
    length_ = std::min(length_, 20.0);
  }

  // Of successive draws, over all chains, around the mean of all.
  static double correlation(const std::vector<std::vector<Lanes>>& path, int j) {
    Lanes total = 0.0;
    for (const auto& p : path) total += p[j];
    const double mean = sum(total) / (Lanes::size * static_cast<double>(path.size()));
    Lanes square = 0.0, product = 0.0;
    for (std::size_t i = 0; i < path.size(); ++i) {
      const Lanes change = path[i][j] - Lanes(mean);
      square += change * change;
      if (i > 0) product += change * (path[i - 1][j] - Lanes(mean));
    }
    return sum(square) > 0 ? sum(product) / sum(square) : -1;
  }

  // A trajectory of every chain, accepted or not by each; mean acceptance.
  double transition(double step) {
    constexpr int longest = 512;
    const double length = length_ * (0.5 + jitter_.uniform());
    const int steps = std::max(1, std::min(longest, static_cast<int>(length / step + jitter_.uniform())));
    Lanes kinetic = 0.0;
    for (int i = 0; i < n_; ++i) {
      for (int c = 0; c < Lanes::size; ++c) momentum_[i].set(c, streams_[c].normal());
      kinetic += momentum_[i] * momentum_[i];
    }
    const Lanes energy = Lanes(0.5) * kinetic - value_;
    next_ = x_;
    next_gradient_ = gradient_;
    Lanes value = value_;
    push(0.5 * step);
    for (int s = 1;; ++s) {
      move(step);
      value = density_.evaluate(next_.data(), next_gradient_.data());
      turn(next_gradient_);
      if (s == steps) break;
      push(step);
    }
    push(0.5 * step);
    kinetic = 0.0;
    for (int i = 0; i < n_; ++i) kinetic += momentum_[i] * momentum_[i];
    evaluations_ += Lanes::size * steps;
    ++n_transitions_;
    return accept(energy - (Lanes(0.5) * kinetic - value), value);
  }

  double accept(Lanes gain, Lanes value) {
    double mean = 0;
    LaneMask moves;
    for (int c = 0; c < Lanes::size; ++c) {
      const double u = streams_[c].uniform();
      const bool fine = gain[c] > -1000;
      const double probability = fine ? exp_of(std::min(gain[c], 0.0)) : 0;
      divergences_ += !fine;
      moves.set(c, u < probability);
      mean += probability / Lanes::size;
    }
    value_ = choose(moves, value_, value);
    for (int i = 0; i < n_; ++i) {
      x_[i] = choose(moves, x_[i], next_[i]);
      gradient_[i] = choose(moves, gradient_[i], next_gradient_[i]);
    }
    acceptance_ += mean;
    return mean;
  }

  void push(double step) {
    const Lanes s = step;
    for (int i = 0; i < n_; ++i) momentum_[i] += s * next_gradient_[i];
  }

  // next += step * S momentum
  void move(double step) {
    const int dense = metric_.dense;
    for (int i = 0; i < dense; ++i) {
      Lanes sum = 0.0;
      for (int j = 0; j <= i; ++j) sum += Lanes(metric_.triangle[i * dense + j]) * momentum_[j];
      next_[i] += Lanes(step) * sum;
    }
    for (int i = dense; i < n_; ++i) next_[i] += Lanes(step * metric_.scale[i]) * momentum_[i];
  }

  // g = S' g
  void turn(std::vector<Lanes>& g) const {
    const int dense = metric_.dense;
    for (int j = 0; j < dense; ++j) {
      Lanes sum = 0.0;
      for (int i = j; i < dense; ++i) sum += Lanes(metric_.triangle[i * dense + j]) * g[i];
      g[j] = sum;
    }
    for (int i = dense; i < n_; ++i) g[i] *= Lanes(metric_.scale[i]);
  }

  std::function<void()> heartbeat_;
  Density density_;
  Rng jitter_;
  int n_, n_wanted_ = 0;
  Metric metric_;
  StepSize step_{0.7};
  std::vector<Rng> streams_;
  std::vector<Lanes> x_, gradient_, next_, next_gradient_, momentum_;
  Lanes value_ = 0.0;
  double step_size_ = 0.1, length_ = 1, acceptance_ = 0, divergences_ = 0, n_transitions_ = 0;
  long long evaluations_ = 0;
};

}  // namespace vacal
