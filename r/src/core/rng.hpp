#pragma once

// Random numbers keyed by what they are for, so that a fit has the same draws in any batch, order or thread.
#include <array>
#include <cstdint>

#include "math.hpp"
#include "types.hpp"

namespace vacal {

// SplitMix64 (Steele, Lea and Flood 2014): the finaliser that turns keys into states.
inline std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

// The layers of the ziggurat of the normal density (Marsaglia and Tsang 2000, as corrected by Doornik 2005).
struct Ziggurat {
  static constexpr int layers = 256;
  static constexpr double edge = 3.6541528853610088, area = 0.00492867323399;
  std::array<double, layers + 1> x;
  std::array<double, layers + 1> density;
  Ziggurat() {
    x[0] = area / exp_of(-0.5 * edge * edge);
    x[1] = edge;
    for (int i = 2; i < layers; ++i) {
      x[i] = std::sqrt(-2 * log_of(area / x[i - 1] + exp_of(-0.5 * x[i - 1] * x[i - 1])));
    }
    x[layers] = 0;
    for (int i = 0; i <= layers; ++i) density[i] = exp_of(-0.5 * x[i] * x[i]);
  }
};

inline const Ziggurat& ziggurat() {
  static const Ziggurat table;
  return table;
}

// xoshiro256++ (Blackman and Vigna 2021), its state hashed from (seed, stratum, fit, stream).
class Rng {
 public:
  Rng(const Key& key, std::uint64_t stream) : table_(&ziggurat()) {
    std::uint64_t state = mix(mix(mix(mix(key.seed) ^ key.stratum) ^ key.fit) ^ stream);
    for (auto& word : s_) word = state = mix(state);
  }

  std::uint64_t bits() {
    const std::uint64_t result = rotate(s_[0] + s_[3], 23) + s_[0], t = s_[1] << 17;
    s_[2] ^= s_[0];
    s_[3] ^= s_[1];
    s_[1] ^= s_[2];
    s_[0] ^= s_[3];
    s_[2] ^= t;
    s_[3] = rotate(s_[3], 45);
    return result;
  }

  // In the open interval (0, 1).
  double uniform() { return (static_cast<double>(bits() >> 11) + 0.5) * 0x1p-53; }

  double exponential() { return -log_of(uniform()); }

  double normal() {
    for (;;) {
      const std::uint64_t b = bits();
      const int layer = static_cast<int>(b & 255);
      const double u = (static_cast<double>(b >> 11) + 0.5) * 0x1p-52 - 1.0;
      const double x = u * table_->x[layer];
      if (std::fabs(x) < table_->x[layer + 1]) return x;
      if (layer == 0) return u < 0 ? -tail() : tail();
      const double low = table_->density[layer], high = table_->density[layer + 1];
      if (low + uniform() * (high - low) < exp_of(-0.5 * x * x)) return x;
    }
  }

  // A gamma draw with this shape, 0.1 or more (scale 1).
  double gamma(double shape) {
    if (shape >= 1) return gamma_from_one(shape);
    return gamma_from_one(shape + 1) * exp_of(log_of(uniform()) / shape);
  }

  // Log of a gamma draw with this shape (scale 1); shapes far below 1 do not underflow.
  double log_gamma(double shape) {
    if (shape < 1) return log_of(gamma_from_one(shape + 1)) + log_of(uniform()) / shape;
    return log_of(gamma_from_one(shape));
  }

 private:
  static std::uint64_t rotate(std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

  double tail() {  // beyond the edge of the ziggurat (Marsaglia 1964)
    for (;;) {
      const double x = exponential() / Ziggurat::edge;
      if (2 * exponential() > x * x) return Ziggurat::edge + x;
    }
  }

  double gamma_from_one(double shape) {  // Marsaglia and Tsang 2000, shape >= 1
    const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), root = 1 + c * x;
      if (root <= 0) continue;
      const double v = root * root * root, u = uniform();
      if (u < 1 - 0.0331 * (x * x) * (x * x)) return d * v;
      if (log_of(u) < 0.5 * x * x + d * (1 - v + log_of(v))) return d * v;
    }
  }

  const Ziggurat* table_;
  std::array<std::uint64_t, 4> s_;
};

}  // namespace vacal
