#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "layout.hpp"
#include "relabellings.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal::joint {

// With shared matrices the counts see the fractions and the matrices only through M' p: exchanging causes in both
// leaves the likelihood as it is, and only the prior of the matrices says which cause is which. The posterior then has
// modes that are almost images of each other. The sampler therefore draws from the posterior averaged over all
// relabellings f of the causes, for which the prior of M is replaced by a sum over f, and then draws f given the
// rest: exact, and without a way from mode to mode.
//
// Causes can be exchanged where every algorithm has a random row for both, with rates of the same VA causes. Slots are
// the causes as the coordinates have them; a label is the cause that a slot stands for. Throws SamplingError where more
// causes can be exchanged than a sum can hold.
class LabelSum {
 public:
  explicit LabelSum(const Layout& layout)
      : c_(layout.n_causes), k_(static_cast<int>(layout.counts.size())), relabellings_(find_slots(layout)) {
    const int n = relabellings_.size();
    log_weight_.assign(n * n, 0.0);
    share_ = log_weight_;
    may_stand_for_.assign(n * n, 0);
    change_.resize(n * n);
    for (int a = 0; a < n; ++a) {
      coordinates_.push_back(coordinates(layout, slot_[a]));
      for (int b = 0; b < n; ++b) {
        may_stand_for_[a * n + b] = a == b || exchangeable(layout, slot_[a], slot_[b]);
        if (a == b || !may_stand_for_[a * n + b]) continue;
        const std::vector<int> other = coordinates(layout, slot_[b]);
        for (std::size_t i = 0; i < other.size(); ++i) {
          change_[a * n + b].push_back(layout.alpha[other[i]] - layout.alpha[coordinates_[a][i]]);
        }
      }
    }
  }

  int size() const { return relabellings_.size(); }  // causes that can be exchanged

  // Log of the prior of M summed over relabellings, relative to the labels as they are, at these logs of the rates (by
  // coordinate of the layout); sets its gradient by them.
  double evaluate(const std::vector<double>& log_rate, std::vector<double>& by_log_rate) {
    set_weights(log_rate);
    const double value = relabellings_.log_sum(log_weight_, share_);
    std::fill(by_log_rate.begin(), by_log_rate.end(), 0.0);
    const int n = size();
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        const double share = share_[a * n + b];
        if (a == b || share == 0) continue;
        const std::vector<double>& change = change_[a * n + b];
        for (std::size_t i = 0; i < change.size(); ++i) by_log_rate[coordinates_[a][i]] += share * change[i];
      }
    }
    return value;
  }

  // A relabelling given all else: the cause that every slot stands for.
  std::vector<int> draw(const std::vector<double>& log_rate, Rng& rng) {
    set_weights(log_rate);
    return all_causes(relabellings_.draw(log_weight_, rng));
  }

  // The relabelling that brings a signature closest to a reference; a signature has the square roots of the matrices
  // (K x C x C) and of pi (C).
  std::vector<int> closest(const std::vector<double>& own, const std::vector<double>& reference) const {
    const int n = size(), pi = k_ * c_ * c_;
    std::vector<double> alike(n * n);
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        double score = may_stand_for_[a * n + b] ? 0 : -1e6;
        score += own[pi + slot_[a]] * reference[pi + slot_[b]];
        for (int k = 0; k < k_; ++k) {
          for (int j = 0; j < c_; ++j) score += own[(k * c_ + slot_[a]) * c_ + j] * reference[(k * c_ + slot_[b]) * c_ + j];
        }
        alike[a * n + b] = score;
      }
    }
    return all_causes(relabellings_.best(alike));
  }

 private:
  static bool exchangeable(const Layout& layout, int i, int j) {
    for (int k = 0; k < static_cast<int>(layout.counts.size()); ++k) {
      const MatrixRow *a = find_row(layout, k, i), *b = find_row(layout, k, j);
      if (!a || !b || a->length != b->length) return false;
      for (int c = 0; c < a->length; ++c) {
        if (layout.column[a->offset + c] != layout.column[b->offset + c]) return false;
      }
    }
    return true;
  }

  Relabellings find_slots(const Layout& layout) {
    for (int i = 0; i < c_; ++i) {
      bool any = false;
      for (int j = 0; j < c_ && !any; ++j) any = i != j && exchangeable(layout, i, j);
      if (any) slot_.push_back(i);
    }
    if (slot_.size() > Relabellings::most) {
      throw SamplingError("the joint model takes at most " + std::to_string(Relabellings::most) +
                          " causes that can be exchanged, not " + std::to_string(slot_.size()) + ": merge some");
    }
    return Relabellings(static_cast<int>(slot_.size()));
  }

  // Of a cause's rows, algorithm by algorithm.
  static std::vector<int> coordinates(const Layout& layout, int cause) {
    std::vector<int> out;
    for (int k = 0; k < static_cast<int>(layout.counts.size()); ++k) {
      const MatrixRow& row = *find_row(layout, k, cause);
      for (int c = row.offset; c < row.offset + row.length; ++c) out.push_back(c);
    }
    return out;
  }

  void set_weights(const std::vector<double>& log_rate) {
    const int n = size();
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        double sum = may_stand_for_[a * n + b] ? 0 : -1e300;
        const std::vector<double>& change = change_[a * n + b];
        for (std::size_t i = 0; i < change.size(); ++i) sum += change[i] * log_rate[coordinates_[a][i]];
        log_weight_[a * n + b] = sum;
      }
    }
  }

  std::vector<int> all_causes(const std::vector<int>& label) const {
    std::vector<int> labels(c_);
    for (int i = 0; i < c_; ++i) labels[i] = i;
    for (int e = 0; e < size(); ++e) labels[slot_[e]] = slot_[label[e]];
    return labels;
  }

  int c_, k_;
  std::vector<int> slot_;  // causes that can be exchanged
  Relabellings relabellings_;
  std::vector<char> may_stand_for_;
  std::vector<std::vector<int>> coordinates_;  // by slot
  std::vector<std::vector<double>> change_;    // by slot and label: of the Dirichlet parameters of these coordinates
  std::vector<double> log_weight_, share_;
};

}  // namespace vacal::joint
