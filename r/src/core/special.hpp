#pragma once

#include "math.hpp"

// Gamma-family functions for x > 0 that keep no state (std::lgamma writes the global signgam) and give the same
// bits on every machine of one architecture.
namespace vacal {

// log(1 + x) for x > -1 without loss near 0 (Kahan).
inline double log1p_of(double x) {
  const double u = 1 + x;
  return u == 1 ? x : log_of(u) * x / (u - 1);
}

namespace detail {
// Stirling's correction log Gamma(x) - [(x - 1/2) log x - x + log(2 pi) / 2], for x >= 10.
inline double stirling_tail(double x) {
  const double u = 1 / (x * x);
  return (1.0 / 12 - u * (1.0 / 360 - u * (1.0 / 1260 - u * (1.0 / 1680 - u / 1188)))) / x;
}
}  // namespace detail

inline double log_gamma(double x) {
  const double half_log_two_pi = 0.91893853320467274178;
  double product = 1;
  while (x < 10) {
    product *= x;
    x += 1;
  }
  return (x - 0.5) * log_of(x) - x + half_log_two_pi + detail::stirling_tail(x) - log_of(product);
}

inline double digamma(double x) {
  double shift = 0;
  while (x < 10) {
    shift -= 1 / x;
    x += 1;
  }
  const double u = 1 / (x * x);
  const double series = u * (1.0 / 12 - u * (1.0 / 120 - u * (1.0 / 252 - u * (1.0 / 240 - u * (1.0 / 132)))));
  return shift + log_of(x) - 0.5 / x - series;
}

inline double trigamma(double x) {
  double shift = 0;
  while (x < 10) {
    shift += 1 / (x * x);
    x += 1;
  }
  const double u = 1 / (x * x);
  const double series = u * (1.0 / 6 - u * (1.0 / 30 - u * (1.0 / 42 - u * (1.0 / 30 - u * (5.0 / 66)))));
  return shift + 1 / x + 0.5 * u + series / x;
}

// log Beta(a, b) without the cancellation that three log-gammas of large arguments bring.
inline double log_beta(double a, double b) {
  if (a > b) {
    const double t = a;
    a = b;
    b = t;
  }
  if (b < 10) return log_gamma(a) + log_gamma(b) - log_gamma(a + b);
  const double tail = detail::stirling_tail(b) - detail::stirling_tail(a + b);
  if (a < 10) return log_gamma(a) + (b - 0.5) * -log1p_of(a / b) - a * log_of(a + b) + a + tail;
  const double half_log_two_pi = 0.91893853320467274178;
  return (a - 0.5) * log_of(a / (a + b)) - b * log1p_of(a / b) - 0.5 * log_of(b) + half_log_two_pi + detail::stirling_tail(a) +
         tail;
}

}  // namespace vacal
