#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <variant>
#include <vector>

#include "joint_model.hpp"
#include "joint_stratum.hpp"
#include "lanes.hpp"
#include "math.hpp"
#include "special.hpp"

namespace vacal::joint {

// Where every stratum's mode was last found: where Newton's method starts, no more. By fours of strata, C each.
class Modes {
 public:
  Modes(int n_fours, int n_causes) : c_(n_causes), now_(n_fours * n_causes) { forget(); }

  Lanes* of(int four) { return &now_[four * c_]; }
  void forget() {
    std::fill(now_.begin(), now_.end(), Lanes(1.0 / c_));
    before_ = now_;
  }

  // Modes move along a line, nearly, from one step of a trajectory to the next.
  void predict(int four) {
    for (int at = four * c_, end = at + c_; at < end; ++at) {
      const Lanes now = now_[at], moved = now + (now - before_[at]);
      before_[at] = now;
      now_[at] = smaller(larger(moved, Lanes(0.5) * now), Lanes(2.0) * now);
    }
  }

  // After a jump no step is to be predicted from the one before.
  void rest() { before_ = now_; }

  // Moves what belongs to slot i to labels[i].
  void relabel(const std::vector<int>& labels) {
    for (std::vector<Lanes>* modes : {&now_, &before_}) {
      const std::vector<Lanes> old = *modes;
      for (std::size_t at = 0; at < old.size(); at += c_) {
        for (int i = 0; i < c_; ++i) (*modes)[at + labels[i]] = old[at + i];
      }
    }
  }

 private:
  int c_;
  std::vector<Lanes> now_, before_;
};

// The strata's own part of the joint model, four strata at a time: p_s and the counts given what all share. z: C coordinates
// for every stratum, stratum after stratum (StratumKernel).
class StrataLanes {
 public:
  // counts: by stratum K x C; scattered: the algorithms with a kappa.
  StrataLanes(const std::vector<std::vector<double>>& counts, int n_causes, std::vector<Scatter> scattered)
      : c_(n_causes), k_(static_cast<int>(counts.front().size()) / n_causes), s_(static_cast<int>(counts.size())),
        scattered_(std::move(scattered)), kernel_(make_kernel(c_, k_)) {
    arrange(counts);
    weight_.assign(k_, Lanes(1.0));
    four_.counts.assign(k_ * c_, Lanes(0.0));
    four_.by_log_counts.assign(k_, Lanes(0.0));
    by_.by_b = z_ = by_z_ = std::vector<Lanes>(c_, Lanes(0.0));
    by_.by_m.assign(k_ * c_ * c_, Lanes(0.0));
  }

  int n_strata() const { return s_; }
  Modes modes() const { return Modes(n_fours(), c_); }
  SharedGradient gradient() const {
    SharedGradient by;
    by.by_b.assign(c_, 0.0);
    by.by_m.assign(k_ * c_ * c_, 0.0);
    by.by_log_kappa.assign(scattered_.size(), 0.0);
    return by;
  }

  // Adds the log-density of all strata to `value`, and sets its gradients by z and by what they share. False where it is
  // not finite; the gradients are then not set.
  bool evaluate(const SharedPoint& shared, const double* z, Modes& modes, double& value, double* by_z, SharedGradient& by) {
    std::fill(by_.by_b.begin(), by_.by_b.end(), Lanes(0.0));
    std::fill(by_.by_m.begin(), by_.by_m.end(), Lanes(0.0));
    by_.by_phi = 0.0;
    std::fill(by.by_log_kappa.begin(), by.by_log_kappa.end(), 0.0);
    double by_total = 0;
    for (int f = 0; f < n_fours(); ++f) {
      weigh(shared, f);
      to_lanes(z, f);
      modes.predict(f);
      const Lanes found = std::visit(
          [&](auto& kernel) { return kernel.evaluate(shared, four_, modes.of(f), z_.data(), by_z_.data(), by_); }, kernel_);
      from_lanes(by_z_, f, by_z);
      for (int lane = 0; lane < n_lanes(f); ++lane) {
        const double total = four_.total[lane], log_total = log_of(total), by_lane = log_total + 1 - digamma(total);
        value += found[lane] + total * log_total - log_gamma(total) + scatter_constant(shared, f, lane, by_lane, by);
        by_total += by_lane;
      }
      if (!std::isfinite(value)) return false;
    }
    add_constants(shared, by_total, value, by);
    return true;
  }

  // x = log y of every stratum at z, stratum after stratum; sum(exp(x)) is free.
  std::vector<double> logs(const SharedPoint& shared, const double* z, Modes& modes) {
    std::vector<double> x(s_ * c_);
    for (int f = 0; f < n_fours(); ++f) {
      weigh(shared, f);
      to_lanes(z, f);
      std::visit([&](auto& kernel) { kernel.to_logs(shared, four_, modes.of(f), z_.data(), by_z_.data()); }, kernel_);
      from_lanes(by_z_, f, x.data());
    }
    return x;
  }

  // The z of these logs.
  void coordinates(const SharedPoint& shared, const std::vector<double>& x, Modes& modes, double* z) {
    for (int f = 0; f < n_fours(); ++f) {
      weigh(shared, f);
      to_lanes(x.data(), f);
      std::visit([&](auto& kernel) { kernel.from_logs(shared, four_, modes.of(f), z_.data(), by_z_.data()); }, kernel_);
      from_lanes(by_z_, f, z);
    }
    modes.rest();
  }

 private:
  using Kernel = std::variant<StratumKernel<0>, StratumKernel<3>, StratumKernel<4>, StratumKernel<5>, StratumKernel<6>,
                              StratumKernel<7>, StratumKernel<8>, StratumKernel<9>>;

