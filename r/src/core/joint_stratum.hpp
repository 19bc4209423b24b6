#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "math.hpp"
#include "special.hpp"

// One stratum of the joint model, p ~ Dirichlet(b) and a_k ~ Multinomial(n_k, M_k' p) (counts need not be whole), in coordinates z that are about
// standard normal and independent of b and the M_k, whatever these are.
namespace vacal::joint {

// A gamma variable y of small shape b has log y spread over 1 / b to the left and about 1 to the right. Under
//   log y = T(t) = t - bend * log(1 + exp(-t)),   bend = 1 / (b (1 + b)),
// the density of t falls off on both sides on a scale of about 1 for every b.
struct Bend {
  double bend = 0, bend_by_shape = 0;
  double level_at = 0, level_at_by_shape = 0;  // the t at which T(t) = level
  double lowered = 0, lowered_by_shape = 0;    // how much lower t lies where nothing but this prior is known

  static constexpr double level = 1;
  static double softplus(double t) { return std::max(t, 0.0) + log1p_of(exp_of(-std::fabs(t))); }

  explicit Bend(double b = 1) {
    bend = 1 / (b * (1 + b));
    bend_by_shape = -(1 + 2 * b) * bend * bend;
    level_at = inverse(level);
    level_at_by_shape = bend_by_shape * softplus(-level_at) / slope(level_at);
    lowered = level_at / (1 + 2 * b);
    lowered_by_shape = (level_at_by_shape - 2 * lowered) / (1 + 2 * b);
  }

  double slope(double t) const { return 1 + bend * share_left(t); }

  static double share_left(double t) {  // 1 / (1 + exp(t))
    const double e = exp_of(-std::fabs(t));
    return (t > 0 ? e : 1.0) / (1 + e);
  }

  // The t with T(t) = x: Newton's method, from the left asymptote or the right one; T is concave.
  double inverse(double x) const {
    double t = std::min(x, x / (1 + bend));
    for (int step = 0; step < 100; ++step) {
      const double move = (x - t + bend * softplus(-t)) / slope(t);
      t += move;
      if (std::fabs(move) < 1e-13 * (1 + std::fabs(t))) break;
    }
    return t;
  }
};

// What all strata share at one point: b = phi pi and the matrices, and the gradient of the log-density by them.
struct Shared {
  int n_causes = 0, n_algorithms = 0;
  double phi = 0;
  std::vector<double> b, firm;           // firm = sqrt(b^2 + 1/4): see StratumKernel
  double firm_sum = 0;
  std::vector<Bend> bends;
  std::vector<double> m;                 // K x C x C
  std::vector<double> by_b, by_m;        // gradient
  double by_phi = 0;                     // through phi alone, b held
  std::vector<double> by_log_counts;     // K, of the last stratum: by the log of what all counts of an algorithm are multiplied by
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
    const int c = c_, pad = padded(c);
    for (auto* v : {&x_, &t_, &v_, &e_, &soft_, &slope_, &r_, &gx_, &firm_bar_, &gv_, &xbar_, &new_y_, &one_}) {
      v->assign(pad, 1.0);
    }
    for (auto* v : {&g_, &l_, &s_}) v->assign(c * c, 0.0);
    w_.assign(k_ * c * c, 0.0);
    for (auto* v : {&q_, &back_}) v->assign(k_ * pad, 1.0);
  }

  // Log-density at z up to a constant; sets the gradient by z and by_log_counts and adds to the rest in `shared`. counts: K x C; y: the
  // mode y^ at a point near by, and here on return. NaN where the mode is not found.
  double evaluate(Shared& shared, const double* counts, double total, double* y, const double* z, double* by_z) {
    if (!find_mode(shared, counts, total - shared.phi + shared.firm_sum, y)) return std::numeric_limits<double>::quiet_NaN();
    place(shared, y, z);
    std::fill(shared.by_log_counts.begin(), shared.by_log_counts.end(), 0.0);
    const double result = value(shared, counts, total);
    pull_back(shared, counts, total, y, z, by_z);
    return result;
  }

  // x = log y at z, sum(exp(x)) is free.
  bool to_logs(Shared& shared, const double* counts, double total, double* y, const double* z, double* x) {
    if (!find_mode(shared, counts, total - shared.phi + shared.firm_sum, y)) return false;
    place(shared, y, z);
    std::copy(x_.begin(), x_.begin() + c(), x);
    return true;
  }

