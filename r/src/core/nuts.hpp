#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "math.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// The No-U-Turn sampler (Hoffman and Gelman 2014) with multinomial sampling of trajectories (Betancourt 2017),
// for any Density with
//   int dimension() const;
//   int dense() const;                                    // leading coordinates with a dense metric, 0 for none
//   double evaluate(const double* x, double* gradient);   // log-density up to a constant
//   std::vector<std::vector<double>> starts(Rng&, int n) const;   // n points to start from, padded; for NutsChains
// where both arrays have room for padded(dimension()) values. Trees are built leaf by leaf, with momenta kept at
// O(depth) checkpoints (Phan, Pradhan and Jankowiak 2019), so that no subtree is ever copied.

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

struct NutsTransition {
  double acceptance = 0;  // mean over the trajectory
  int evaluations = 0;
  bool divergent = false;
};

template <class Density>
class NutsChain {
 public:
  static constexpr int max_depth = 10;

  NutsChain(const Density& density, const Rng& rng, const std::vector<double>& start)
      : density_(density), rng_(rng), n_(padded(density.dimension())), metric_(density.dimension(), density.dense()), x_(start) {
    x_.resize(n_, 0.0);
    for (auto* v : {&gradient_, &rho_, &sum_, &subtree_x_, &subtree_g_}) v->assign(n_, 0.0);
    for (auto& end : ends_) end = {x_, gradient_, gradient_, gradient_};
    for (auto& c : checkpoints_) c = {rho_, rho_};
    value_ = density_.evaluate(x_.data(), gradient_.data());
  }

  const std::vector<double>& position() const { return x_; }
  double value() const { return value_; }
  Density& density() { return density_; }
  Rng& rng() { return rng_; }

  // Puts the chain at another point, as a Metropolis move between transitions does.
  void move_to(const std::vector<double>& x) {
    x_ = x;
    x_.resize(n_, 0.0);
    value_ = density_.evaluate(x_.data(), gradient_.data());
    metric_.turn(gradient_.data());
  }

  void set_metric(const Metric& metric) {
    metric_ = metric;
    value_ = density_.evaluate(x_.data(), gradient_.data());
    metric_.turn(gradient_.data());
  }

  // One transition with this step size.
  NutsTransition step(double step_size) {
    start_tree();
    NutsTransition result;
    double weight = 1;  // of the tree so far, relative to the starting point
    double acceptance = 0;
    for (int depth = 0; depth < max_depth; ++depth) {
      const int side = rng_.uniform() < 0.5 ? 0 : 1;
      const double added = grow(side, depth, side ? step_size : -step_size, acceptance, result);
      if (added < 0) break;
      if (rng_.uniform() * weight < added) accept_subtree();
      weight += added;
      for (int i = 0; i < n_; ++i) rho_[i] += sum_[i];
      if (turns(ends_[0].r, ends_[1].r, rho_)) break;
    }
    result.acceptance = acceptance / result.evaluations;
    return result;
  }

 private:
  struct End {
    std::vector<double> x, g, r, scaled;  // scaled: workspace
  };
  struct Checkpoint {
    std::vector<double> r, sum;  // momentum of a leaf; sum of momenta up to and with it
  };

  void start_tree() {
    double kinetic = 0;
    for (int i = 0; i < density_.dimension(); ++i) {
      const double r = rng_.normal();
      rho_[i] = r;
      kinetic += r * r;
    }
    for (auto& end : ends_) {
      end.x = x_;
      end.r = rho_;
      end.g = gradient_;
    }
    energy_ = 0.5 * kinetic - value_;
  }

  // 2^depth leaves beyond one end; their total weight, or -1 where they turn back or diverge.
  double grow(int side, int depth, double step, double& acceptance, NutsTransition& result) {
    End& end = ends_[side];
    std::fill(sum_.begin(), sum_.end(), 0.0);
    double total = 0;
    for (int leaf = 0; leaf < (1 << depth); ++leaf) {
      double value;
      const double drift = energy_ - leapfrog(end, step, value);
      ++result.evaluations;
      if (!(drift > -1000)) {
        result.divergent = true;
        return -1;
      }
      const double w = exp_of(std::min(drift, 600.0));
      acceptance += std::min(1.0, w);
      total += w;
      if (rng_.uniform() * total < w) {
        subtree_x_ = end.x;
        subtree_g_ = end.g;
        subtree_value_ = value;
      }
      if (!check_leaf(leaf, end.r)) return -1;
    }
    return total;
  }

  double leapfrog(End& end, double step, double& value) {
    const Pair half = both(0.5 * step);
    double *x = end.x.data(), *g = end.g.data(), *r = end.r.data();
    for (int i = 0; i < n_; i += 2) store(r + i, load(r + i) + half * load(g + i));
    metric_.move(step, r, x);
    value = density_.evaluate(x, g);
    metric_.turn(g);
    Pair kinetic = both(0.0);
    for (int i = 0; i < n_; i += 2) {
      const Pair momentum = load(r + i) + half * load(g + i);
      store(r + i, momentum);
      store(&sum_[i], load(&sum_[i]) + momentum);
      kinetic += momentum * momentum;
    }
    return 0.5 * (kinetic[0] + kinetic[1]) - value;
  }

