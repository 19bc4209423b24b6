#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "common_draws.hpp"
#include "lanes.hpp"
#include "math.hpp"
#include "special.hpp"

namespace vacal::common {

// The distribution of the causes p of one stratum given matrices and a prior centre,
//   p ~ Dirichlet(b),   counts a_k with log-likelihood sum_kj a_kj log (M_k' p)_j,
// for four draws of (M, b) at once; counts are non-negative reals and the same in all lanes. In coordinates z that are
// about standard normal: with p = y / sum(y) and x = log y,
//   F(x) = sum_i b_i x_i + sum_kj a_kj log(M_k' y)_j - N sum_i y_i,   N = sum(b) + sum(a)
// (the last term gives the free scale of y a gamma density). With b~ = sqrt(b^2 + 1/4) in place of b, and N~ to match,
// it is concave in y; Newton's method finds its maximum y^, where its curvature on the scale of x is
//   G = diag(b~) + sum_k W_k diag(a_k) W_k' = L L',   W_k,ij = y^_i M_k,ij / (M_k' y^)_j.
// A gamma variable of small shape b has log y spread over 1 / b to the left: it is bent by T(t) = t - bend log(1 + exp(-t)),
// bend = 1 / (b (1 + b)), which makes the scale of t about 1 for every b. Then
//   x_i = log y^_i - 1 + T_i(t_i),   t_i = l_i - (l_i / (1 + 2 b_i)) b~_i / G_ii + (L'^-1 z)_i,   T_i(l_i) about 1:
// where the counts tell much t is centred at y^, where they tell nothing at the prior.
//
// Where b_i is small, the distribution may have one part in which cause i is there, around y^_i, and one in which it is
// absent (y_i below a border, down to 0), with little between. Such a cause is doubtful. Every set of absent causes is a
// region of its own with a chart of its own: Newton's method without them, and their t_i placed as by the prior alone,
// below the border. A point outside the chart's region has no density.
// Nothing here looks across lanes. Width is C, or 0 for a number of causes known at run time only.
template <int Width>
class Chart {
 public:
  Chart(int causes, int algorithms) : c_(causes), k_(algorithms) {
    for (auto* v : {&b_, &firm_, &bend_, &level_at_, &centre_, &y_, &log_y_, &r_, &per_diagonal_, &v_, &x_, &new_y_, &share_left_,
                    &slope_, &back_, &w_, &border_}) {
      v->assign(c_, Lanes(1.0));
    }
    for (auto* v : {&g_, &l_}) v->assign(c_ * c_, Lanes(0.0));
    absent_.assign(c_, LaneMask());
    doubtful_.assign(c_, LaneMask());
  }

  // Goes to the modes of four draws, where no cause is absent: m as in a block of MatrixDraws, counts K x C, prior C. The
  // mask says in which lanes they were found; where they were not, the matrix cannot produce the counts.
  LaneMask place(const Lanes* m, const double* counts, const Lanes* prior) {
    m_ = m;
    counts_ = counts;
    set_prior(prior);
    std::fill(absent_.begin(), absent_.end(), LaneMask());
    std::fill(doubtful_.begin(), doubtful_.end(), LaneMask());
    any_doubtful_ = false;
    set_start();
    const LaneMask found = find_mode();
    for (int lane = 0; lane < Lanes::size; ++lane) find_doubts(lane);
    return found;
  }

  static constexpr std::size_t most_doubts = 4;
  bool any_doubtful() const { return any_doubtful_; }
  const std::vector<int>& doubts(int lane) const { return doubts_[lane]; }
  bool absent(int i, int lane) const { return is_on(absent_[i], lane); }

  // Log-density where z = 0: how high the region's peak is.
  Lanes peak() {
    std::fill(back_.begin(), back_.end(), Lanes(0.0));
    return log_density(back_.data());
  }

  // Goes to the region in which these causes are absent; `whole` is a placed chart.
  void enter(const Chart& whole, const std::vector<LaneMask>& absent) {
    take(LaneMask{both_bits(-1), both_bits(-1)}, whole);
    absent_ = absent;
    for (int i = 0; i < c(); ++i) y_[i] = choose(absent_[i], y_[i], Lanes(1e-3) * exp_of(border_[i]));
    find_mode();
  }

