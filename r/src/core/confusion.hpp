#pragma once

#include <algorithm>
#include <vector>

#include "lanes.hpp"
#include "layout.hpp"

namespace vacal {

// One algorithm's misclassification matrix within a posterior: weights w of the random rows' entries, factors f of the
// columns, and what follows from them:
//   T_i = sum_j w_ij f_j,   M_ij = w_ij f_j / T_i,   q_j = constant part + f_j sum_i (p_i / T_i) w_ij.
// Columns whose fractions q the data pin are settled: their factors are first brought, by rounds of proportional fitting
// (Deming and Stephan 1940), to where q is near its target for any p and w, and then multiplied by a coordinate of the
// posterior's. Moves of all other coordinates then hardly change q. The factors need not have converged for the map to
// be exact: it shifts the logarithm of the coordinate by a function of the others, so its Jacobian is constant.
class Confusion {
 public:
  struct Entry {
    int coordinate, at, column;  // place in the Layout; place among the weights; open column
  };

  Confusion(const Layout& layout, int algorithm) : counts_of_all_(layout.counts[algorithm]) {
    find_columns(layout, algorithm);
    find_rows(layout, algorithm);
    find_constants(layout, algorithm);
    set_rounds(0);
  }

  int width() const { return static_cast<int>(column_.size()); }
  int column(int j) const { return column_[j]; }  // VA cause of an open column: one that a random row reaches
  const std::vector<Entry>& entries() const { return entries_; }

  // Columns to settle, each at a target fraction. A reference, if not -1, is the settled column whose factor is 1.
  void settle(const std::vector<int>& columns, const std::vector<double>& targets, int reference, int rounds) {
    settled_ = columns;
    targets_ = targets;
    reference_ = reference;
    free_.clear();
    for (int j : columns) {
      if (j != reference) free_.push_back(j);
    }
    set_rounds(rounds);
  }
  const std::vector<int>& free_columns() const { return free_; }  // settled ones but the reference

  // To be set before the calls below.
  Lanes* weight() { return weight_.data(); }
  Lanes* row_scale() { return row_scale_.data(); }  // a row's gamma variables are this times w f

  // Factors of the columns from proportional fitting.
  const std::vector<Lanes>& fit_factors(const Lanes* p) {
    std::fill(constant_part_.begin(), constant_part_.end(), Lanes(0.0));
    for (const Constant& c : constants_) constant_part_[c.column] += p[c.cause] * Lanes(c.rate);
    std::fill(rounds_[0].factor.begin(), rounds_[0].factor.end(), Lanes(1.0));
    for (std::size_t r = 0; r + 1 < rounds_.size(); ++r) {
      forward(rounds_[r], p);
      rounds_[r + 1].factor = rounds_[r].factor;
      for (std::size_t s = 0; s < settled_.size(); ++s) {
        const int j = settled_[s];
        rounds_[r + 1].factor[j] *= Lanes(targets_[s]) / rounds_[r].fraction[j];
      }
    }
    std::vector<Lanes>& factor = rounds_.back().factor;
    if (reference_ >= 0) {
      const Lanes by = Lanes(1.0) / factor[reference_];
      for (int j : settled_) factor[j] *= by;
    }
    return factor;
  }

  // Multiplies the factor of a free column; after all of them, evaluate() may be called.
  void multiply(int column, Lanes by) { rounds_.back().factor[column] *= by; }

  // Log-likelihood, and the part of the log-prior that depends on factors and row totals.
  Lanes evaluate(const Lanes* p) {
    Round& last = rounds_.back();
    forward(last, p);
    Lanes value = 0.0;
    for (int j = 0; j < width(); ++j) {
      if (counts_[j] > 0) value += Lanes(counts_[j]) * log_of(larger(last.fraction[j], Lanes(1e-300)));
    }
    for (int j : free_) value += Lanes(alpha_[j]) * log_of(larger(last.factor[j], Lanes(1e-300)));
    for (int i = 0; i < rows(); ++i) value -= row_scale_[i] * last.total[i];
    for (const Outside& o : outside_) value += Lanes(o.count) * log_of(larger(fraction(o, p), Lanes(1e-300)));
    return value;
  }

