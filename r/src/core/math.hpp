#pragma once

// exp and log of our own, two at a time: the C library picks its version by processor, and bits would differ.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace vacal {

typedef double Pair __attribute__((vector_size(16)));
typedef std::int64_t PairBits __attribute__((vector_size(16)));

inline Pair load(const double* x) {
  Pair v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
inline void store(double* x, Pair v) { std::memcpy(x, &v, sizeof v); }
inline Pair both(double x) { return Pair{x, x}; }

// exp for finite x, relative error about 3e-16; clamped to [-708, 708], so never zero and never infinite.
inline Pair exp_pair(Pair x) {
  const Pair low = both(-708.0), high = both(708.0);
  x = x < low ? low : x;
  x = x > high ? high : x;
  const Pair shift = both(6755399441055744.0);  // 1.5 * 2^52: adding it rounds to a whole number
  const Pair shifted = x * both(1.4426950408889634) + shift;
  const Pair k = shifted - shift;
  const Pair r = (x - k * both(6.93147180369123816490e-01)) - k * both(1.90821492927058770002e-10);
  const Pair r2 = r * r, r4 = r2 * r2;
  const Pair a = both(1.0) + r;
  const Pair b = both(1.0 / 2) + r * both(1.0 / 6);
  const Pair c = both(1.0 / 24) + r * both(1.0 / 120);
  const Pair d = both(1.0 / 720) + r * both(1.0 / 5040);
  const Pair e = both(1.0 / 40320) + r * both(1.0 / 362880);
  const Pair f = both(1.0 / 3628800) + r * both(1.0 / 39916800) + r2 * both(1.0 / 479001600);
  const Pair poly = (a + r2 * b) + r4 * ((c + r2 * d) + r4 * (e + r2 * f));
  const PairBits two_to_k = ((PairBits)shifted + PairBits{1023, 1023}) << 52;
  return poly * (Pair)two_to_k;
}

// log for normal positive x, relative error about 3e-16.
inline Pair log_pair(Pair x) {
  const PairBits bits = (PairBits)x;
  const PairBits offset = bits - PairBits{0x3FE6A09E667F3BCD, 0x3FE6A09E667F3BCD};  // sqrt(1/2)
  const PairBits k = (offset >> 52);
  const Pair m = (Pair)(bits - (k << 52));
  const Pair kd = Pair{static_cast<double>(k[0]), static_cast<double>(k[1])};
  const Pair s = (m - both(1.0)) / (m + both(1.0));
  const Pair z = s * s, z2 = z * z, z4 = z2 * z2;
  const Pair a = both(1.0 / 3) + z * both(1.0 / 5);
  const Pair b = both(1.0 / 7) + z * both(1.0 / 9);
  const Pair c = both(1.0 / 11) + z * both(1.0 / 13);
  const Pair d = both(1.0 / 15) + z * both(1.0 / 17) + z2 * both(1.0 / 19);
  const Pair series = (a + z2 * b) + z4 * (c + z2 * d);
  return kd * both(6.93147180369123816490e-01) +
         (kd * both(1.90821492927058770002e-10) + both(2.0) * s * (both(1.0) + z * series));
}

inline double exp_of(double x) { return exp_pair(both(x))[0]; }

// log of any x >= 0; log 0 is minus infinity.
inline double log_of(double x) {
  if (x > 2.3e-308) return log_pair(both(x))[0];
  if (x > 0) return log_pair(both(x * 18014398509481984.0))[0] - 37.42994775023705;  // 2^54
  return x == 0 ? -std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
}

// n rounded up: arrays that are walked in pairs are padded to it.
inline int padded(int n) { return (n + 1) & ~1; }

inline void exp_all(const double* x, double* y, int n_padded) {
  for (int i = 0; i < n_padded; i += 2) store(y + i, exp_pair(load(x + i)));
}

inline void log_all(const double* x, double* y, int n_padded) {
  for (int i = 0; i < n_padded; i += 2) store(y + i, log_pair(load(x + i)));
}

inline double log_sum_exp(double a, double b) {
  const double high = a > b ? a : b, low = a > b ? b : a;
  if (low == -std::numeric_limits<double>::infinity()) return high;
  return high + log_of(1.0 + exp_of(low - high));
}

}  // namespace vacal
