#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "joint_model.hpp"
#include "lanes.hpp"
#include "linalg.hpp"

// A stratum of the joint model, p ~ Dirichlet(b) and a_k ~ Multinomial(n_k, M_k' p) (counts need not be whole), in coordinates
// z that are about standard normal and independent of b and the M_k, whatever these are. Four strata at a time.
namespace vacal::joint {

// The gradient by what all strata share, in lanes that are yet to be summed.
struct LaneGradient {
  std::vector<Lanes> by_b, by_m;  // C; K x C x C
  Lanes by_phi = 0.0;             // through phi alone, b held
};

// Four strata: counts of every algorithm and cause, and phi plus their sum. Lanes that are not live add nothing.
struct FourStrata {
  std::vector<Lanes> counts;         // K x C
  Lanes total = 0.0, live = 1.0;     // live: 0 or 1
  std::vector<Lanes> by_log_counts;  // K: gradient by the log of what all counts of an algorithm are multiplied by
};

// Given b and the M_k, x = log y with p = y / sum(y) has the log-density
//   F(x) = sum_i b_i x_i + sum_kj a_kj log(M_k' y)_j - N sum_i y_i,   N = phi + sum(a)
// (the last term gives the free scale of y a gamma density). With b~ = sqrt(b^2 + 1/4) in place of b and
// N~ = sum(b~) + sum(a), which keeps away from y = 0, this is a concave function of y whose maximum y^ is a smooth
// function of b and M, found by Newton's method; there sum(y^) = 1 and, on the scale of x, its curvature is
//   G = diag(b~) + sum_k W_k diag(a_k) W_k',   W_k,ij = y^_i M_k,ij / (M_k' y^)_j.
// With G = L L' and the bend T_i of shape b_i, which has T_i(l_i) = level:
//   x_i = log y^_i - level + T_i(t_i),   t_i = l_i - lowered_i w_i + (L'^-1 z)_i,   w_i = b~_i / G_ii:
// where the counts tell much (w = 0) t is centred at y^, and where they tell nothing (w = 1) at the prior.
// Width is C, or 0 for a number of causes known at run time only.
template <int Width>
class StratumKernel {
 public:
  StratumKernel(int n_causes, int n_algorithms) : c_(n_causes), k_(n_algorithms) {
    for (auto* v :
         {&x_, &v_, &share_left_, &soft_, &slope_, &r_, &gx_, &firm_bar_, &gv_, &xbar_, &bar_, &new_y_, &inverse_diagonal_}) {
      v->assign(c_, 1.0);
    }
    for (auto* v : {&g_, &l_, &s_}) v->assign(c_ * c_, 0.0);
    w_.assign(k_ * c_ * c_, 0.0);
    per_q_.assign(k_ * c_, 1.0);
  }

  // Log-densities at z up to a constant; sets the gradient by z and by_log_counts and adds to that by what strata share.
  // y: the modes y^ at a point near by, and here on return. NaN where a mode is not found.
  Lanes evaluate(const SharedPoint& shared, FourStrata& strata, Lanes* y, const Lanes* z, Lanes* by_z, LaneGradient& by) {
    if (!find_modes(shared, strata, y)) return std::numeric_limits<double>::quiet_NaN();
    place(shared, y, z);
    std::fill(strata.by_log_counts.begin(), strata.by_log_counts.end(), Lanes(0.0));
    const Lanes result = value(shared, strata, by);
    pull_back(shared, strata, y, z, by_z, by);
    return result;
  }

  // x = log y at z, sum(exp(x)) is free.
  bool to_logs(const SharedPoint& shared, const FourStrata& strata, Lanes* y, const Lanes* z, Lanes* x) {
    if (!find_modes(shared, strata, y)) return false;
    place(shared, y, z);
    std::copy(x_.begin(), x_.end(), x);
    return true;
  }

