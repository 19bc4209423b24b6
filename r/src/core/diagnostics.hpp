#pragma once

// Rank-normalised split R-hat and effective sample sizes: Vehtari, Gelman, Simpson, Carpenter and Buerkner
// (2021), Bayesian Analysis 16(2), doi 10.1214/20-BA1221; equal to the R package posterior.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <vector>

#include "math.hpp"

namespace vacal::diagnostics {

using Chains = std::vector<std::vector<double>>;  // equally long, one vector a chain

struct Diagnostics {
  double rhat, ess_bulk, ess_tail;  // NaN for a constant
};

// Quantile function of the normal distribution (Wichura 1988, AS 241).
inline double normal_quantile(double p) {
  const double q = p - 0.5;
  auto ratio = [](double x, const double(&a)[8], const double(&b)[8]) {
    double top = a[7], bottom = b[7];
    for (int i = 6; i >= 0; --i) top = top * x + a[i], bottom = bottom * x + b[i];
    return top / bottom;
  };
  static const double a[8] = {3.3871328727963666080, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
                              45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727};
  static const double b[8] = {1.0,
                              42.313330701600911252,
                              687.18700749205790830,
                              5394.1960214247511077,
                              21213.794301586595867,
                              39307.895800092710610,
                              28729.085735721942674,
                              5226.4952788528545610};
  static const double c[8] = {1.42343711074968357734,   4.63033784615654529590,   5.76949722146069140550,
                              3.64784832476320460504,   1.27045825245236838258,   0.241780725177450611770,
                              0.0227238449892691845833, 7.74545014278341407640e-4};
  static const double d[8] = {1.0,
                              2.05319162663775882187,
                              1.67638483018380384940,
                              0.689767334985100004550,
                              0.148103976427480074590,
                              0.0151986665636164571966,
                              5.47593808499534494600e-4,
                              1.05075007164441684324e-9};
  static const double e[8] = {6.65790464350110377720,    5.46378491116411436990,   1.78482653991729133580,
                              0.296560571828504891230,   0.0265321895265761230930, 1.24266094738807843860e-3,
                              2.71155556874348757815e-5, 2.01033439929228813265e-7};
  static const double f[8] = {1.0,
                              0.599832206555887937690,
                              0.136929880922735805310,
                              0.0148753612908506148525,
                              7.86869131145613259100e-4,
                              1.84631831751005468180e-5,
                              1.42151175831644588870e-7,
                              2.04426310338993978564e-15};
  if (std::fabs(q) <= 0.425) return q * ratio(0.180625 - q * q, a, b);
  const double r = std::sqrt(-log_of(std::min(p, 1 - p)));
  const double x = r <= 5 ? ratio(r - 1.6, c, d) : ratio(r - 5, e, f);
  return q < 0 ? -x : x;
}

inline bool is_constant(const Chains& x) {
  double low = x[0][0], high = low;
  for (const auto& chain : x) {
    for (double v : chain) {
      if (!std::isfinite(v)) return true;
      low = std::min(low, v);
      high = std::max(high, v);
    }
  }
  return high - low < std::numeric_limits<double>::epsilon();
}

inline Chains split_chains(const Chains& x) {
  Chains halves;
  for (const auto& chain : x) halves.emplace_back(chain.begin(), chain.begin() + chain.size() / 2);
  for (const auto& chain : x) halves.emplace_back(chain.end() - chain.size() / 2, chain.end());
  return halves;
}

struct Ordered {
  std::uint64_t key;
  std::size_t at;
};

// Ascending, by a radix sort of the bits of the values, negative ones reversed: three times as fast as std::sort.
inline std::vector<Ordered> order_values(const Chains& x) {
  constexpr int digit = 11, n_digits = 6;
  const std::size_t n = x[0].size();
  std::vector<Ordered> from(n * x.size()), to(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    const double value = x[i / n][i % n] + 0.0;  // turns -0 into 0
    std::uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    from[i] = {bits >> 63 ? ~bits : bits | (std::uint64_t{1} << 63), i};
  }
  for (int d = 0; d < n_digits; ++d) {
    std::array<std::size_t, (1 << digit) + 1> start{};
    const auto place = [&](const Ordered& o) { return (o.key >> (digit * d)) & ((1 << digit) - 1); };
    for (const Ordered& o : from) ++start[place(o) + 1];
    for (std::size_t b = 1; b < start.size(); ++b) start[b] += start[b - 1];
    for (const Ordered& o : from) to[start[place(o)]++] = o;
    from.swap(to);
  }
  return from;
}

// Ranks over all chains (ties: mean rank) to normal scores.
inline Chains normal_scores(const Chains& x) {
  const std::size_t n = x[0].size(), total = n * x.size();
  const std::vector<Ordered> order = order_values(x);
  Chains z(x.size(), std::vector<double>(n));
  for (std::size_t i = 0, j; i < total; i = j) {
    for (j = i + 1; j < total && order[j].key == order[i].key;) ++j;
    const double rank = 0.5 * static_cast<double>(i + 1 + j);
    const double score = normal_quantile((rank - 0.375) / (static_cast<double>(total) + 0.25));
    for (std::size_t m = i; m < j; ++m) z[order[m].at / n][order[m].at % n] = score;
  }
  return z;
}

inline double mean(const std::vector<double>& x) {
  return std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
}

inline double variance(const std::vector<double>& x) {
  const double centre = mean(x);
  double sum = 0;
  for (double v : x) sum += (v - centre) * (v - centre);
  return sum / static_cast<double>(x.size() - 1);
}

// The potential scale reduction of chains as they are.
inline double basic_rhat(const Chains& x) {
  if (is_constant(x)) return std::numeric_limits<double>::quiet_NaN();
  const double n = static_cast<double>(x[0].size());
  std::vector<double> means, variances;
  for (const auto& chain : x) means.push_back(mean(chain)), variances.push_back(variance(chain));
  return std::sqrt((n * variance(means) / mean(variances) + n - 1) / n);
}

// Mean autocovariance over chains at one lag at a time: few lags are ever needed.
class Autocovariance {
 public:
  explicit Autocovariance(const Chains& x) : centred_(x) {
    for (auto& chain : centred_) {
      const double centre = mean(chain);
      for (double& v : chain) v -= centre;
    }
  }
  double operator()(std::size_t lag) const {
    double sum = 0;
    for (const auto& chain : centred_) {
      for (std::size_t i = lag; i < chain.size(); ++i) sum += chain[i] * chain[i - lag];
    }
    return sum / static_cast<double>(centred_[0].size() * centred_.size());
  }

