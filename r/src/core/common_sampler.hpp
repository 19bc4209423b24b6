#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "common_draws.hpp"
#include "common_kernel.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal::common {

// Short Markov chains for four draws at once, in the kernel's coordinates: independence Metropolis steps (Tierney 1994)
// with multivariate t proposals find the bulk of the distribution, Hamiltonian trajectories (Neal 2011) move within it.
// Every lane has random numbers of its own.
template <int Width>
class InnerChains {
 public:
  InnerChains(int causes, int algorithms, const InnerWork& work)
      : kernel(causes, algorithms), work_(work), n_(causes) {
    for (auto* v : {&z_, &next_, &momentum_, &gradient_, &p_, &next_p_}) v->assign(n_, Lanes(0.0));
  }

  Kernel<Width> kernel;

  // The chains' first state is a proposal; the kernel has been placed.
  void start(std::vector<Rng>& rngs) {
    proposal_ = propose(rngs);
    value_ = kernel.evaluate(next_.data());
    z_ = next_;
    kernel.fractions(p_.data());
    accepted_ = 0.0;
    top_ = value_ - proposal_;
    weights_ = 1.0;
    proposals_ = 1;
  }

  void independence_step(std::vector<Rng>& rngs) {
    const Lanes proposal = propose(rngs), value = kernel.evaluate(next_.data());
    const Lanes weight = value - proposal, top = larger(top_, weight);
    weights_ = weights_ * exp_of(top_ - top) + exp_of(weight - top);
    top_ = top;
    ++proposals_;
    accept(weight - (value_ - proposal_), value, rngs);
  }

  // Log of the integral of exp(evaluate()) over z, by the weights of the proposals so far.
  Lanes log_integral() const {
    const double normaliser = log_gamma(0.5 * (work_.degrees + n_)) - log_gamma(0.5 * work_.degrees) -
                              0.5 * n_ * log_of(work_.degrees * 3.14159265358979323846);
    return top_ + log_of(weights_) - Lanes(log_of(static_cast<double>(proposals_)) + normaliser);
  }

  void trajectory(std::vector<Rng>& rngs) {
    Lanes before = 0.0, after = 0.0, length;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      length.set(lane, work_.length * (0.6 + 0.8 * rngs[lane].uniform()));
      for (int i = 0; i < n_; ++i) momentum_[i].set(lane, rngs[lane].normal());
    }
    for (int i = 0; i < n_; ++i) before += momentum_[i] * momentum_[i];
    next_ = z_;
    kernel.evaluate(next_.data());
    Lanes value;
    push(Lanes(0.5) * length);
    for (int leap = 1;; ++leap) {
      for (int i = 0; i < n_; ++i) next_[i] += length * momentum_[i];
      value = kernel.evaluate(next_.data());
      if (leap == work_.leaps) break;
      push(length);
    }
    push(Lanes(0.5) * length);
    for (int i = 0; i < n_; ++i) after += momentum_[i] * momentum_[i];
    accept(value - value_ + Lanes(0.5) * (before - after), value, rngs);
  }

  const std::vector<Lanes>& z() const { return z_; }
  const std::vector<Lanes>& p() const { return p_; }
  Lanes accepted() const { return accepted_; }

 private:
  // Sets next_; its log-density under the proposal.
  Lanes propose(std::vector<Rng>& rngs) {
    Lanes scale = 1.0;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      for (int i = 0; i < n_; ++i) next_[i].set(lane, rngs[lane].normal());
      scale.set(lane, std::sqrt(0.5 * work_.degrees / rngs[lane].gamma(0.5 * work_.degrees)));
    }
    for (int i = 0; i < n_; ++i) next_[i] *= scale;
    return log_proposal(next_);
  }

  Lanes log_proposal(const std::vector<Lanes>& z) const {
    Lanes square = 0.0;
    for (int i = 0; i < n_; ++i) square += z[i] * z[i];
    return Lanes(-0.5 * (work_.degrees + n_)) * log_of(Lanes(1.0) + square * Lanes(1 / work_.degrees));
  }

  void push(Lanes length) {
    kernel.differentiate(gradient_.data());
    for (int i = 0; i < n_; ++i) momentum_[i] += length * gradient_[i];
  }

  void accept(Lanes log_ratio, Lanes value, std::vector<Rng>& rngs) {
    LaneMask moves;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      const bool move = log_of(rngs[lane].uniform()) < log_ratio[lane];
      moves.set(lane, move);
      accepted_.set(lane, accepted_[lane] + move);
    }
    kernel.fractions(next_p_.data());
    value_ = choose(moves, value_, value);
    proposal_ = choose(moves, proposal_, log_proposal(next_));
    for (int i = 0; i < n_; ++i) {
      z_[i] = choose(moves, z_[i], next_[i]);
      p_[i] = choose(moves, p_[i], next_p_[i]);
    }
  }

  InnerWork work_;
  int n_;
  Lanes value_ = 0.0, proposal_ = 0.0, accepted_ = 0.0;
  Lanes top_ = 0.0, weights_ = 0.0;  // log of the largest weight; sum of weights relative to it
  int proposals_ = 0;
  std::vector<Lanes> z_, next_, momentum_, gradient_, p_, next_p_;
};

