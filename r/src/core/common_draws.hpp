#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "lanes.hpp"
#include "types.hpp"

// Common matrix draws: draw d of every stratum uses draw d of the matrices.
namespace vacal::common {

// D draws of the matrices of K algorithms over C causes, four draws side by side. An entry is the rate at which deaths
// of true cause i are coded as VA cause j; causes that an algorithm leaves uncalibrated have the identity.
class MatrixDraws {
 public:
  // m: draws x algorithms x causes x VA causes, row-major.
  MatrixDraws(const double* m, int draws, int algorithms, int causes)
      : draws_(draws), k_(algorithms), c_(causes), m_(static_cast<std::size_t>(blocks()) * k_ * c_ * c_) {
    const std::size_t size = static_cast<std::size_t>(k_) * c_ * c_;
    for (int b = 0; b < blocks(); ++b) {
      for (int lane = 0; lane < Lanes::size; ++lane) {
        const double* from = m + size * draw(b, lane);
        for (int k = 0; k < k_; ++k) {
          for (int i = 0; i < c_; ++i) {
            for (int j = 0; j < c_; ++j) m_[b * size + (k * c_ + j) * c_ + i].set(lane, from[(k * c_ + i) * c_ + j]);
          }
        }
      }
    }
  }

  int draws() const { return draws_; }
  int algorithms() const { return k_; }
  int causes() const { return c_; }
  int blocks() const { return (draws_ + Lanes::size - 1) / Lanes::size; }
  // The draw in a lane of a block; the lanes after the last draw repeat it, and nobody reads them.
  int draw(int block, int lane) const { return std::min(block * Lanes::size + lane, draws_ - 1); }
  const Lanes* block(int b) const { return &m_[static_cast<std::size_t>(b) * k_ * c_ * c_]; }  // K x VA cause x cause

 private:
  int draws_, k_, c_;
  std::vector<Lanes> m_;
};

// Of every draw's chain: independence steps first, then rounds of a short Hamiltonian trajectory and one independence step.
struct InnerWork {
  int first = 8;
  int rounds = 8;
  int leaps = 3;        // of a trajectory
  double length = 0.6;  // of a leap, in units of the distribution's scale
  double degrees = 16;  // of freedom of independence proposals
};

struct CommonFit {
  std::vector<double> p;   // draws x causes; NaN in draws whose matrix cannot produce the counts
  int impossible = 0;      // how many draws these are
  double correlation = 0;  // largest over coordinates, of the chains half way with their ends: what they still remember
  double acceptance = 0;
  std::vector<double> log_likelihood;  // by draw: of the counts, their fractions averaged over the prior; an estimate
};

inline bool is_on(const LaneMask& mask, int lane) { return (lane < 2 ? mask.low : mask.high)[lane & 1] != 0; }

}  // namespace vacal::common