  // The other chart of the same draws in the lanes of the mask.
  void take(const LaneMask& mask, const Chart& other) {
    for (int i = 0; i < c(); ++i) {
      y_[i] = choose(mask, y_[i], other.y_[i]);
      log_y_[i] = choose(mask, log_y_[i], other.log_y_[i]);
      centre_[i] = choose(mask, centre_[i], other.centre_[i]);
      per_diagonal_[i] = choose(mask, per_diagonal_[i], other.per_diagonal_[i]);
      absent_[i].low = mask.low ? other.absent_[i].low : absent_[i].low;
      absent_[i].high = mask.high ? other.absent_[i].high : absent_[i].high;
      for (int l = 0; l < i; ++l) l_[i * c() + l] = choose(mask, l_[i * c() + l], other.l_[i * c() + l]);
    }
    log_scale_ = choose(mask, log_scale_, other.log_scale_);
  }

  // Log-density of z up to a constant, the same in all regions; outside the chart's region very low.
  Lanes evaluate(const Lanes* z) {
    Lanes value = log_density(z);
    if (!any_doubtful_) return value;
    for (int i = 0; i < c(); ++i) {
      const LaneMask below = above_zero(border_[i] - x_[i]);
      const LaneMask strays{(below.low ^ absent_[i].low) & doubtful_[i].low, (below.high ^ absent_[i].high) & doubtful_[i].high};
      value = choose(strays, value, Lanes(-1e30));
    }
    return value;
  }

