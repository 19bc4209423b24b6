#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "common_chart.hpp"
#include "common_draws.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal::common {

// Short Markov chains for four draws at once, in a chart's coordinates: independence Metropolis steps (Tierney 1994), which
// choose the absent causes and propose from a multivariate t in the chart of their region, and Hamiltonian trajectories
// (Neal 2011) within a region. Every lane has random numbers of its own.
template <int Width>
class InnerChains {
 public:
  InnerChains(int causes, int algorithms, const InnerWork& work)
      : work_(work), n_(causes), whole_(causes, algorithms), here_(whole_), there_(whole_) {
    for (auto* v : {&z_, &next_, &momentum_, &gradient_, &p_, &next_p_}) v->assign(n_, Lanes(0.0));
  }

  // Places the charts and starts the chains at a proposal. The mask says where the matrices can produce the counts.
  LaneMask start(const Lanes* m, const double* counts, const Lanes* prior, std::vector<Rng>& rngs) {
    const LaneMask found = whole_.place(m, counts, prior);
    here_ = there_ = whole_;
    survey();
    proposal_ = propose(rngs);
    value_ = there_.evaluate(next_.data());
    here_.take(every_lane(), there_);
    region_ = next_region_;
    z_ = next_;
    there_.fractions(p_.data());
    accepted_ = 0.0;
    top_ = value_ - proposal_;
    weights_ = 1.0;
    proposals_ = 1;
    return found;
  }

  void independence_step(std::vector<Rng>& rngs) {
    const Lanes proposal = propose(rngs), value = there_.evaluate(next_.data());
    const Lanes weight = value - proposal, top = larger(top_, weight);
    weights_ = weights_ * exp_of(top_ - top) + exp_of(weight - top);
    top_ = top;
    ++proposals_;
    there_.fractions(next_p_.data());
    const LaneMask moves = accept(weight - (value_ - proposal_), value, proposal, rngs);
    if (!whole_.any_doubtful()) return;
    here_.take(moves, there_);
    for (int lane = 0; lane < Lanes::size; ++lane) {
      if (is_on(moves, lane)) region_[lane] = next_region_[lane];
    }
  }