  // Gradients of evaluate(): by p (added), by the log weights and by the logs of the free columns' factors.
  void differentiate(const Lanes* p, Lanes* by_p) {
    for (const Outside& o : outside_) {
      const Lanes per_fraction = Lanes(o.count) / fraction(o, p);
      for (const Constant& c : o.rates) by_p[c.cause] += per_fraction * Lanes(c.rate);
    }
    Round& last = rounds_.back();
    std::fill(by_log_factor_.begin(), by_log_factor_.end(), Lanes(0.0));
    for (int j : free_) by_log_factor_[j] = alpha_[j];
    for (int j = 0; j < width(); ++j) {
      by_fraction_[j] = counts_[j] > 0 ? Lanes(counts_[j]) / last.fraction[j] : Lanes(0.0);
    }
    backward(last, row_scale_.data(), by_p, by_log_factor_);
    if (rounds_.size() > 1) unwind_rounds(by_p);
    for (int i = 0; i < rows(); ++i) {
      for (int j = 0; j < width(); ++j) {
        Lanes slope = 0.0;
        for (const Round& r : rounds_) slope += r.share[i] * r.by_pull[j] + r.by_total[i] * r.factor[j];
        by_log_weight_[i * width() + j] = slope * weight_[i * width() + j];
      }
    }
  }
  const Lanes* by_log_weight() const { return by_log_weight_.data(); }
  Lanes by_log_factor(int column) const { return by_log_factor_[column]; }

 private:
  struct Constant {
    int cause, column;
    double rate;
  };
  struct Outside {  // a column with deaths that only constant rows reach
    double count;
    std::vector<Constant> rates;
  };
  struct Round {
    std::vector<Lanes> factor, pull, fraction;   // by column: f, sum_i (p_i / T_i) w_ij, q
    std::vector<Lanes> total, per_total, share;  // by row: T, 1 / T, p / T
    std::vector<Lanes> by_pull, by_total;        // gradients
  };

  int rows() const { return static_cast<int>(cause_.size()); }

  void find_columns(const Layout& layout, int algorithm) {
    std::vector<char> open(layout.n_causes, 0);
    for (const MatrixRow& row : layout.rows) {
      if (row.algorithm != algorithm) continue;
      for (int c = row.offset; c < row.offset + row.length; ++c) open[layout.column[c]] = 1;
    }
    place_.assign(layout.n_causes, -1);
    for (int j = 0; j < layout.n_causes; ++j) {
      if (!open[j]) continue;
      place_[j] = width();
      column_.push_back(j);
      counts_.push_back(counts_of_all_[j]);
    }
    alpha_.assign(width(), 0.0);
  }

  void find_rows(const Layout& layout, int algorithm) {
    for (const MatrixRow& row : layout.rows) {
      if (row.algorithm != algorithm) continue;
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        const int j = place_[layout.column[c]];
        entries_.push_back({c, rows() * width() + j, j});
        alpha_[j] += layout.alpha[c];
      }
      cause_.push_back(row.cause);
    }
    weight_.assign(cause_.size() * column_.size(), Lanes(0.0));
    by_log_weight_ = weight_;
    row_scale_.assign(cause_.size(), Lanes(1.0));
    for (auto* v : {&constant_part_, &by_fraction_, &by_log_factor_, &by_factor_}) v->assign(column_.size(), Lanes(0.0));
  }

  void find_constants(const Layout& layout, int algorithm) {
    const int n = layout.n_causes;
    for (int j = 0; j < n; ++j) {
      std::vector<Constant> rates;
      for (int i = 0; i < n; ++i) {
        const double rate = layout.constant[algorithm][i * n + j];
        if (rate > 0) rates.push_back({i, place_[j], rate});
      }
      if (place_[j] >= 0) constants_.insert(constants_.end(), rates.begin(), rates.end());
      else if (counts_of_all_[j] > 0) outside_.push_back({counts_of_all_[j], rates});
    }
  }

