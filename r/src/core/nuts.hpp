#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "adaptation.hpp"
#include "math.hpp"
#include "rng.hpp"

namespace vacal {

// The No-U-Turn sampler (Hoffman and Gelman 2014) with multinomial sampling of trajectories (Betancourt 2017),
// for any Density with
//   int dimension() const;
//   int dense() const;  // leading coordinates: they have a dense metric, and their turning ends a trajectory
//   double evaluate(const double* q, double* gradient);   // log-density up to a constant
// where both arrays have room for padded(dimension()) values. Trees are built leaf by leaf, with momenta kept at
// O(depth) checkpoints (Phan, Pradhan and Jankowiak 2019), so that no subtree is ever copied. Names are those of Stan's
// base_nuts, but that sum_weight is the sum itself, not its logarithm.

struct NutsTransition {
  double acceptance = 0;  // mean over the trajectory
  int n_leapfrog = 0;
  bool divergent = false;
};

template <class Density>
class NutsChain {
 public:
  static constexpr int max_depth = 10;

  NutsChain(const Density& density, const Rng& rng, const std::vector<double>& start)
      : density_(density), rng_(rng), n_(padded(density.dimension())), n_turning_(padded(density.dense())),
        metric_(density.dimension(), density.dense()), z_sample_{start, {}, 0} {
    z_sample_.q.resize(n_, 0.0);
    for (auto* v : {&z_sample_.g, &rho_, &rho_subtree_}) v->assign(n_, 0.0);
    z_propose_ = z_sample_;
    for (auto* end : {&z_minus_, &z_plus_}) *end = {z_sample_.q, rho_, rho_};
    for (auto& c : checkpoints_) c = {rho_, rho_};
    evaluate();
  }

  const std::vector<double>& position() const { return z_sample_.q; }
  double value() const { return z_sample_.log_density; }
  Density& density() { return density_; }
  Rng& rng() { return rng_; }

  // Trajectories are not checked for turning before they have 2^depth steps.
  void set_least_depth(int depth) { least_depth_ = depth; }

  // Puts the chain at another point, as a Metropolis move between transitions does.
  void move_to(const std::vector<double>& q) {
    z_sample_.q = q;
    z_sample_.q.resize(n_, 0.0);
    evaluate();
    metric_.turn(z_sample_.g.data());
  }

  void set_metric(const Metric& metric) {
    metric_ = metric;
    evaluate();
    metric_.turn(z_sample_.g.data());
  }

  // One transition with this step size.
  NutsTransition transition(double step_size) {
    start_tree();
    NutsTransition result;
    double sum_weight = 1;  // of the tree so far, relative to the starting point
    double sum_metro_prob = 0;
    for (int depth = 0; depth < max_depth; ++depth) {
      const bool forward = !(rng_.uniform() < 0.5);
      State& end = forward ? z_plus_ : z_minus_;
      const double sum_weight_subtree = build_tree(end, depth, forward ? step_size : -step_size, sum_metro_prob, result);
      if (sum_weight_subtree < 0) break;
      if (rng_.uniform() * sum_weight < sum_weight_subtree) std::swap(z_sample_, z_propose_);
      sum_weight += sum_weight_subtree;
      for (int i = 0; i < n_; ++i) rho_[i] += rho_subtree_[i];
      if (depth + 1 >= least_depth_ && turns(z_minus_.p, z_plus_.p, rho_)) break;
    }
    result.acceptance = sum_metro_prob / result.n_leapfrog;
    return result;
  }

 private:
  struct State {
    std::vector<double> q, g, p;  // position, gradient and momentum
  };
  struct Sample {
    std::vector<double> q, g;
    double log_density;
  };
  struct Checkpoint {
    std::vector<double> p, rho;  // momentum of a leaf; sum of momenta up to and with it
  };

  void evaluate() { z_sample_.log_density = density_.evaluate(z_sample_.q.data(), z_sample_.g.data()); }

  void start_tree() {
    double kinetic = 0;
    for (int i = 0; i < density_.dimension(); ++i) {
      const double p = rng_.normal();
      rho_[i] = p;
      kinetic += p * p;
    }
    for (auto* end : {&z_minus_, &z_plus_}) {
      end->q = z_sample_.q;
      end->p = rho_;
      end->g = z_sample_.g;
    }
    H0_ = 0.5 * kinetic - z_sample_.log_density;
  }

