#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "layout.hpp"
#include "math.hpp"
#include "special.hpp"
#include "types.hpp"

namespace vacal::joint {

// Many strata that share their matrices:
//   M_k[i, ] ~ Dirichlet(alpha_k[i, ]);  p_s ~ Dirichlet(phi pi);  pi ~ Dirichlet(1, .., 1);
//   log phi ~ Normal(3, 1);  a_sk ~ Dirichlet-multinomial(n_sk, kappa_k M_k' p_s),  log kappa_k ~ Normal(7, 1.5).
// The last stands for a stratum's own matrix, which scatters about M_k: the larger kappa_k, the less. Its likelihood is
// that of the double multinomial with the same mean and variance (Efron 1986, J. Am. Stat. Assoc. 81, 709-721): counts are
// multiplied by w = (kappa + 1) / (kappa + n) in a multinomial likelihood, which is relative to that of the counts'
// own fractions, times w^((C - 1) / 2).
struct JointProblem {
  Problem pooled;                           // counts summed over strata; the prior is that of pi
  std::vector<std::vector<double>> counts;  // by stratum: K x C, for the algorithms of the layout (with any deaths)
  bool scatter = true;                      // false, or a matrix that is known: a_sk ~ Multinomial(n_sk, M_k' p_s)
};

constexpr double mean_log_phi = 3, sd_log_phi = 1;
constexpr double largest_phi = 1e8;  // 15 sd above the mean; far beyond, the log-density is lost in rounding errors
constexpr double mean_log_kappa = 7, sd_log_kappa = 1.5;

// One point in the terms of the model.
struct JointPoint {
  double phi = 0;
  std::vector<double> kappa;  // K; infinite where there is no scatter
  std::vector<double> pi;     // C
  std::vector<double> m;      // K x C x C
  std::vector<double> p;      // S x C
};

// An algorithm that has a kappa: one whose matrix is random.
struct Scatter {
  int algorithm;
  int freedom;  // fractions that are free in its counts: VA causes that its matrix can give, less one
};

inline std::vector<Scatter> find_scatter(const Layout& layout) {
  std::vector<Scatter> found;
  for (int k = 0; k < static_cast<int>(layout.counts.size()); ++k) {
    const bool random =
        std::any_of(layout.rows.begin(), layout.rows.end(), [k](const MatrixRow& row) { return row.algorithm == k; });
    const int freedom = n_open_causes(layout, k) - 1;
    if (random && freedom > 0) found.push_back({k, freedom});
  }
  return found;
}

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

// What all strata share at one point: phi, kappa, b = phi pi and the matrices.
struct SharedPoint {
  double phi = 0;
  std::vector<double> kappa;    // K; infinite where there is no scatter
  std::vector<double> b, firm;  // C; firm = sqrt(b^2 + 1/4): see StratumKernel
  double firm_sum = 0;
  std::vector<Bend> bends;  // C, of shape b
  std::vector<double> m;    // K x C x C
};

// The gradient of the strata's log-density by what they share.
struct SharedGradient {
  double by_phi = 0;                 // b held
  std::vector<double> by_b;          // C
  std::vector<double> by_m;          // K x C x C
  std::vector<double> by_log_kappa;  // by algorithm that has one
};

}  // namespace vacal::joint