  void trajectory(std::vector<Rng>& rngs) {
    Lanes before = 0.0, after = 0.0, length;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      length.set(lane, work_.length * (0.6 + 0.8 * rngs[lane].uniform()));
      for (int i = 0; i < n_; ++i) momentum_[i].set(lane, rngs[lane].normal());
    }
    for (int i = 0; i < n_; ++i) before += momentum_[i] * momentum_[i];
    next_ = z_;
    here_.evaluate(next_.data());
    Lanes value;
    push(Lanes(0.5) * length);
    for (int leap = 1;; ++leap) {
      for (int i = 0; i < n_; ++i) next_[i] += length * momentum_[i];
      value = here_.evaluate(next_.data());
      if (leap == work_.leaps) break;
      push(length);
    }
    push(Lanes(0.5) * length);
    for (int i = 0; i < n_; ++i) after += momentum_[i] * momentum_[i];
    here_.fractions(next_p_.data());
    accept(value - value_ + Lanes(0.5) * (before - after), value, log_proposal(next_, region_), rngs);
  }

  // Log of the counts' likelihood averaged over the prior, by the weights of the proposals so far.
  Lanes log_likelihood() const {
    const double normaliser = log_gamma(0.5 * (work_.degrees + n_)) - log_gamma(0.5 * work_.degrees) -
                              0.5 * n_ * log_of(work_.degrees * 3.14159265358979323846);
    return top_ + log_of(weights_) - Lanes(log_of(static_cast<double>(proposals_)) + normaliser) + whole_.log_constant();
  }

  bool in_doubt(int lane) const { return !whole_.doubts(lane).empty(); }

  // Probability that the lane's first doubtful cause is absent, by the heights of the regions' peaks.
  double expected_absence(int lane) const {
    double expected = 0;
    for (std::size_t r = 1; r < charts_.size(); r += 2) expected += choice_[r][lane];
    return expected;
  }

  // Whether that cause is absent, less the probability that was expected.
  double surprise(int lane) const { return (region_[lane] & 1) - expected_absence(lane); }

  const std::vector<Lanes>& z() const { return z_; }
  const std::vector<Lanes>& p() const { return p_; }
  Lanes accepted() const { return accepted_; }

 private:
  static LaneMask every_lane() { return {PairBits{-1, -1}, PairBits{-1, -1}}; }

  // Sets next_ and its chart there_; the log-density of the proposal.
  Lanes propose(std::vector<Rng>& rngs) {
    next_region_.fill(0);
    if (whole_.any_doubtful()) {
      for (int lane = 0; lane < Lanes::size; ++lane) {
        if (whole_.doubts(lane).empty()) continue;
        int& region = next_region_[lane];
        for (double u = rngs[lane].uniform(); region + 1 < static_cast<int>(charts_.size()); ++region) {
          u -= choice_[region][lane];
          if (u < 0) break;
        }
        LaneMask own;
        own.set(lane, true);
        there_.take(own, charts_[region]);
      }
    }
    Lanes scale = 1.0;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      for (int i = 0; i < n_; ++i) next_[i].set(lane, rngs[lane].normal());
      scale.set(lane, std::sqrt(0.5 * work_.degrees / rngs[lane].gamma(0.5 * work_.degrees)));
    }
    for (int i = 0; i < n_; ++i) next_[i] *= scale;
    return log_proposal(next_, next_region_);
  }

  using Regions = std::array<int, Lanes::size>;  // by lane: bit b is on where the b-th doubtful cause is absent

  // The charts of all regions, and how likely each is by its peak.
  void survey() {
    charts_.clear();
    if (!whole_.any_doubtful()) return;
    std::size_t most = 0;
    for (int lane = 0; lane < Lanes::size; ++lane) most = std::max(most, whole_.doubts(lane).size());
    charts_.assign(std::size_t{1} << most, whole_);
    choice_.assign(charts_.size(), Lanes(0.0));
    for (std::size_t r = 0; r < charts_.size(); ++r) {
      std::vector<LaneMask> absent(n_);
      for (int lane = 0; lane < Lanes::size; ++lane) {
        const std::vector<int>& doubts = whole_.doubts(lane);
        for (std::size_t d = 0; d < doubts.size(); ++d) absent[doubts[d]].set(lane, (r >> d) & 1);
      }
      if (r > 0) charts_[r].enter(whole_, absent);
      choice_[r] = charts_[r].peak();
    }
    for (int lane = 0; lane < Lanes::size; ++lane) set_choices(lane, std::size_t{1} << whole_.doubts(lane).size());
  }

  void set_choices(int lane, std::size_t regions) {
    constexpr double even = 0.05;
    double top = choice_[0][lane], sum = 0;
    for (std::size_t r = 1; r < regions; ++r) top = std::max(top, choice_[r][lane]);
    for (std::size_t r = 0; r < charts_.size(); ++r) {
      choice_[r].set(lane, r < regions ? exp_of(choice_[r][lane] - top) : 0.0);
      sum += choice_[r][lane];
    }
    for (std::size_t r = 0; r < regions; ++r) {
      choice_[r].set(lane, (1 - even) * choice_[r][lane] / sum + even / static_cast<double>(regions));
    }
  }

  Lanes log_proposal(const std::vector<Lanes>& z, const Regions& regions) const {
    Lanes square = 0.0, choice = 1.0;
    for (int i = 0; i < n_; ++i) square += z[i] * z[i];
    if (whole_.any_doubtful()) {
      for (int lane = 0; lane < Lanes::size; ++lane) {
        if (!whole_.doubts(lane).empty()) choice.set(lane, choice_[regions[lane]][lane]);
      }
    }
    return log_of(choice) - Lanes(0.5 * (work_.degrees + n_)) * log_of(Lanes(1.0) + square * Lanes(1 / work_.degrees));
  }

  void push(Lanes length) {
    here_.differentiate(gradient_.data());
    for (int i = 0; i < n_; ++i) momentum_[i] += length * gradient_[i];
  }

  LaneMask accept(Lanes log_ratio, Lanes value, Lanes proposal, std::vector<Rng>& rngs) {
    LaneMask moves;
    for (int lane = 0; lane < Lanes::size; ++lane) {
      const bool move = log_of(rngs[lane].uniform()) < log_ratio[lane];
      moves.set(lane, move);
      accepted_.set(lane, accepted_[lane] + move);
    }
    value_ = choose(moves, value_, value);
    proposal_ = choose(moves, proposal_, proposal);
    for (int i = 0; i < n_; ++i) {
      z_[i] = choose(moves, z_[i], next_[i]);
      p_[i] = choose(moves, p_[i], next_p_[i]);
    }
    return moves;
  }

  InnerWork work_;
  int n_;
  Chart<Width> whole_, here_, there_;  // no cause absent; the chains' regions; the proposals'
  std::vector<Chart<Width>> charts_;   // of all regions
  std::vector<Lanes> choice_;          // probability with which a proposal takes a region
  Regions region_{}, next_region_{};
  Lanes value_ = 0.0, proposal_ = 0.0, accepted_ = 0.0;
  Lanes top_ = 0.0, weights_ = 0.0;  // log of the largest weight; sum of weights relative to it
  int proposals_ = 0;
  std::vector<Lanes> z_, next_, momentum_, gradient_, p_, next_p_;
};