  void set_rounds(int n) {
    rounds_.assign(n + 1, Round());
    for (Round& r : rounds_) {
      for (auto* v : {&r.factor, &r.pull, &r.fraction, &r.by_pull}) v->assign(column_.size(), Lanes(1.0));
      for (auto* v : {&r.total, &r.per_total, &r.share, &r.by_total}) v->assign(cause_.size(), Lanes(1.0));
    }
  }

  static Lanes fraction(const Outside& outside, const Lanes* p) {
    Lanes q = 0.0;
    for (const Constant& c : outside.rates) q += p[c.cause] * Lanes(c.rate);
    return q;
  }

  // Totals and fractions at a round's factors.
  void forward(Round& r, const Lanes* p) {
    const int n = width();
    std::fill(r.pull.begin(), r.pull.end(), Lanes(0.0));
    for (int i = 0; i < rows(); ++i) {
      const Lanes* w = &weight_[i * n];
      Lanes total = 0.0;
      for (int j = 0; j < n; ++j) total += w[j] * r.factor[j];
      r.total[i] = total;
      r.per_total[i] = Lanes(1.0) / total;
      const Lanes share = r.share[i] = p[cause_[i]] * r.per_total[i];
      for (int j = 0; j < n; ++j) r.pull[j] += share * w[j];
    }
    for (int j = 0; j < n; ++j) r.fraction[j] = constant_part_[j] + r.pull[j] * r.factor[j];
  }

  // From the gradient by a round's fractions (by_fraction_) and, if given, by minus the scaled totals: gradients by its
  // log factors (added), by p (added), and what those by the weights need.
  void backward(Round& r, const Lanes* row_scale, Lanes* by_p, std::vector<Lanes>& by_log_factor) {
    const int n = width();
    for (int j = 0; j < n; ++j) r.by_pull[j] = by_fraction_[j] * r.factor[j];
    for (const Constant& c : constants_) by_p[c.cause] += Lanes(c.rate) * by_fraction_[c.column];
    for (int j = 0; j < n; ++j) by_factor_[j] = by_fraction_[j] * r.pull[j];
    for (int i = 0; i < rows(); ++i) {
      const Lanes* w = &weight_[i * n];
      Lanes by_share = 0.0;
      for (int j = 0; j < n; ++j) by_share += w[j] * r.by_pull[j];
      const Lanes each = by_share * r.per_total[i];
      by_p[cause_[i]] += each;
      const Lanes by_total = r.by_total[i] = -(each * r.share[i]) - (row_scale ? row_scale[i] : Lanes(0.0));
      for (int j = 0; j < n; ++j) by_factor_[j] += by_total * w[j];
    }
    for (int j = 0; j < n; ++j) by_log_factor[j] += by_factor_[j] * r.factor[j];
  }

  // Back through the rounds of proportional fitting.
  void unwind_rounds(Lanes* by_p) {
    back_ = by_log_factor_;
    if (reference_ >= 0) {
      Lanes total = 0.0;
      for (int j : settled_) total += back_[j];
      back_[reference_] -= total;
    }
    for (std::size_t r = rounds_.size() - 1; r-- > 0;) {
      std::fill(by_fraction_.begin(), by_fraction_.end(), Lanes(0.0));
      for (int j : settled_) by_fraction_[j] = -(back_[j] / rounds_[r].fraction[j]);
      backward(rounds_[r], nullptr, by_p, back_);
    }
  }

  std::vector<double> counts_of_all_;
  std::vector<int> place_, column_, cause_;  // open column by VA cause; VA cause by open column; true cause by row
  std::vector<double> counts_, alpha_;       // by open column: deaths, sum of Dirichlet parameters
  std::vector<Entry> entries_;
  std::vector<Constant> constants_;
  std::vector<Outside> outside_;
  std::vector<int> settled_, free_;
  std::vector<double> targets_;
  int reference_ = -1;
  std::vector<Lanes> weight_, by_log_weight_, row_scale_;
  std::vector<Lanes> constant_part_, by_fraction_, by_log_factor_, by_factor_, back_;
  std::vector<Round> rounds_;
};

}  // namespace vacal
