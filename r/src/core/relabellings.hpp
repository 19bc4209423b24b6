#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "math.hpp"
#include "rng.hpp"

namespace vacal::joint {

// All relabellings f of n slots, weighted by prod_i exp(log_weight(i, f(i))), where log_weight is n x n (slot, label): by
// dynamic programming over sets of labels.
class Relabellings {
 public:
  static constexpr int most = 14;  // slots; the cost doubles with each

  explicit Relabellings(int n = 0) : n_(n), weight_(n * n, 0.0), ahead_(std::size_t{1} << n), behind_(ahead_) {}

  int size() const { return n_; }

  // Log of the sum of the weights; share (n x n): the probability of every label of a slot.
  double log_sum(const std::vector<double>& log_weight, std::vector<double>& share) {
    if (n_ == 0) return 0;
    const double log_scale = go_ahead(log_weight);
    const unsigned all = (1u << n_) - 1;
    std::fill(share.begin(), share.end(), 0.0);
    const double whole = ahead_[all];
    if (!(whole > 0)) return -std::numeric_limits<double>::infinity();
    behind_[all] = 1;
    for (unsigned set = all; set-- > 0;) {
      const int slot = count(set);
      const double* row = &weight_[slot * n_];
      double total = 0;
      for (int j = 0; j < n_; ++j) {
        if (set >> j & 1u) continue;
        const double term = row[j] * behind_[set | (1u << j)];
        share[slot * n_ + j] += ahead_[set] * term / whole;
        total += term;
      }
      behind_[set] = total;
    }
    return log_scale + log_of(whole);
  }

  // The relabelling of the largest weight: the label of every slot.
  std::vector<int> best(const std::vector<double>& log_weight) const {
    std::vector<double> top(std::size_t{1} << n_, 0.0);
    std::vector<int> last(top.size(), -1), label(n_);
    for (unsigned set = 1; set < top.size(); ++set) {
      const double* row = &log_weight[(count(set) - 1) * n_];
      for (int j = 0; j < n_; ++j) {
        if (!(set >> j & 1u)) continue;
        const double total = top[set ^ (1u << j)] + row[j];
        if (last[set] < 0 || total > top[set]) top[set] = total, last[set] = j;
      }
    }
    unsigned set = (1u << n_) - 1;
    for (int slot = n_ - 1; slot >= 0; --slot) {
      label[slot] = last[set];
      set ^= 1u << label[slot];
    }
    return label;
  }

  // A relabelling drawn by the weights: the label of every slot.
  std::vector<int> draw(const std::vector<double>& log_weight, Rng& rng) {
    go_ahead(log_weight);
    std::vector<int> label(n_);
    unsigned set = (1u << n_) - 1;
    for (int slot = n_ - 1; slot >= 0; --slot) {
      double left = rng.uniform() * ahead_[set];
      int chosen = -1;
      for (int j = 0; j < n_; ++j) {
        if (!(set >> j & 1u)) continue;
        const double w = ahead_[set ^ (1u << j)] * weight_[slot * n_ + j];
        if (w <= 0) continue;
        chosen = j;
        if ((left -= w) <= 0) break;
      }
      label[slot] = chosen;
      set ^= 1u << chosen;
    }
    return label;
  }

 private:
  static int count(unsigned set) {
    int n = 0;
    for (; set; set &= set - 1) ++n;
    return n;
  }

  // Weights, every slot's relative to its largest, and their sums over the relabellings of the first slots to a set of
  // labels; the log of what they are relative to.
  double go_ahead(const std::vector<double>& log_weight) {
    double log_scale = 0;
    for (int i = 0; i < n_; ++i) {
      const double* row = &log_weight[i * n_];
      const double top = *std::max_element(row, row + n_);
      log_scale += top;
      for (int j = 0; j < n_; ++j) weight_[i * n_ + j] = row[j] - top > -700 ? exp_of(row[j] - top) : 0;
    }
    ahead_[0] = 1;
    for (unsigned set = 1; set < ahead_.size(); ++set) {
      const double* row = &weight_[(count(set) - 1) * n_];
      double total = 0;
      for (int j = 0; j < n_; ++j) {
        if (set >> j & 1u) total += ahead_[set ^ (1u << j)] * row[j];
      }
      ahead_[set] = total;
    }
    return log_scale;
  }

  int n_;
  std::vector<double> weight_, ahead_, behind_;
};

}  // namespace vacal::joint