  // The z of x.
  bool from_logs(Shared& shared, const double* counts, double total, double* y, const double* x, double* z) {
    if (!find_mode(shared, counts, total - shared.phi + shared.firm_sum, y)) return false;
    for (int i = 0; i < c(); ++i) {
      v_[i] = shared.bends[i].inverse(x[i] - log_of(y[i]) + Bend::level) - centre(shared, i);
    }
    for (int i = 0; i < c(); ++i) {
      z[i] = 0;
      for (int j = i; j < c(); ++j) z[i] += l_[j * c() + i] * v_[j];
    }
    return true;
  }

 private:
  // The distance from the mode, relative to it, at which Newton's method ends: changes the log-density by less than 1e-4.
  static constexpr double near_enough = 1e-6;

  int c() const { return Width > 0 ? Width : c_; }

  // G at y, its Cholesky factor, and r = y * dF/dy.
  void curvature(const Shared& shared, const double* counts, double total, const double* y) {
    const int n = c();
    for (int i = 0; i < n; ++i) {
      r_[i] = shared.firm[i] - total * y[i];
      for (int j = 0; j <= i; ++j) g_[i * n + j] = 0;
      g_[i * n + i] = shared.firm[i];
    }
    for (int k = 0; k < k_; ++k) {
      const double* m = &shared.m[k * n * n];
      const double* a = counts + k * n;
      double* w = &w_[k * n * n];
      double q[Width > 0 ? Width : 64];
      for (int j = 0; j < n; ++j) q[j] = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) q[j] += w[i * n + j] = y[i] * m[i * n + j];
      }
      for (int j = 0; j < n; ++j) q[j] = a[j] > 0 ? 1 / q[j] : 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) w[i * n + j] *= q[j];
      }
      for (int i = 0; i < n; ++i) {
        double wa[Width > 0 ? Width : 64], sum = 0;
        for (int j = 0; j < n; ++j) sum += wa[j] = w[i * n + j] * a[j];
        r_[i] += sum;
        for (int l = 0; l <= i; ++l) {
          double dot = 0;
          for (int j = 0; j < n; ++j) dot += wa[j] * w[l * n + j];
          g_[i * n + l] += dot;
        }
      }
    }
    for (int i = 0; i < n; ++i) {  // Cholesky
      for (int j = 0; j <= i; ++j) {
        double sum = g_[i * n + j];
        for (int l = 0; l < j; ++l) sum -= l_[i * n + l] * l_[j * n + l];
        if (i == j) {
          l_[i * n + i] = std::sqrt(std::max(sum, 1e-12 * g_[i * n + i]));
          inverse_diagonal_[i] = 1 / l_[i * n + i];
        } else {
          l_[i * n + j] = sum * inverse_diagonal_[j];
        }
      }
    }
  }

  void solve_lower(double* x) const {  // L x = x
    const int n = c();
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) x[i] -= l_[i * n + j] * x[j];
      x[i] *= inverse_diagonal_[i];
    }
  }
  void solve_upper(double* x) const {  // L' x = x
    const int n = c();
    for (int i = n - 1; i >= 0; --i) {
      for (int j = i + 1; j < n; ++j) x[i] -= l_[j * n + i] * x[j];
      x[i] *= inverse_diagonal_[i];
    }
  }

  // Newton's method with steps that keep y positive; leaves G, L and W at the mode.
  bool find_mode(const Shared& shared, const double* counts, double total, double* y) {
    const int n = c();
    for (int step = 0; step < 200; ++step) {
      curvature(shared, counts, total, y);
      std::copy(r_.begin(), r_.begin() + n, gv_.begin());
      solve_lower(gv_.data());
      solve_upper(gv_.data());
      double largest = 0, down = 0;
      for (int i = 0; i < n; ++i) {
        largest = std::max(largest, std::fabs(gv_[i]));
        down = std::max(down, -gv_[i]);
      }
      if (!(largest < 1e100)) return false;
      if (largest < near_enough) return true;
      const double length = down > 0.9 ? 0.9 / down : 1;
      for (int i = 0; i < n; ++i) y[i] = std::max(y[i] * (1 + length * gv_[i]), 1e-290);
    }
    return false;
  }

  double weight(const Shared& shared, int i) const { return shared.firm[i] / g_[i * c() + i]; }
  double centre(const Shared& shared, int i) const {
    return shared.bends[i].level_at - shared.bends[i].lowered * weight(shared, i);
  }

  // From z to x = log y and what its derivatives need.
  void place(const Shared& shared, const double* y, const double* z) {
    const int n = c();
    std::copy(z, z + n, v_.begin());
    solve_upper(v_.data());
    for (int i = 0; i < n; ++i) {
      t_[i] = centre(shared, i) + v_[i];
      e_[i] = -std::fabs(t_[i]);
      x_[i] = y[i];
    }
    exp_all(e_.data(), e_.data(), padded(n));
    for (int i = 0; i < n; ++i) soft_[i] = 1 + e_[i];
    log_all(soft_.data(), soft_.data(), padded(n));
    log_all(x_.data(), x_.data(), padded(n));
    for (int i = 0; i < n; ++i) {
      const Bend& bend = shared.bends[i];
      soft_[i] += std::max(-t_[i], 0.0);                 // log(1 + exp(-t))
      e_[i] = (t_[i] > 0 ? e_[i] : 1.0) / (1 + e_[i]);  // 1 / (1 + exp(t))
      slope_[i] = 1 + bend.bend * e_[i];
      x_[i] += t_[i] - bend.bend * soft_[i] - Bend::level;
    }
  }

  double value(Shared& shared, const double* counts, double total) {
    const int n = c();
    exp_all(x_.data(), new_y_.data(), padded(n));
    log_all(slope_.data(), one_.data(), padded(n));
    double sum = 0;
    for (int i = 0; i < n; ++i) {
      sum += shared.b[i] * x_[i] - total * new_y_[i] + one_[i];
    }
    double product = 1;
    for (int i = 0; i < n; ++i) product *= inverse_diagonal_[i];
    sum += log_of(product);
    for (int k = 0; k < k_; ++k) {
      const double* m = &shared.m[k * n * n];
      double* q = &q_[k * padded(n)];
      for (int j = 0; j < n; ++j) q[j] = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) q[j] += new_y_[i] * m[i * n + j];
      }
      for (int j = 0; j < n; ++j) {
        const double a = counts[k * n + j];
        back_[k * padded(n) + j] = a > 0 ? a / q[j] : 0;
        q[j] = a > 0 ? q[j] : 1;
      }
      log_all(q, q, padded(n));
      double fit = 0;
      for (int j = 0; j < n; ++j) fit += counts[k * n + j] * q[j];
      sum += fit;
      shared.by_log_counts[k] += fit;
    }
    return sum;
  }

  // The gradient, in reverse through every step of the map.
  void pull_back(Shared& shared, const double* counts, double total, const double* y, const double* z,
                 double* by_z) {
    const int n = c();
    double sum_y = 0;
    for (int i = 0; i < n; ++i) {
      gx_[i] = shared.b[i] - total * new_y_[i];
      sum_y += new_y_[i];
    }
    shared.by_phi -= sum_y;
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < n; ++j) shared.by_log_counts[k] -= counts[k * n + j] * sum_y;
    }
    for (int k = 0; k < k_; ++k) {
      const double *m = &shared.m[k * n * n], *back = &back_[k * padded(n)];
      double* by_m = &shared.by_m[k * n * n];
      for (int i = 0; i < n; ++i) {
        double pull = 0;
        for (int j = 0; j < n; ++j) {
          pull += m[i * n + j] * back[j];
          by_m[i * n + j] += new_y_[i] * back[j];
        }
        gx_[i] += new_y_[i] * pull;
      }
    }
    for (int i = 0; i < n; ++i) {
      const Bend& bend = shared.bends[i];
      const double left = e_[i], over = 1 / slope_[i];
      gv_[i] = gx_[i] * slope_[i] - bend.bend * left * (1 - left) * over;
      shared.by_b[i] += x_[i] + bend.bend_by_shape * (left * over - gx_[i] * soft_[i]) +
                        gv_[i] * (bend.level_at_by_shape - bend.lowered_by_shape * weight(shared, i));
      xbar_[i] = gx_[i];
    }
    std::copy(gv_.begin(), gv_.begin() + n, by_z);
    solve_lower(by_z);
    pull_back_factor(z, by_z);
    pull_back_weights(shared);
    pull_back_curvature(shared, counts);
    pull_back_mode(shared, counts, y);
  }

  // The gradient by G (symmetric, in s_) of v = L'^-1 z and of -log|L| (Murray 2016, arXiv:1602.07527).
  void pull_back_factor(const double* z, const double* by_z) {
    const int n = c();
    // Lbar = -v by_z' - diag(1 / L), so that L' Lbar = -z by_z' - I; its lower triangle, symmetrised:
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) s_[i * n + j] = s_[j * n + i] = -0.5 * z[i] * by_z[j];
      s_[i * n + i] = -0.5 * (z[i] * by_z[i] + 1);
    }
    for (int row = 0; row < n; ++row) solve_upper(&s_[row * n]);  // rows: S L^-1, as S is symmetric
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < i; ++j) std::swap(s_[i * n + j], s_[j * n + i]);
    }
    for (int row = 0; row < n; ++row) solve_upper(&s_[row * n]);
  }

  // From the weights w to b~ and G.
  void pull_back_weights(const Shared& shared) {
    for (int i = 0; i < c(); ++i) {
      const double by_weight = -gv_[i] * shared.bends[i].lowered, g = g_[i * c() + i];
      firm_bar_[i] = by_weight / g;
      s_[i * c() + i] -= by_weight * shared.firm[i] / (g * g);
    }
  }

  // From G to b~, M and the mode.
  void pull_back_curvature(Shared& shared, const double* counts) {
    const int n = c();
    for (int i = 0; i < n; ++i) firm_bar_[i] += s_[i * n + i];
    for (int k = 0; k < k_; ++k) {
      const double *w = &w_[k * n * n], *a = counts + k * n, *m = &shared.m[k * n * n];
      double* by_m = &shared.by_m[k * n * n];
      double wbar[Width > 0 ? Width * Width : 64 * 64], column[Width > 0 ? Width : 64];
      for (int j = 0; j < n; ++j) column[j] = 0;
      for (int i = 0; i < n; ++i) {
        double* bar = wbar + i * n;
        for (int j = 0; j < n; ++j) bar[j] = 0;
        for (int l = 0; l < n; ++l) {
          for (int j = 0; j < n; ++j) bar[j] += s_[i * n + l] * w[l * n + j];
        }
        for (int j = 0; j < n; ++j) {
          bar[j] *= 2 * a[j];
          column[j] += bar[j] * w[i * n + j];
        }
      }
      for (int j = 0; j < n; ++j) shared.by_log_counts[k] += 0.5 * column[j];
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          const double bar = wbar[i * n + j] - column[j];
          if (m[i * n + j] > 0) by_m[i * n + j] += bar * w[i * n + j] / m[i * n + j];
          xbar_[i] += bar * w[i * n + j];
        }
      }
    }
  }

  // From the mode to b and M, by the implicit function theorem.
  void pull_back_mode(Shared& shared, const double* counts, const double* y) {
    const int n = c();
    solve_lower(xbar_.data());
    solve_upper(xbar_.data());
    double through_total = 0;
    for (int i = 0; i < n; ++i) through_total += xbar_[i] * y[i];
    for (int i = 0; i < n; ++i) {
      shared.by_b[i] += (firm_bar_[i] + xbar_[i] - through_total) * shared.b[i] / shared.firm[i];
    }
    for (int k = 0; k < k_; ++k) {
      const double *w = &w_[k * n * n], *a = counts + k * n, *m = &shared.m[k * n * n];
      double* by_m = &shared.by_m[k * n * n];
      double column[Width > 0 ? Width : 64];
      for (int j = 0; j < n; ++j) column[j] = 0;
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) column[j] += xbar_[i] * w[i * n + j];
      }
      for (int j = 0; j < n; ++j) shared.by_log_counts[k] += a[j] * (column[j] - through_total);
      for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
          if (m[i * n + j] > 0) by_m[i * n + j] += a[j] * w[i * n + j] / m[i * n + j] * (xbar_[i] - column[j]);
        }
      }
    }
  }

  int c_, k_;
  std::vector<double> x_, t_, v_, e_, soft_, slope_, r_, gx_, firm_bar_, gv_, xbar_, new_y_, one_;
  std::vector<double> g_, l_, s_, w_, q_, back_;
  double inverse_diagonal_[64];
};

}  // namespace vacal::joint