  // Keeps even leaves; at an odd leaf compares it with the first leaf of every balanced subtree that it ends.
  bool check_leaf(int leaf, const std::vector<double>& r) {
    int top = 0;
    for (int bits = leaf >> 1; bits; bits &= bits - 1) ++top;
    if (leaf % 2 == 0) {
      checkpoints_[top].r = r;
      checkpoints_[top].sum = sum_;
      return true;
    }
    int ended = 0;
    for (int bits = leaf; bits & 1; bits >>= 1) ++ended;
    for (int at = top; at > top - ended; --at) {
      if (subtree_turns(checkpoints_[at], r)) return false;
    }
    return true;
  }

  bool subtree_turns(const Checkpoint& first, const std::vector<double>& last) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_; i += 2) {
      const Pair left = load(&first.r[i]), right = load(&last[i]);
      const Pair rho = load(&sum_[i]) - load(&first.sum[i]) + both(0.5) * (left - right);
      a += rho * left;
      b += rho * right;
    }
    return a[0] + a[1] <= 0 || b[0] + b[1] <= 0;
  }

  bool turns(const std::vector<double>& left, const std::vector<double>& right, const std::vector<double>& all) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_; i += 2) {
      const Pair l = load(&left[i]), r = load(&right[i]);
      const Pair rho = load(&all[i]) - both(0.5) * (l + r);
      a += rho * l;
      b += rho * r;
    }
    return a[0] + a[1] <= 0 || b[0] + b[1] <= 0;
  }

  void accept_subtree() {
    x_.swap(subtree_x_);
    gradient_.swap(subtree_g_);
    value_ = subtree_value_;
  }

  Density density_;
  Rng rng_;
  int n_;
  Metric metric_;
  std::vector<double> x_, gradient_, rho_, sum_, subtree_x_, subtree_g_;
  std::array<End, 2> ends_;
  std::array<Checkpoint, max_depth> checkpoints_;
  double value_ = 0, subtree_value_ = 0, energy_ = 0;
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

// Several chains that share step size and metric, both adapted on all of them in a common warm-up; after it they
// are independent given these.
template <class Density>
class NutsChains {
 public:
  NutsChains(const Density& density, const Key& key, int n_chains, std::function<void()> heartbeat)
      : heartbeat_(std::move(heartbeat)), jitter_(key, 0), metric_(density.dimension(), density.dense()), step_(0.65) {
    const std::vector<std::vector<double>> starts = density.starts(jitter_, n_chains);
    for (int c = 0; c < n_chains; ++c) {
      chains_.emplace_back(density, Rng(key, static_cast<std::uint64_t>(c) + 1), starts[c]);
      if (!std::isfinite(chains_.back().value())) throw SamplingError("the density is not finite at a starting point");
    }
  }

  void warm_up() {
    step_.restart(0.1);
    adapt(50, nullptr);
    for (int length : {30, 60}) {
      Moments moments(metric_);
      adapt(length, &moments);
      moments.update(metric_);
      for (auto& chain : chains_) chain.set_metric(metric_);
      step_.restart(step_.averaged());
    }
    adapt(50, nullptr);
    step_size_ = step_.averaged();
    acceptance_ = divergences_ = n_steps_ = 0;
  }

  // One transition of every chain, then record(chain index, chain).
  template <class Record>
  void advance(Record record) {
    for (std::size_t c = 0; c < chains_.size(); ++c) {
      move(chains_[c], step_size_ * (0.9 + 0.2 * jitter_.uniform()));
      record(c, chains_[c]);
    }
    heartbeat_();
  }

  std::size_t size() const { return chains_.size(); }
  long long evaluations() const { return evaluations_; }
  int divergences() const { return static_cast<int>(divergences_); }
  double acceptance() const { return acceptance_ / n_steps_; }
  double step_size() const { return step_size_; }
  const Metric& metric() const { return metric_; }
  std::vector<NutsChain<Density>>& chains() { return chains_; }

 private:
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

  NutsTransition move(NutsChain<Density>& chain, double step) {
    const NutsTransition t = chain.step(step);
    evaluations_ += t.evaluations;
    acceptance_ += t.acceptance;
    divergences_ += t.divergent;
    ++n_steps_;
    return t;
  }

  void adapt(int iterations, Moments* moments) {
    for (int i = 0; i < iterations; ++i) {
      double acceptance = 0;
      for (auto& chain : chains_) {
        acceptance += move(chain, step_.current()).acceptance / static_cast<double>(chains_.size());
        if (moments) moments->add(chain.position(), metric_.dense);
      }
      step_.update(acceptance);
      heartbeat_();
    }
  }

  std::function<void()> heartbeat_;
  Rng jitter_;
  Metric metric_;
  StepSize step_;
  std::vector<NutsChain<Density>> chains_;
  double step_size_ = 0.1, acceptance_ = 0, divergences_ = 0, n_steps_ = 0;
  long long evaluations_ = 0;
};

}  // namespace vacal