// Correlation, over draws, of each coordinate half way through the chains with that at their end.
class HalfWay {
 public:
  explicit HalfWay(int n) : sums_(n) {}
  void add(int i, double middle, double end) {
    Sums& s = sums_[i];
    s.n += 1;
    s.x += middle;
    s.y += end;
    s.xx += middle * middle;
    s.yy += end * end;
    s.xy += middle * end;
  }
  double largest() const {
    double most = 0;
    for (const Sums& s : sums_) {
      const double vx = s.xx - s.x * s.x / s.n, vy = s.yy - s.y * s.y / s.n;
      if (s.n > 2 && vx > 0 && vy > 0) most = std::max(most, (s.xy - s.x * s.y / s.n) / std::sqrt(vx * vy));
    }
    return most;
  }

 private:
  struct Sums {
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
  };
  std::vector<Sums> sums_;
};

// One draw of p for each draw of the matrices and of the prior. Random numbers are keyed by (seed, stratum, fit, draw),
// and draws do not see each other.
template <int Width>
CommonFit run_chains(const MatrixDraws& matrices, const double* counts, const double* prior, const InnerWork& work, const Key& key) {
  constexpr std::uint64_t stream = 0x636F6D6D6F6E0000ULL;
  const int n = matrices.causes();
  InnerChains<Width> chains(n, matrices.algorithms(), work);
  HalfWay half_way(n);
  std::vector<Lanes> prior_lanes(n), middle(n);
  CommonFit fit;
  fit.p.assign(static_cast<std::size_t>(matrices.draws()) * n, std::numeric_limits<double>::quiet_NaN());
  fit.log_likelihood.assign(matrices.draws(), -std::numeric_limits<double>::infinity());
  for (int b = 0; b < matrices.blocks(); ++b) {
    std::vector<Rng> rngs;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      const int d = matrices.draw(b, lane);
      rngs.emplace_back(key, stream + d);
      for (int i = 0; i < n; ++i) prior_lanes[i].set(lane, prior[d * n + i]);
    }
    const LaneMask found = chains.kernel.place(matrices.block(b), counts, prior_lanes.data());
    chains.start(rngs);
    for (int step = 0; step < work.first; ++step) chains.independence_step(rngs);
    middle = chains.z();
    for (int round = 0; round < work.rounds; ++round) {
      if (2 * round == work.rounds || 2 * round == work.rounds + 1) middle = chains.z();
      chains.trajectory(rngs);
      chains.independence_step(rngs);
    }
    const Lanes log_likelihood = chains.log_integral() + chains.kernel.log_constant();
    for (int lane = 0; lane < Lanes::size && b * Lanes::size + lane < matrices.draws(); ++lane) {
      const int d = b * Lanes::size + lane;
      if (!is_on(found, lane)) {
        ++fit.impossible;
        continue;
      }
      fit.acceptance += chains.accepted()[lane];
      fit.log_likelihood[d] = log_likelihood[lane];
      for (int i = 0; i < n; ++i) {
        fit.p[static_cast<std::size_t>(d) * n + i] = chains.p()[i][lane];
        half_way.add(i, middle[i][lane], chains.z()[i][lane]);
      }
    }
  }
  fit.acceptance /= std::max(1.0, static_cast<double>(matrices.draws() - fit.impossible) * (work.first + 2 * work.rounds));
  fit.correlation = half_way.largest();
  return fit;
}

// Where there are no deaths, p is a draw from the prior itself.
inline CommonFit draw_prior(const MatrixDraws& matrices, const double* prior, const Key& key) {
  const int n = matrices.causes();
  CommonFit fit;
  fit.acceptance = 1;
  fit.log_likelihood.assign(matrices.draws(), 0.0);
  std::vector<double> log_y(n);
  for (int d = 0; d < matrices.draws(); ++d) {
    Rng rng(key, static_cast<std::uint64_t>(d));
    double sum = 0;
    for (int i = 0; i < n; ++i) log_y[i] = rng.log_gamma(prior[d * n + i]);
    const double top = *std::max_element(log_y.begin(), log_y.end());
    for (double& x : log_y) sum += x = exp_of(x - top);
    for (const double x : log_y) fit.p.push_back(x / sum);
  }
  return fit;
}

// One draw of p for each of the matrices' draws; counts: algorithms x causes; prior: draws x causes.
inline CommonFit sample_common(const MatrixDraws& matrices, const std::vector<double>& counts,
                               const std::vector<double>& prior, const InnerWork& work, const Key& key) {
  if (std::all_of(counts.begin(), counts.end(), [](double a) { return a == 0; })) {
    return draw_prior(matrices, prior.data(), key);
  }
  const double *a = counts.data(), *b = prior.data();
  switch (matrices.causes()) {
    case 4: return run_chains<4>(matrices, a, b, work, key);
    case 5: return run_chains<5>(matrices, a, b, work, key);
    case 6: return run_chains<6>(matrices, a, b, work, key);
    case 7: return run_chains<7>(matrices, a, b, work, key);
    case 8: return run_chains<8>(matrices, a, b, work, key);
    case 9: return run_chains<9>(matrices, a, b, work, key);
    default: return run_chains<0>(matrices, a, b, work, key);
  }
}

}  // namespace vacal::common
