#pragma once

#include <cmath>
#include <vector>

#include "joint_sampler.hpp"
#include "special.hpp"

// Whether counts are what the fitted model produces: posterior-predictive p-values of Pearson's statistic (Gelman, Meng
// and Stern 1996), relative to the scatter that the model allows, one for every stratum and algorithm.
namespace vacal::joint {

constexpr double misfit_below = 0.005;  // the p-value; it leans to 0.5, as the same counts were fitted
constexpr double misfit_kappa = 100;    // scatter beyond that of this kappa is taken for misfit
constexpr double misfit_residual = 3;   // a cause this many standard deviations from what is expected is named

struct Misfit {
  double p_value = std::numeric_limits<double>::quiet_NaN();  // NaN without deaths
  double scatter = 1;  // posterior mean of the factor by which counts vary more than multinomial ones, (kappa + n) / (kappa + 1)
  std::vector<double> residual;  // C, in standard deviations; positive: more deaths than expected
  bool misfit() const { return p_value < misfit_below; }
};

// P(X > x) for X chi-squared with df degrees of freedom: series or continued fraction of the incomplete gamma function
// (Press et al. 2007, section 6.2).
inline double chi_squared_tail(double x, double df) {
  const double a = 0.5 * df, u = 0.5 * x;
  if (!(u > 0 && a > 0)) return 1;
  const double front = exp_of(std::max(-700.0, a * log_of(u) - u - log_gamma(a)));
  if (u < a + 1) {
    double term = 1 / a, sum = term;
    for (int n = 1; n < 1000 && term > sum * 1e-15; ++n) sum += term *= u / (a + n);
    return std::max(0.0, 1 - front * sum);
  }
  double b = u + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int n = 1; n < 1000; ++n) {
    const double an = -n * (n - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::fabs(d * c - 1) < 1e-14) break;
  }
  return front * h;
}

inline double variance_factor(double kappa, double n) { return std::isinf(kappa) || n < 1 ? 1 : (kappa + n) / (kappa + 1); }

// At every stratum and algorithm of a fit (s * K + k). The predictive distribution of Pearson's statistic at one draw is
// taken as chi-squared with one degree of freedom less than there are VA causes that the matrix can give.
inline std::vector<Misfit> find_misfit(const JointProblem& problem, const JointFit& fit) {
  const Layout layout = make_layout(problem.pooled);
  const int c = problem.pooled.n_causes, s_total = static_cast<int>(problem.counts.size());
  const int k_total = static_cast<int>(layout.counts.size());
  std::vector<Misfit> out;
  for (int s = 0; s < s_total; ++s) {
    for (int k = 0; k < k_total; ++k) {
      const double* a = &problem.counts[s][k * c];
      const int degrees = n_open_causes(layout, k) - 1;
      double n = 0, p_value = 0, scatter = 0;
      for (int j = 0; j < c; ++j) n += a[j];
      Misfit misfit;
      std::vector<double> mean(c, 0.0), square(c, 0.0), within(c, 0.0);
      for (int d = 0; d < fit.draws && n > 0; ++d) {
        const double* p = &fit.p[(static_cast<std::size_t>(d) * s_total + s) * c];
        const double* m = &fit.m[(static_cast<std::size_t>(d) * k_total + k) * c * c];
        const double kappa = fit.kappa[static_cast<std::size_t>(d) * k_total + k];
        const double factor = variance_factor(std::max(kappa, misfit_kappa), n);
        double statistic = 0;
        scatter += variance_factor(kappa, n) / fit.draws;
        for (int j = 0; j < c; ++j) {
          double q = 0;
          for (int i = 0; i < c; ++i) q += p[i] * m[i * c + j];
          q = std::max(q, 1e-300);
          statistic += (a[j] - n * q) * (a[j] - n * q) / (n * q);
          mean[j] += n * q / fit.draws;
          square[j] += n * q * n * q / fit.draws;
          within[j] += factor * n * q * (1 - q) / fit.draws;
        }
        p_value += chi_squared_tail(statistic / factor, degrees) / fit.draws;
      }
      if (n > 0) misfit.p_value = p_value;
      if (n > 0) misfit.scatter = scatter;
      for (int j = 0; j < c; ++j) {
        const double variance = within[j] + std::max(0.0, square[j] - mean[j] * mean[j]);
        misfit.residual.push_back(n > 0 ? (a[j] - mean[j]) / std::sqrt(variance + 1e-12) : 0);
      }
      out.push_back(misfit);
    }
  }
  return out;
}

}  // namespace vacal::joint
