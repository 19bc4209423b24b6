#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "math.hpp"

namespace vacal {

// Four chains, or four strata, side by side: one number of each. Every operation is by lane, so that what one lane does
// never touches another.
struct Lanes {
  static constexpr int size = 4;
  Pair low, high;

  Lanes() = default;
  Lanes(double x) : low(both(x)), high(both(x)) {}
  Lanes(Pair l, Pair h) : low(l), high(h) {}

  double operator[](int lane) const { return lane < 2 ? low[lane] : high[lane - 2]; }
  void set(int lane, double x) { (lane < 2 ? low : high)[lane & 1] = x; }
  Lanes& operator+=(Lanes x) { return *this = {low + x.low, high + x.high}; }
  Lanes& operator-=(Lanes x) { return *this = {low - x.low, high - x.high}; }
  Lanes& operator*=(Lanes x) { return *this = {low * x.low, high * x.high}; }
};

inline Lanes operator+(Lanes a, Lanes b) { return {a.low + b.low, a.high + b.high}; }
inline Lanes operator-(Lanes a, Lanes b) { return {a.low - b.low, a.high - b.high}; }
inline Lanes operator*(Lanes a, Lanes b) { return {a.low * b.low, a.high * b.high}; }
inline Lanes operator/(Lanes a, Lanes b) { return {a.low / b.low, a.high / b.high}; }
inline Lanes operator-(Lanes a) { return {-a.low, -a.high}; }

inline Pair larger(Pair a, Pair b) { return a < b ? b : a; }
inline Lanes larger(Lanes a, Lanes b) { return {larger(a.low, b.low), larger(a.high, b.high)}; }
inline Lanes smaller(Lanes a, Lanes b) { return -larger(-a, -b); }
inline Lanes exp_of(Lanes x) { return {exp_pair(x.low), exp_pair(x.high)}; }
inline Lanes log_of(Lanes x) { return {log_pair(x.low), log_pair(x.high)}; }  // of normal positive numbers
inline Pair root_of(Pair x) { return Pair{std::sqrt(x[0]), std::sqrt(x[1])}; }
inline Lanes root_of(Lanes x) { return {root_of(x.low), root_of(x.high)}; }

inline double least(Lanes x) { return std::min(std::min(x[0], x[1]), std::min(x[2], x[3])); }
inline double greatest(Lanes x) { return std::max(std::max(x[0], x[1]), std::max(x[2], x[3])); }
inline double sum(Lanes x) { return (x[0] + x[1]) + (x[2] + x[3]); }

struct LaneMask {
  PairBits low{}, high{};
  void set(int lane, bool on) { (lane < 2 ? low : high)[lane & 1] = -std::int64_t{on}; }
};

inline LaneMask above_zero(Lanes x) { return {x.low > both(0.0), x.high > both(0.0)}; }

// b in the lanes of the mask, a in the others.
inline Lanes choose(LaneMask mask, Lanes a, Lanes b) { return {mask.low ? b.low : a.low, mask.high ? b.high : a.high}; }

}  // namespace vacal