  // 2^depth leaves beyond one end, of which z_propose_ is drawn; the sum of their weights, or -1 where they turn back or
  // diverge.
  double build_tree(State& end, int depth, double step, double& sum_metro_prob, NutsTransition& result) {
    std::fill(rho_subtree_.begin(), rho_subtree_.end(), 0.0);
    double sum_weight = 0;
    for (int leaf = 0; leaf < (1 << depth); ++leaf) {
      double log_density;
      const double drift = H0_ - leapfrog(end, step, log_density);
      ++result.n_leapfrog;
      if (!(drift > -1000)) {
        result.divergent = true;
        return -1;
      }
      const double w = exp_of(std::min(drift, 600.0));
      sum_metro_prob += std::min(1.0, w);
      sum_weight += w;
      if (rng_.uniform() * sum_weight < w) {
        z_propose_.q = end.q;
        z_propose_.g = end.g;
        z_propose_.log_density = log_density;
      }
      if (!check_leaf(leaf, end.p)) return -1;
    }
    return sum_weight;
  }

  // Energy after a step.
  double leapfrog(State& z, double step, double& log_density) {
    const Pair half = both(0.5 * step);
    double *q = z.q.data(), *g = z.g.data(), *p = z.p.data();
    for (int i = 0; i < n_; i += 2) store(p + i, load(p + i) + half * load(g + i));
    metric_.move(step, p, q);
    log_density = density_.evaluate(q, g);
    metric_.turn(g);
    Pair kinetic = both(0.0);
    for (int i = 0; i < n_; i += 2) {
      const Pair momentum = load(p + i) + half * load(g + i);
      store(p + i, momentum);
      store(&rho_subtree_[i], load(&rho_subtree_[i]) + momentum);
      kinetic += momentum * momentum;
    }
    return 0.5 * (kinetic[0] + kinetic[1]) - log_density;
  }

  // Keeps even leaves; at an odd leaf compares it with the first leaf of every balanced subtree that it ends.
  bool check_leaf(int leaf, const std::vector<double>& p) {
    int top = 0;
    for (int bits = leaf >> 1; bits; bits &= bits - 1) ++top;
    if (leaf % 2 == 0) {
      checkpoints_[top].p = p;
      checkpoints_[top].rho = rho_subtree_;
      return true;
    }
    int ended = 0;
    for (int bits = leaf; bits & 1; bits >>= 1) ++ended;
    for (int at = top, level = 1; at > top - ended; --at, ++level) {
      if (level >= least_depth_ && subtree_turns(checkpoints_[at], p)) return false;
    }
    return true;
  }

  bool subtree_turns(const Checkpoint& first, const std::vector<double>& p_end) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_turning_; i += 2) {
      const Pair left = load(&first.p[i]), right = load(&p_end[i]);
      const Pair rho = load(&rho_subtree_[i]) - load(&first.rho[i]) + both(0.5) * (left - right);
      a += rho * left;
      b += rho * right;
    }
    return a[0] + a[1] <= 0 || b[0] + b[1] <= 0;
  }

  bool turns(const std::vector<double>& p_minus, const std::vector<double>& p_plus, const std::vector<double>& sum) const {
    Pair a = both(0.0), b = both(0.0);
    for (int i = 0; i < n_turning_; i += 2) {
      const Pair left = load(&p_minus[i]), right = load(&p_plus[i]);
      const Pair rho = load(&sum[i]) - both(0.5) * (left + right);
      a += rho * left;
      b += rho * right;
    }
    return a[0] + a[1] <= 0 || b[0] + b[1] <= 0;
  }

  Density density_;
  Rng rng_;
  int n_, n_turning_;
  Metric metric_;
  Sample z_sample_, z_propose_;
  State z_minus_, z_plus_;
  std::vector<double> rho_, rho_subtree_;  // sums of momenta: of the tree, of the subtree that grows
  std::array<Checkpoint, max_depth> checkpoints_;
  double H0_ = 0;
  int least_depth_ = 0;
};

}  // namespace vacal