 private:
  Chains centred_;
};

// Geyer's initial monotone sequence of the autocorrelations, as in posterior's .ess.
inline double basic_ess(const Chains& x) {
  if (x[0].size() < 3 || is_constant(x)) return std::numeric_limits<double>::quiet_NaN();
  const std::size_t n = x[0].size();
  const Autocovariance autocovariance(x);
  const double within = autocovariance(0) * static_cast<double>(n) / static_cast<double>(n - 1);
  double var_plus = autocovariance(0);
  if (x.size() > 1) {
    std::vector<double> means;
    for (const auto& chain : x) means.push_back(mean(chain));
    var_plus += variance(means);
  }
  auto rho = [&](std::size_t lag) { return 1 - (within - autocovariance(lag)) / var_plus; };
  std::vector<double> even{1.0}, odd{rho(1)};
  double next_even = 1, next_odd = odd[0];
  for (std::size_t t = 0; t + 5 < n && next_even + next_odd > 0;) {
    t += 2;
    next_even = rho(t);
    next_odd = rho(t + 1);
    const bool keep = next_even + next_odd >= 0;
    even.push_back(keep ? next_even : 0);
    odd.push_back(keep ? next_odd : 0);
  }
  const std::size_t last = even.size() - 1;
  if (next_even > 0) even[last] = next_even;
  for (std::size_t t = 1; t < last; ++t) {
    if (even[t] + odd[t] > even[t - 1] + odd[t - 1]) even[t] = odd[t] = (even[t - 1] + odd[t - 1]) / 2;
  }
  double tau = -1 + even[last];
  for (std::size_t t = 0; t < last; ++t) tau += 2 * (even[t] + odd[t]);
  const double size = static_cast<double>(n * x.size());
  return size / std::max(tau, 1 / std::log10(size));
}

// Quantile of all values, R's type 7.
inline double quantile_of(std::vector<double> values, double probability) {
  const double position = probability * static_cast<double>(values.size() - 1);
  const std::size_t low = static_cast<std::size_t>(position);
  std::nth_element(values.begin(), values.begin() + low, values.end());
  const double at = values[low];
  if (low + 1 == values.size()) return at;
  const double above = *std::min_element(values.begin() + low + 1, values.end());
  return at + (position - static_cast<double>(low)) * (above - at);
}

inline std::vector<double> flatten(const Chains& x) {
  std::vector<double> all;
  for (const auto& chain : x) all.insert(all.end(), chain.begin(), chain.end());
  return all;
}

inline double ess_quantile(const Chains& x, double probability) {
  const double cut = quantile_of(flatten(x), probability);
  Chains below = x;
  for (auto& chain : below) {
    for (double& v : chain) v = v <= cut;
  }
  return basic_ess(split_chains(below));
}

inline double ess_tail(const Chains& x) { return std::min(ess_quantile(x, 0.05), ess_quantile(x, 0.95)); }

// R-hat of the distances from the median: chains that differ in spread.
inline double folded_rhat(const Chains& x) {
  Chains folded = x;
  const double median = quantile_of(flatten(x), 0.5);
  for (auto& chain : folded) {
    for (double& v : chain) v = std::fabs(v - median);
  }
  return basic_rhat(normal_scores(split_chains(folded)));
}

inline Diagnostics diagnose(const Chains& x) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  if (is_constant(x)) return {nan, nan, nan};
  const Chains scores = normal_scores(split_chains(x));
  return {std::max(basic_rhat(scores), folded_rhat(x)), basic_ess(scores), ess_tail(x)};
}

}  // namespace vacal::diagnostics
