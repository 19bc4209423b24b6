#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "math.hpp"
#include "rng.hpp"

// With shared matrices the counts see the fractions and the matrices only through M' p: exchanging causes in both
// leaves the likelihood as it is, and only the prior of the matrices says which cause is which. The posterior then has
// modes that are almost images of each other. The sampler therefore draws from the posterior averaged over all
// relabellings f of the causes, for which the prior of M is replaced by a sum over f, and then draws f given the
// rest: exact, and without a way from mode to mode.
namespace vacal::joint {

class Labels {
 public:
  static constexpr int most = 14;  // causes that can be exchanged with others; the cost doubles with each

  explicit Labels(int n = 0) : n_(n), weight_(n * n, 0.0), share_(n * n, 0.0), ahead_(std::size_t{1} << n), behind_(ahead_) {}

  int size() const { return n_; }
  double& log_weight(int slot, int label) { return weight_[slot * n_ + label]; }
  double share(int slot, int label) const { return share_[slot * n_ + label]; }  // probability of the label, given the rest

  // log sum_f prod_i exp(log_weight(i, f(i))), by dynamic programming over sets of labels; sets the shares.
  double sum() {
    if (n_ == 0) return 0;
    double log_scale = 0;
    for (int i = 0; i < n_; ++i) {
      double* row = &weight_[i * n_];
      const double top = *std::max_element(row, row + n_);
      log_scale += top;
      for (int j = 0; j < n_; ++j) row[j] = row[j] - top > -700 ? exp_of(row[j] - top) : 0;
    }
    const unsigned all = (1u << n_) - 1;
    ahead_[0] = behind_[all] = 1;
    for (unsigned set = 1; set <= all; ++set) {
      const double* row = &weight_[(count(set) - 1) * n_];
      double total = 0;
      for (int j = 0; j < n_; ++j) {
        if (set >> j & 1u) total += ahead_[set ^ (1u << j)] * row[j];
      }
      ahead_[set] = total;
    }
    std::fill(share_.begin(), share_.end(), 0.0);
    const double whole = ahead_[all];
    if (!(whole > 0)) return -std::numeric_limits<double>::infinity();
    for (unsigned set = all; set-- > 0;) {
      const int slot = count(set);
      const double* row = &weight_[slot * n_];
      double total = 0;
      for (int j = 0; j < n_; ++j) {
        if (set >> j & 1u) continue;
        const double term = row[j] * behind_[set | (1u << j)];
        share_[slot * n_ + j] += ahead_[set] * term / whole;
        total += term;
      }
      behind_[set] = total;
    }
    return log_scale + log_of(whole);
  }

  // The relabelling of the largest total weight, by the same recursion; the weights stay as they are.
  std::vector<int> best() const {
    std::vector<double> top(std::size_t{1} << n_, 0.0);
    std::vector<int> last(top.size(), -1), label(n_);
    for (unsigned set = 1; set < top.size(); ++set) {
      const double* row = &weight_[(count(set) - 1) * n_];
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

  // A relabelling given the rest, after sum(): the label of every slot.
  std::vector<int> draw(Rng& rng) const {
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

  int n_;
  std::vector<double> weight_, share_, ahead_, behind_;
};

}  // namespace vacal::joint