 private:
  Lanes log_density(const Lanes* z) {
    const int n = c();
    std::copy(z, z + n, v_.begin());
    solve_upper(v_.data());
    Lanes sum = 0.0, slopes = 1.0, sum_y = 0.0;
    for (int i = 0; i < n; ++i) {
      const Lanes t = centre_[i] + v_[i], left = larger(-t, Lanes(0.0));
      const Lanes e = exp_of(-(left + larger(t, Lanes(0.0)))), one_and_e = Lanes(1.0) + e;
      const Lanes share_left = choose(above_zero(t), Lanes(1.0), e) / one_and_e;  // 1 / (1 + exp(t))
      share_left_[i] = share_left;
      slopes *= slope_[i] = Lanes(1.0) + bend_[i] * share_left;
      x_[i] = log_y_[i] + t - bend_[i] * (left + log_of(one_and_e));
      sum += b_[i] * x_[i];
      sum_y += new_y_[i] = exp_of(x_[i]);
    }
    sum += log_scale_ + log_of(slopes) - total_ * sum_y;
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) {
        const double a = counts_[k * n + j];
        if (a > 0) sum += Lanes(a) * log_of(larger(rate(k, j, new_y_.data()), Lanes(tiny)));
      }
    }
    return sum;
  }

 public:
  // The gradient by z of evaluate(), at the point of its last call.
  void differentiate(Lanes* by_z) {
    const int n = c();
    std::fill(back_.begin(), back_.end(), -total_);
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) {
        const double a = counts_[k * n + j];
        if (!(a > 0)) continue;
        const Lanes* m = m_ + (k * n + j) * n;
        const Lanes per_q = Lanes(a) / larger(rate(k, j, new_y_.data()), Lanes(tiny));
        for (int i = 0; i < n; ++i) back_[i] += per_q * m[i];
      }
    }
    for (int i = 0; i < n; ++i) {
      const Lanes by_x = b_[i] + back_[i] * new_y_[i], left = share_left_[i];
      by_z[i] = by_x * slope_[i] - bend_[i] * left * (Lanes(1.0) - left) / slope_[i];
    }
    solve_lower(by_z);
  }

  // What evaluate() leaves out: the log-likelihood of the counts averaged over the prior is this plus the log of the
  // integral of exp(evaluate()) over z.
  Lanes log_constant() const {
    Lanes sum = 0.0, b = 0.0;
    for (int i = 0; i < c(); ++i) {
      b += b_[i];
      for (int lane = 0; lane < Lanes::size; ++lane) sum.set(lane, sum[lane] - log_gamma(b_[i][lane]));
    }
    for (int lane = 0; lane < Lanes::size; ++lane) {
      const double n = total_[lane];
      sum.set(lane, sum[lane] + log_gamma(b[lane]) - log_gamma(n) + n * log_of(n));
    }
    return sum;
  }

  // Of the point at which evaluate() was last called.
  void fractions(Lanes* p) const {
    Lanes top = x_[0], sum = 0.0;
    for (int i = 1; i < c(); ++i) top = larger(top, x_[i]);
    for (int i = 0; i < c(); ++i) sum += p[i] = exp_of(x_[i] - top);
    for (int i = 0; i < c(); ++i) p[i] = p[i] / sum;
  }

 private:
  static constexpr double tiny = 1e-300;
  static constexpr double near_enough = 1e-4;  // squared distance from the mode, in z, at which Newton's method ends
  static constexpr int most_steps = 100;

  int c() const { return Width > 0 ? Width : c_; }

  Lanes rate(int k, int j, const Lanes* y) const {
    const Lanes* m = m_ + (k * c() + j) * c();
    Lanes q = 0.0;
    for (int i = 0; i < c(); ++i) q += y[i] * m[i];
    return q;
  }

  void set_prior(const Lanes* prior) {
    total_ = firm_total_ = 0.0;
    for (int i = 0; i < c(); ++i) {
      const Lanes b = b_[i] = prior[i];
      bend_[i] = Lanes(1.0) / (b * (Lanes(1.0) + b));
      firm_[i] = root_of(b * b + Lanes(0.25));
      level_at_[i] = level_at(bend_[i]);
      total_ += b;
      firm_total_ += firm_[i];
    }
    double deaths = 0;
    for (int at = 0; at < k_ * c(); ++at) deaths += counts_[at];
    total_ += Lanes(deaths);
    firm_total_ += Lanes(deaths);
  }

  // From the observed fractions: every stratum from its own counts.
  void set_start() {
    double deaths = 0;
    for (int at = 0; at < k_ * c(); ++at) deaths += counts_[at];
    for (int i = 0; i < c(); ++i) {
      double own = deaths / c();
      for (int k = 0; k < k_; ++k) own += counts_[k * c() + i];
      y_[i] = (firm_[i] + Lanes(own)) / (firm_total_ + Lanes(deaths));
    }
  }

  // G and its Cholesky factor at y, and r = the gradient on the scale of x.
  void curvature() {
    const int n = c();
    for (int i = 0; i < n; ++i) {
      r_[i] = firm_[i] - firm_total_ * y_[i];
      for (int j = 0; j < i; ++j) g_[i * n + j] = 0.0;
      g_[i * n + i] = firm_[i];
    }
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) {
        const double a = counts_[k * n + j];
        if (!(a > 0)) continue;
        const Lanes* m = m_ + (k * n + j) * n;
        Lanes q = 0.0;
        for (int i = 0; i < n; ++i) q += w_[i] = y_[i] * m[i];
        const Lanes per_q = Lanes(1.0) / larger(q, Lanes(tiny));
        for (int i = 0; i < n; ++i) {
          w_[i] *= per_q;
          const Lanes wa = w_[i] * Lanes(a);
          r_[i] += wa;
          for (int l = 0; l <= i; ++l) g_[i * n + l] += wa * w_[l];
        }
      }
    }
    for (int i = 0; i < n; ++i) {  // nothing is known of absent causes but the prior
      r_[i] = choose(absent_[i], r_[i], Lanes(0.0));
      for (int l = 0; l < i; ++l) {
        g_[i * n + l] = choose(absent_[l], choose(absent_[i], g_[i * n + l], Lanes(0.0)), Lanes(0.0));
      }
      g_[i * n + i] = choose(absent_[i], g_[i * n + i], firm_[i]);
    }
    factorise();
  }

  void factorise() {  // Cholesky
    const int n = c();
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) {
        Lanes sum = g_[i * n + j];
        for (int l = 0; l < j; ++l) sum -= l_[i * n + l] * l_[j * n + l];
        l_[i * n + j] = sum * per_diagonal_[j];
      }
      Lanes sum = g_[i * n + i];
      for (int l = 0; l < i; ++l) sum -= l_[i * n + l] * l_[i * n + l];
      l_[i * n + i] = root_of(larger(sum, Lanes(1e-12) * g_[i * n + i]));
      per_diagonal_[i] = Lanes(1.0) / l_[i * n + i];
    }
  }

  void solve_lower(Lanes* x) const {  // L x = x
    const int n = c();
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) x[i] -= l_[i * n + j] * x[j];
      x[i] *= per_diagonal_[i];
    }
  }
  void solve_upper(Lanes* x) const {  // L' x = x
    const int n = c();
    for (int i = n - 1; i >= 0; --i) {
      for (int j = i + 1; j < n; ++j) x[i] -= l_[j * n + i] * x[j];
      x[i] *= per_diagonal_[i];
    }
  }

  // Newton's method with steps that keep y positive. A lane that has arrived stays where it is while others go on.
  LaneMask find_mode() {
    const int n = c();
    LaneMask going, found;
    for (int lane = 0; lane < Lanes::size; ++lane) going.set(lane, reaches(lane));
    for (int step = 0; step < most_steps && any(going); ++step) {
      curvature();
      std::copy(r_.begin(), r_.begin() + n, v_.begin());
      solve_lower(v_.data());
      Lanes distance = 0.0;
      for (int i = 0; i < n; ++i) distance += v_[i] * v_[i];
      solve_upper(v_.data());
      Lanes down = 0.0;
      for (int i = 0; i < n; ++i) down = larger(down, -v_[i]);
      for (int lane = 0; lane < Lanes::size; ++lane) {
        if (!is_on(going, lane)) continue;
        const bool arrived = distance[lane] < near_enough;
        if (arrived) found.set(lane, true);
        if (arrived || !std::isfinite(distance[lane])) going.set(lane, false);
      }
      const Lanes length = Lanes(0.9) / larger(down, Lanes(0.9));
      for (int i = 0; i < n; ++i) {
        y_[i] = choose(going, y_[i], larger(y_[i] * (Lanes(1.0) + length * v_[i]), Lanes(1e-290)));
      }
    }
    set_centre();
    return found;
  }

  // Whether the matrices give every cause that was found to some true cause.
  bool reaches(int lane) const {
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < c(); ++j) {
        const Lanes q = rate(k, j, y_.data());
        if (counts_[k * c() + j] > 0 && !(q[lane] > tiny)) return false;
      }
    }
    return true;
  }

  void set_centre() {
    log_scale_ = 0.0;
    for (int i = 0; i < c(); ++i) {
      centre_[i] = level_at_[i] - level_at_[i] / (Lanes(1.0) + Lanes(2.0) * b_[i]) * firm_[i] / g_[i * c() + i];
      log_y_[i] = choose(absent_[i], log_of(y_[i]), border_[i]) - Lanes(1.0);
      log_scale_ += log_of(per_diagonal_[i]);
    }
  }

  // Causes that are doubtful in a lane: their prior is small, the counts speak of them, but not beyond doubt. With rho the
  // number of standard deviations that y^_i is away from 0, the log odds of absence are about -rho^2 / 2 - log(b_i).
  void find_doubts(int lane) {
    constexpr double small = 0.5, spoken_of = 1.5, least_odds = -4.5;
    doubts_[lane].clear();
    for (int i = 0; i < c(); ++i) {
      const double b = b_[i][lane];
      if (!(b < small && g_[i * c() + i][lane] > spoken_of * firm_[i][lane])) continue;
      const double rho = 1 / std::sqrt(relative_variance(i, lane));
      if (!(-0.5 * rho * rho - log_of(b) + log_of(0.4 * rho) > least_odds)) continue;
      border_[i].set(lane, log_of(y_[i][lane]) - std::min(2.0, std::max(1.0, 3 / rho)));
      doubts_[lane].push_back(i);
    }
    std::sort(doubts_[lane].begin(), doubts_[lane].end(), [&](int i, int l) { return b_[i][lane] < b_[l][lane]; });
    if (doubts_[lane].size() > most_doubts) doubts_[lane].resize(most_doubts);
    for (const int i : doubts_[lane]) doubtful_[i].set(lane, true);
    any_doubtful_ = any_doubtful_ || !doubts_[lane].empty();
  }

  double relative_variance(int i, int lane) {  // an entry of the diagonal of G's inverse
    std::fill(back_.begin(), back_.end(), Lanes(0.0));
    back_[i] = 1.0;
    solve_lower(back_.data());
    double sum = 0;
    for (int l = i; l < c(); ++l) sum += back_[l][lane] * back_[l][lane];
    return sum;
  }

  static PairBits both_bits(std::int64_t x) { return PairBits{x, x}; }

  // About where T(t) = 1: Newton's method, which comes from the left as T is concave.
  static Lanes level_at(Lanes bend) {
    Lanes t = Lanes(0.75) * log_of(Lanes(1.0) + bend) + Lanes(0.3);
    for (int step = 0; step < 4; ++step) {
      const Lanes e = exp_of(-t), one_and_e = Lanes(1.0) + e;
      t += (Lanes(1.0) - t + bend * log_of(one_and_e)) / (Lanes(1.0) + bend * e / one_and_e);
    }
    return t;
  }

  static bool any(const LaneMask& mask) { return is_on(mask, 0) || is_on(mask, 1) || is_on(mask, 2) || is_on(mask, 3); }

  int c_, k_;
  const Lanes* m_ = nullptr;
  const double* counts_ = nullptr;
  Lanes total_ = 0.0, firm_total_ = 0.0;
  std::vector<Lanes> b_, firm_, bend_, centre_, y_, log_y_, r_, per_diagonal_, v_, x_, new_y_, w_, share_left_, slope_, back_;
  std::vector<Lanes> level_at_, border_;
  std::array<std::vector<int>, Lanes::size> doubts_;
  std::vector<LaneMask> absent_, doubtful_;
  bool any_doubtful_ = false;
  Lanes log_scale_ = 0.0;
  std::vector<Lanes> g_, l_;
};

}  // namespace vacal::common