  // The z of x.
  bool from_logs(const SharedPoint& shared, const FourStrata& strata, Lanes* y, const Lanes* x, Lanes* z) {
    if (!find_modes(shared, strata, y)) return false;
    for (int i = 0; i < c(); ++i) {
      const Lanes above = x[i] - log_of(y[i]) + Lanes(Bend::level);
      for (int lane = 0; lane < Lanes::size; ++lane) v_[i].set(lane, shared.bends[i].inverse(above[lane]));
      v_[i] -= centre(shared, i);
    }
    for (int i = 0; i < c(); ++i) {
      z[i] = 0.0;
      for (int j = i; j < c(); ++j) z[i] += l_[j * c() + i] * v_[j];
    }
    return true;
  }

 private:
  // The distance from the mode, relative to it, at which Newton's method ends: changes the log-density by less than 1e-4.
  static constexpr double near_enough = 1e-6;

  int c() const { return Width > 0 ? Width : c_; }

  // W, G at y, its Cholesky factor, and r = y * dF/dy.
  void curvature(const SharedPoint& shared, const FourStrata& strata, Lanes total, const Lanes* y) {
    const int n = c();
    for (int i = 0; i < n; ++i) {
      r_[i] = Lanes(shared.firm[i]) - total * y[i];
      for (int j = 0; j < i; ++j) g_[i * n + j] = 0.0;
      g_[i * n + i] = shared.firm[i];
    }
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) {
        const double* m = &shared.m[k * n * n + j];
        const Lanes a = strata.counts[k * n + j];
        Lanes* w = &w_[(k * n + j) * n];
        Lanes q = 0.0;
        for (int i = 0; i < n; ++i) q += w[i] = y[i] * Lanes(m[i * n]);
        const Lanes per_q = per_q_[k * n + j] = Lanes(1.0) / larger(q, Lanes(1e-300));
        for (int i = 0; i < n; ++i) w[i] *= per_q;
        for (int i = 0; i < n; ++i) {
          const Lanes wa = w[i] * a;
          r_[i] += wa;
          for (int l = 0; l <= i; ++l) g_[i * n + l] += wa * w[l];
        }
      }
    }
    const auto root = [&](Lanes rest, int i) {
      const Lanes diagonal = root_of(larger(rest, Lanes(1e-12) * g_[i * n + i]));
      inverse_diagonal_[i] = Lanes(1.0) / diagonal;
      return diagonal;
    };
    factorise(g_.data(), l_.data(), n, root, [&](Lanes rest, int j) { return rest * inverse_diagonal_[j]; });
  }

  void solve_lower(Lanes* x) const {  // L x = x
    const int n = c();
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) x[i] -= l_[i * n + j] * x[j];
      x[i] *= inverse_diagonal_[i];
    }
  }
  void solve_upper(Lanes* x) const {  // L' x = x
    const int n = c();
    for (int i = n - 1; i >= 0; --i) {
      for (int j = i + 1; j < n; ++j) x[i] -= l_[j * n + i] * x[j];
      x[i] *= inverse_diagonal_[i];
    }
  }

  // Newton's method with steps that keep y positive; leaves G, L and W at the modes.
  bool find_modes(const SharedPoint& shared, const FourStrata& strata, Lanes* y) {
    const int n = c();
    const Lanes total = strata.total - Lanes(shared.phi) + Lanes(shared.firm_sum);
    for (int step = 0; step < 200; ++step) {
      curvature(shared, strata, total, y);
      std::copy(r_.begin(), r_.begin() + n, gv_.begin());
      solve_lower(gv_.data());
      solve_upper(gv_.data());
      Lanes up = 0.0, down = 0.0;
      for (int i = 0; i < n; ++i) {
        up = larger(up, gv_[i]);
        down = larger(down, -gv_[i]);
      }
      const double largest = greatest(larger(up, down));
      if (!(largest < 1e100)) return false;
      if (largest < near_enough) return true;
      const Lanes length = Lanes(0.9) / larger(down, Lanes(0.9));
      for (int i = 0; i < n; ++i) y[i] = larger(y[i] * (Lanes(1.0) + length * gv_[i]), Lanes(1e-290));
    }
    return false;
  }

  Lanes weight(const SharedPoint& shared, int i) const { return Lanes(shared.firm[i]) / g_[i * c() + i]; }
  Lanes centre(const SharedPoint& shared, int i) const {
    return Lanes(shared.bends[i].level_at) - Lanes(shared.bends[i].lowered) * weight(shared, i);
  }

  // From z to x = log y and what its derivatives need.
  void place(const SharedPoint& shared, const Lanes* y, const Lanes* z) {
    const int n = c();
    std::copy(z, z + n, v_.begin());
    solve_upper(v_.data());
    for (int i = 0; i < n; ++i) {
      const Bend& bend = shared.bends[i];
      const Lanes t = centre(shared, i) + v_[i], left = larger(-t, Lanes(0.0)), right = larger(t, Lanes(0.0));
      const Lanes e = exp_of(-(left + right)), per_sum = Lanes(1.0) / (Lanes(1.0) + e);
      soft_[i] = left + log_of(Lanes(1.0) + e);                      // log(1 + exp(-t))
      share_left_[i] = choose(above_zero(t), per_sum, e * per_sum);  // 1 / (1 + exp(t))
      slope_[i] = Lanes(1.0) + Lanes(bend.bend) * share_left_[i];
      x_[i] = log_of(y[i]) + t - Lanes(bend.bend) * soft_[i] - Lanes(Bend::level);
    }
  }

  // Sets gx to the gradient by x, and adds that by the matrices.
  Lanes value(const SharedPoint& shared, FourStrata& strata, LaneGradient& by) {
    const int n = c();
    Lanes sum = 0.0, slopes = 1.0, sum_y = 0.0;
    for (int i = 0; i < n; ++i) {
      new_y_[i] = exp_of(x_[i]);
      sum += Lanes(shared.b[i]) * x_[i] + log_of(slope_[i]);
      slopes *= inverse_diagonal_[i];
      sum_y += new_y_[i];
      gx_[i] = Lanes(shared.b[i]) - strata.total * new_y_[i];
    }
    sum += log_of(slopes) - strata.total * sum_y;
    by.by_phi -= strata.live * sum_y;
    for (int k = 0; k < k_; ++k) {
      Lanes fit = 0.0, deaths = 0.0;
      for (int j = 0; j < n; ++j) {
        const double* m = &shared.m[k * n * n + j];
        const Lanes a = strata.counts[k * n + j];
        Lanes q = 0.0;
        for (int i = 0; i < n; ++i) q += new_y_[i] * Lanes(m[i * n]);
        q = larger(q, Lanes(1e-300));
        fit += a * log_of(q);
        deaths += a;
        const Lanes back = a / q;
        Lanes* by_m = &by.by_m[k * n * n + j];
        for (int i = 0; i < n; ++i) {
          const Lanes pull = new_y_[i] * back;
          by_m[i * n] += pull;
          gx_[i] += pull * Lanes(m[i * n]);
        }
      }
      sum += fit;
      strata.by_log_counts[k] += fit - deaths * sum_y;
    }
    return sum;
  }

  // The gradient, in reverse through every step of the map.
  void pull_back(const SharedPoint& shared, FourStrata& strata, const Lanes* y, const Lanes* z, Lanes* by_z, LaneGradient& by) {
    const int n = c();
    for (int i = 0; i < n; ++i) {
      const Bend& bend = shared.bends[i];
      const Lanes left = share_left_[i], over = Lanes(1.0) / slope_[i];
      gv_[i] = gx_[i] * slope_[i] - Lanes(bend.bend) * left * (Lanes(1.0) - left) * over;
      by.by_b[i] += strata.live * (x_[i] + Lanes(bend.bend_by_shape) * (left * over - gx_[i] * soft_[i]) +
                                   gv_[i] * (Lanes(bend.level_at_by_shape) - Lanes(bend.lowered_by_shape) * weight(shared, i)));
      xbar_[i] = gx_[i];
    }
    std::copy(gv_.begin(), gv_.begin() + n, by_z);
    solve_lower(by_z);
    pull_back_factor(z, by_z);
    pull_back_weights(shared);
    pull_back_curvature(strata, y, by);
    pull_back_modes(shared, strata, y, by);
  }

  // The gradient by G (symmetric, in s_) of v = L'^-1 z and of -log|L| (Murray 2016, arXiv:1602.07527).
  void pull_back_factor(const Lanes* z, const Lanes* by_z) {
    const int n = c();
    // Lbar = -v by_z' - diag(1 / L), so that L' Lbar = -z by_z' - I; its lower triangle, symmetrised:
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) s_[i * n + j] = s_[j * n + i] = Lanes(-0.5) * z[i] * by_z[j];
      s_[i * n + i] = Lanes(-0.5) * (z[i] * by_z[i] + Lanes(1.0));
    }
    for (int row = 0; row < n; ++row) solve_upper(&s_[row * n]);  // rows: S L^-1, as S is symmetric
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) std::swap(s_[i * n + j], s_[j * n + i]);
    }
    for (int row = 0; row < n; ++row) solve_upper(&s_[row * n]);
  }

  // From the weights w to b~ and G.
  void pull_back_weights(const SharedPoint& shared) {
    for (int i = 0; i < c(); ++i) {
      const Lanes per_g = Lanes(1.0) / g_[i * c() + i], by_weight = -gv_[i] * Lanes(shared.bends[i].lowered);
      firm_bar_[i] = by_weight * per_g + s_[i * c() + i];
      const Lanes through_g = by_weight * Lanes(shared.firm[i]) * per_g * per_g;
      firm_bar_[i] -= through_g;
      s_[i * c() + i] -= through_g;
    }
  }

  // From G to M and the modes.
  void pull_back_curvature(FourStrata& strata, const Lanes* y, LaneGradient& by) {
    const int n = c();
    for (int k = 0; k < k_; ++k) {
      Lanes by_log_counts = 0.0;
      for (int j = 0; j < n; ++j) {
        const Lanes *w = &w_[(k * n + j) * n], two_a = Lanes(2.0) * strata.counts[k * n + j], per_q = per_q_[k * n + j];
        Lanes* by_m = &by.by_m[k * n * n + j];
        Lanes column = 0.0;
        for (int i = 0; i < n; ++i) {
          Lanes sum = 0.0;
          for (int l = 0; l < n; ++l) sum += s_[i * n + l] * w[l];
          bar_[i] = sum * two_a;
          column += bar_[i] * w[i];
        }
        by_log_counts += column;
        for (int i = 0; i < n; ++i) {
          const Lanes pull = bar_[i] - column;
          by_m[i * n] += pull * y[i] * per_q;
          xbar_[i] += pull * w[i];
        }
      }
      strata.by_log_counts[k] += Lanes(0.5) * by_log_counts;
    }
  }

  // From the modes to b and M, by the implicit function theorem.
  void pull_back_modes(const SharedPoint& shared, FourStrata& strata, const Lanes* y, LaneGradient& by) {
    const int n = c();
    solve_lower(xbar_.data());
    solve_upper(xbar_.data());
    Lanes through_total = 0.0;
    for (int i = 0; i < n; ++i) through_total += xbar_[i] * y[i];
    for (int i = 0; i < n; ++i) {
      by.by_b[i] += strata.live * (firm_bar_[i] + xbar_[i] - through_total) * Lanes(shared.b[i] / shared.firm[i]);
    }
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) {
        const Lanes *w = &w_[(k * n + j) * n], a = strata.counts[k * n + j], per_q = a * per_q_[k * n + j];
        Lanes* by_m = &by.by_m[k * n * n + j];
        Lanes column = 0.0;
        for (int i = 0; i < n; ++i) column += xbar_[i] * w[i];
        strata.by_log_counts[k] += a * (column - through_total);
        for (int i = 0; i < n; ++i) by_m[i * n] += per_q * y[i] * (xbar_[i] - column);
      }
    }
  }

  int c_, k_;
  std::vector<Lanes> x_, v_, share_left_, soft_, slope_, r_, gx_, firm_bar_, gv_, xbar_, bar_, new_y_, inverse_diagonal_;
  std::vector<Lanes> g_, l_, s_, w_, per_q_;  // w: algorithm, VA cause, cause; per_q: 1 / (M_k' y^)_j
};

}  // namespace vacal::joint