// Correlation, over draws, of each coordinate half way through the chains with that at their end; of few draws none.
class HalfWay {
 public:
  explicit HalfWay(int n) : sums_(n) {}
  // variance: what the end's is expected to be at least, where the coordinate hardly varies as all is certain; or 0.
  void add(int i, double middle, double end, double variance = 0) {
    Sums& s = sums_[i];
    s.n += 1;
    s.variance += variance;
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
      const double scale = std::max(s.variance, std::sqrt(vx * vy));
      if (s.n >= 50 && scale > 0) most = std::max(most, (s.xy - s.x * s.y / s.n) / scale);
    }
    return most;
  }

 private:
  struct Sums {
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0, variance = 0;
  };
  std::vector<Sums> sums_;
};

// One draw of p for each draw of the matrices and of the prior. Random numbers are keyed by (seed, stratum, fit, draw),
// and draws do not see each other.
template <int Width>
CommonFit run_chains(const MatrixDraws& matrices, const double* counts, const double* prior, const InnerWork& work,
                     const Key& key) {
  constexpr std::uint64_t stream = 0x636F6D6D6F6E0000ULL;
  const int n = matrices.causes();
  InnerChains<Width> chains(n, matrices.algorithms(), work);
  HalfWay half_way(n + 1);
  std::vector<Lanes> prior_lanes(n), middle(n);
  Lanes surprise;
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
    const LaneMask found = chains.start(matrices.block(b), counts, prior_lanes.data(), rngs);
    for (int step = 0; step < work.first; ++step) chains.independence_step(rngs);
    for (int round = 0; round < work.rounds; ++round) {
      if (round == work.rounds / 2) {
        middle = chains.z();
        for (int lane = 0; lane < Lanes::size; ++lane) surprise.set(lane, chains.in_doubt(lane) ? chains.surprise(lane) : 0.0);
      }
      chains.trajectory(rngs);
      chains.independence_step(rngs);
    }
    const Lanes log_likelihood = chains.log_likelihood();
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
      if (chains.in_doubt(lane)) {
        const double expected = chains.expected_absence(lane);
        half_way.add(n, surprise[lane], chains.surprise(lane), expected * (1 - expected));
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
inline CommonFit sample_common(const MatrixDraws& matrices, const std::vector<double>& counts, const std::vector<double>& prior,
                               const InnerWork& work, const Key& key) {
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
