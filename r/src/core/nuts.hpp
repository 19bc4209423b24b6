#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "adaptation.hpp"
#include "math.hpp"
#include "rng.hpp"

namespace vacal {

// The No-U-Turn sampler (Hoffman and Gelman 2014) with multinomial sampling of trajectories (Betancourt 2017),
// for any Density with
//   int dimension() const;
//   int dense() const;  // leading coordinates: they have a dense metric, and their turning ends a trajectory
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
      : density_(density), rng_(rng), n_(padded(density.dimension())),
        n_turning_(padded(density.dense())),
        metric_(density.dimension(), density.dense()), x_(start) {
    x_.resize(n_, 0.0);
    for (auto* v : {&gradient_, &rho_, &sum_, &subtree_x_, &subtree_g_}) v->assign(n_, 0.0);
    for (auto& end : ends_) end = {x_, gradient_, gradient_};
    for (auto& c : checkpoints_) c = {rho_, rho_};
    value_ = density_.evaluate(x_.data(), gradient_.data());
  }

  const std::vector<double>& position() const { return x_; }
  double value() const { return value_; }
  Density& density() { return density_; }
  Rng& rng() { return rng_; }

  // Trajectories are not checked for turning before they have 2^depth steps.
  void set_least_depth(int depth) { least_depth_ = depth; }

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
      if (depth + 1 >= least_depth_ && turns(ends_[0].r, ends_[1].r, rho_)) break;
    }
    result.acceptance = acceptance / result.evaluations;
    return result;
  }

 private:
  struct End {
    std::vector<double> x, g, r;  // position, gradient and momentum
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
    for (int at = top, level = 1; at > top - ended; --at, ++level) {
      if (level >= least_depth_ && subtree_turns(checkpoints_[at], r)) return false;
    }
    return true;
  }

  bool subtree_turns(const Checkpoint& first, const std::vector<double>& last) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_turning_; i += 2) {
      const Pair left = load(&first.r[i]), right = load(&last[i]);
      const Pair rho = load(&sum_[i]) - load(&first.sum[i]) + both(0.5) * (left - right);
      a += rho * left;
      b += rho * right;
    }
    return a[0] + a[1] <= 0 || b[0] + b[1] <= 0;
  }

  bool turns(const std::vector<double>& left, const std::vector<double>& right, const std::vector<double>& all) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_turning_; i += 2) {
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
  int n_, n_turning_;
  Metric metric_;
  std::vector<double> x_, gradient_, rho_, sum_, subtree_x_, subtree_g_;
  std::array<End, 2> ends_;
  std::array<Checkpoint, max_depth> checkpoints_;
  double value_ = 0, subtree_value_ = 0, energy_ = 0;
  int least_depth_ = 0;
};

}  // namespace vacal