  static Kernel make_kernel(int c, int k) {
    switch (c) {
      case 3: return StratumKernel<3>(c, k);
      case 4: return StratumKernel<4>(c, k);
      case 5: return StratumKernel<5>(c, k);
      case 6: return StratumKernel<6>(c, k);
      case 7: return StratumKernel<7>(c, k);
      case 8: return StratumKernel<8>(c, k);
      case 9: return StratumKernel<9>(c, k);
      default: return StratumKernel<0>(c, k);
    }
  }

  int n_fours() const { return (s_ + Lanes::size - 1) / Lanes::size; }
  int n_lanes(int four) const { return std::min(Lanes::size, s_ - four * Lanes::size); }

  // Counts by fours of strata; the last four are filled up with strata without deaths.
  void arrange(const std::vector<std::vector<double>>& counts) {
    for (int f = 0; f < n_fours(); ++f) {
      std::vector<Lanes> a(k_ * c_, Lanes(0.0)), deaths(k_, Lanes(0.0)), log_fractions(k_, Lanes(0.0));
      for (int lane = 0; lane < n_lanes(f); ++lane) {
        const std::vector<double>& own = counts[f * Lanes::size + lane];
        for (int k = 0; k < k_; ++k) {
          double n = 0, sum = 0;
          for (int j = k * c_; j < (k + 1) * c_; ++j) n += own[j];
          for (int j = k * c_; j < (k + 1) * c_; ++j) {
            a[j].set(lane, own[j]);
            if (own[j] > 0) sum += own[j] * log_of(own[j] / n);
          }
          deaths[k].set(lane, n);
          log_fractions[k].set(lane, sum);
        }
      }
      counts_.insert(counts_.end(), a.begin(), a.end());
      deaths_.insert(deaths_.end(), deaths.begin(), deaths.end());
      log_fractions_.insert(log_fractions_.end(), log_fractions.begin(), log_fractions.end());
    }
  }

  // Between an array of all strata, stratum after stratum, and lanes.
  void to_lanes(const double* from, int four) {
    from += four * Lanes::size * c_;
    for (int i = 0; i < c_; ++i) {
      for (int lane = 0; lane < Lanes::size; ++lane) z_[i].set(lane, lane < n_lanes(four) ? from[lane * c_ + i] : 0);
    }
  }
  void from_lanes(const std::vector<Lanes>& lanes, int four, double* to) const {
    to += four * Lanes::size * c_;
    for (int lane = 0; lane < n_lanes(four); ++lane) {
      for (int i = 0; i < c_; ++i) to[lane * c_ + i] = lanes[i][lane];
    }
  }

  // Sets the weights w of four strata, their weighted counts, and phi plus the sum of these.
  void weigh(const SharedPoint& shared, int four) {
    four_.total = shared.phi;
    for (int lane = 0; lane < Lanes::size; ++lane) four_.live.set(lane, lane < n_lanes(four));
    const Lanes *counts = &counts_[four * k_ * c_], *deaths = &deaths_[four * k_];
    for (const Scatter& v : scattered_) {
      const double kappa = shared.kappa[v.algorithm];
      weight_[v.algorithm] = Lanes(kappa + 1) / (Lanes(kappa) + larger(deaths[v.algorithm], Lanes(1.0)));
    }
    for (int k = 0; k < k_; ++k) {
      for (int j = k * c_; j < (k + 1) * c_; ++j) four_.counts[j] = weight_[k] * counts[j];
      four_.total += weight_[k] * deaths[k];
    }
  }

  // What the likelihood of a stratum's weighted counts lacks; adds to the gradient by log kappa.
  double scatter_constant(const SharedPoint& shared, int four, int lane, double by_total, SharedGradient& by) const {
    double value = 0;
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      const int k = scattered_[v].algorithm;
      const double n = deaths_[four * k_ + k][lane], w = weight_[k][lane], half = 0.5 * scattered_[v].freedom,
                   kappa = shared.kappa[k];
      if (!(n > 1)) continue;
      const double log_fractions = log_fractions_[four * k_ + k][lane];
      value += half * log_of(w) - w * log_fractions;
      const double by_log_w = four_.by_log_counts[k][lane] + w * n * by_total + half - w * log_fractions;
      by.by_log_kappa[v] += by_log_w * (kappa / (kappa + 1) - kappa / (kappa + n));
    }
    return value;
  }

  // The constants of the strata's Dirichlet densities, and the gradient summed over lanes.
  void add_constants(const SharedPoint& shared, double by_total, double& value, SharedGradient& by) const {
    double constant = log_gamma(shared.phi);
    for (double b : shared.b) constant -= log_gamma(b);
    value += s_ * constant;
    by.by_phi = sum(by_.by_phi) + by_total + s_ * digamma(shared.phi);
    for (int i = 0; i < c_; ++i) by.by_b[i] = sum(by_.by_b[i]) - s_ * digamma(shared.b[i]);
    for (int j = 0; j < k_ * c_ * c_; ++j) by.by_m[j] = sum(by_.by_m[j]);
  }

  int c_, k_, s_;
  std::vector<Scatter> scattered_;
  std::vector<Lanes> counts_, deaths_, log_fractions_;  // by fours of strata: K x C; K: n = sum_j a_j, and sum_j a_j log(a_j / n)
  Kernel kernel_;
  FourStrata four_;  // of the four strata at hand, as all below
  std::vector<Lanes> weight_, z_, by_z_;
  LaneGradient by_;
};

}  // namespace vacal::joint
