#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <vector>

#include "math.hpp"
#include "rng.hpp"

namespace vacal {

// The No-U-Turn sampler (Hoffman and Gelman 2014) with multinomial sampling of trajectories (Betancourt 2017),
// for any Density with
//   int dimension() const;
//   double evaluate(const double* x, double* gradient);   // log-density up to a constant
// where both arrays have room for padded(dimension()) values. Trees are built leaf by leaf, with momenta kept at
// O(depth) checkpoints (Phan, Pradhan and Jankowiak 2019), so that no subtree is ever copied.

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
      : density_(density), rng_(rng), n_(padded(density.dimension())), scale_(n_, 1.0), x_(start) {
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

  // Standard deviations by coordinate: the square root of the diagonal inverse metric.
  void set_scale(const std::vector<double>& scale) { std::copy(scale.begin(), scale.end(), scale_.begin()); }

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
      for (int i = 0; i < n_; ++i) end.g[i] = gradient_[i] * scale_[i];
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
    const Pair half = both(0.5 * step), full = both(step);
    double *x = end.x.data(), *g = end.g.data(), *r = end.r.data();
    const double* s = scale_.data();
    for (int i = 0; i < n_; i += 2) {
      const Pair middle = load(r + i) + half * load(g + i);
      store(r + i, middle);
      store(x + i, load(x + i) + full * load(s + i) * middle);
    }
    value = density_.evaluate(x, g);
    Pair kinetic = both(0.0);
    for (int i = 0; i < n_; i += 2) {
      const Pair force = load(g + i) * load(s + i);
      store(g + i, force);
      const Pair momentum = load(r + i) + half * force;
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
    for (int i = 0; i < n_; ++i) gradient_[i] = subtree_g_[i] / scale_[i];
    value_ = subtree_value_;
  }

  Density density_;
  Rng rng_;
  int n_;
  std::vector<double> scale_, x_, gradient_, rho_, sum_, subtree_x_, subtree_g_;
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
      : heartbeat_(std::move(heartbeat)), jitter_(key, 0), step_(0.8) {
    for (int c = 0; c < n_chains; ++c) {
      Rng rng(key, static_cast<std::uint64_t>(c) + 1);
      const std::vector<double> start = density.start(rng);
      chains_.emplace_back(density, rng, start);
    }
    scale_.assign(padded(density.dimension()), 1.0);
  }

  void warm_up() {
    step_.restart(0.1);
    adapt(50, nullptr);
    for (int length : {30, 60}) {
      Moments moments(scale_.size());
      adapt(length, &moments);
      moments.update_scale(scale_);
      for (auto& chain : chains_) chain.set_scale(scale_);
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
  const std::vector<double>& scale() const { return scale_; }
  std::vector<NutsChain<Density>>& chains() { return chains_; }

 private:
  // Variances over the draws of all chains in a window.
  class Moments {
   public:
    explicit Moments(std::size_t n) : mean_(n, 0.0), square_(n, 0.0) {}
    void add(const std::vector<double>& x) {
      ++count_;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double change = x[i] - mean_[i];
        mean_[i] += change / count_;
        square_[i] += change * (x[i] - mean_[i]);
      }
    }
    void update_scale(std::vector<double>& scale) const {  // shrunk towards the scale so far
      for (std::size_t i = 0; i < scale.size(); ++i) {
        scale[i] = std::sqrt((square_[i] + 5 * scale[i] * scale[i] + 1e-12) / (count_ + 4));
      }
    }

   private:
    double count_ = 0;
    std::vector<double> mean_, square_;
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
        if (moments) moments->add(chain.position());
      }
      step_.update(acceptance);
      heartbeat_();
    }
  }

  std::function<void()> heartbeat_;
  Rng jitter_;
  StepSize step_;
  std::vector<NutsChain<Density>> chains_;
  std::vector<double> scale_;
  double step_size_ = 0.1, acceptance_ = 0, divergences_ = 0, n_steps_ = 0;
  long long evaluations_ = 0;
};

}  // namespace vacal
