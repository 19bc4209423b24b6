#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <vector>

#include "confusion.hpp"
#include "lanes.hpp"
#include "modes.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// Log-density and gradient of (p, M_1, .., M_K) given the counts, of four points at once, in unbounded coordinates of
// about unit scale. Every Dirichlet component is a gamma variable y over the sum of its row; its coordinate t is
//   alpha >= 1.5: log y = log alpha + t / sqrt(alpha);
//   alpha < 1.5:  log y = centre + unit t - r(t)^2 / (2 alpha), r(t) = (sqrt(t^2 + 4 d) - t) / 2, which is about -t to
//                 the left: the density, which would fall off as slowly as exp(alpha log y), falls off as a normal one.
// Columns of matrices about which the data tell much are settled (Confusion): their coordinate is the deviation of the
// column's fraction from its mode, in place of the log y of one pivot row. The cost of an evaluation does not depend on
// the number of deaths. Coordinates: p, then pivots, then all else.
class Posterior {
 public:
  explicit Posterior(const Problem& problem) : layout_(make_layout(problem)), c_(layout_.n_causes), is_pivot_(layout_.size(), 0) {
    for (std::size_t k = 0; k < layout_.counts.size(); ++k) matrices_.emplace_back(layout_, static_cast<int>(k));
    settle_columns();
    order_coordinates();
    set_maps();
  }

  int dimension() const { return layout_.size(); }
  int dense() const { return n_leading_; }  // p, which the fit is for, and the pivots

  // log-density up to a constant; t and gradient have dimension() values.
  Lanes evaluate(const Lanes* t, Lanes* gradient) {
    const int n = dimension();
    to_gamma(t, n);
    Lanes value = log_jacobian_;
    for (int i = 0; i < n; ++i) value += alpha_[i] * log_y_[i];
    for (int i = 0; i < c_; ++i) value -= y_[i];
    std::fill(by_p_.begin(), by_p_.end(), Lanes(0.0));
    for (int i = 0; i < n; ++i) gradient[i] = alpha_[i];
    for (Matrix& m : matrices_) {
      set_weights(m);
      m.confusion.fit_factors(p_.data());
      for (const Pivot& pivot : m.pivots) m.confusion.multiply(pivot.column, y_[pivot.coordinate]);
      value += m.confusion.evaluate(p_.data());
      m.confusion.differentiate(p_.data(), by_p_.data());
      const Lanes* back = m.confusion.by_log_weight();
      for (const Part& part : m.parts) gradient[part.coordinate] += back[part.at];
      for (const Pivot& pivot : m.pivots) gradient[pivot.coordinate] += m.confusion.by_log_factor(pivot.column);
    }
    add_fraction_gradient(gradient);
    for (int i = 0; i < n; ++i) gradient[i] *= slope_[i];
    for (const LeftFall& f : falls_) gradient[f.coordinate] += f.by_log_slope;
    return value;
  }

  // CSMF at t.
  void fractions(const Lanes* t, Lanes* p) {
    to_gamma(t, c_);
    std::copy(p_.begin(), p_.end(), p);
  }

  // Matrices at t: algorithms with deaths x causes x VA causes. Sets out, of that length.
  void matrices(const Lanes* t, Lanes* out) {
    to_gamma(t, dimension());
    for (std::size_t k = 0; k < matrices_.size(); ++k) {
      Matrix& m = matrices_[k];
      Lanes* own = out + k * c_ * c_;
      for (int at = 0; at < c_ * c_; ++at) own[at] = layout_.constant[k][at];
      set_weights(m);
      const std::vector<Lanes>& factor = m.confusion.fit_factors(p_.data());
      for (const Pivot& pivot : m.pivots) m.confusion.multiply(pivot.column, y_[pivot.coordinate]);
      int index = 0;
      for (const MatrixRow& row : layout_.rows) {
        if (row.algorithm == static_cast<int>(k)) set_row(m.confusion, factor, index++, own + row.cause * c_);
      }
    }
  }

  // Points to start chains from, one a lane: draws of p and M given the expected complete counts at the modes that
  // matter, which take turns, so that modes apart show as chains that disagree.
  std::vector<Lanes> starts(Rng& rng) {
    std::vector<Expectation> modes = find_modes(layout_, rng);
    std::vector<Lanes> points(dimension());
    for (int lane = 0; lane < Lanes::size; ++lane) {
      const std::vector<double> t = coordinates(modes[lane % modes.size()].draw(rng));
      for (int i = 0; i < dimension(); ++i) points[i].set(lane, t[i]);
    }
    return points;
  }

 private:
  struct Part {
    int coordinate, at;  // of a weight in the Confusion
  };
  struct Pivot {
    int coordinate, column, at;
    double level;  // constant log weight
  };
  struct Row {
    int index, first, end;  // of parts
  };
  struct Matrix {
    explicit Matrix(const Layout& layout, int algorithm) : confusion(layout, algorithm) {}
    Confusion confusion;
    std::vector<Part> parts;
    std::vector<Pivot> pivots;
    std::vector<Row> rows;  // rows without a pivot: all their weights may underflow
  };
  struct LeftFall {
    int coordinate;
    double centre, unit, half_per_alpha;
    Lanes by_log_slope;
    Lanes log_y(Lanes t) const { return Lanes(centre) + Lanes(unit) * t - fall(t, width(t)); }
    static constexpr double d = 1.4;
    static Lanes width(Lanes t) { return root_of(t * t + Lanes(4 * d)); }
    Lanes fall(Lanes t, Lanes w) const {
      const Lanes r = Lanes(0.5) * (w - t);
      return Lanes(half_per_alpha) * r * r;
    }
  };
  // What is known of an open column of a matrix, given a guess of p and M.
  struct ColumnGuess {
    double fraction = 0, variance = 0;                           // of the deaths: at the guess; due to the prior of the matrix
    int parts = 0, pivot = -1;                                   // random entries; the one with the largest parameter
    double prior_deaths() const { return fraction / variance; }  // that tell as much as the prior does
  };

  std::vector<ColumnGuess> guess_columns(const Expectation& guess, std::size_t k) const {
    std::vector<ColumnGuess> columns(matrices_[k].confusion.width());
    for (int j = 0; j < static_cast<int>(columns.size()); ++j) {
      columns[j].fraction = guess.fraction(static_cast<int>(k), matrices_[k].confusion.column(j));
    }
    std::vector<int> column_of(layout_.size());
    for (const auto& e : matrices_[k].confusion.entries()) column_of[e.coordinate] = e.column;
    for (const MatrixRow& row : layout_.rows) {
      if (row.algorithm != static_cast<int>(k)) continue;
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        const double mean = layout_.alpha[c] / row.total, p = guess.p()[row.cause];
        ColumnGuess& column = columns[column_of[c]];
        column.variance += p * p * mean * (1 - mean) / (row.total + 1);
        ++column.parts;
        if (column.pivot < 0 || layout_.alpha[c] > layout_.alpha[column.pivot]) column.pivot = c;
      }
    }
    return columns;
  }

  // Settles the columns about which the deaths tell much more than the prior does. Where these are all columns, the
  // fractions of all but one decide that of the last.
  void settle_columns() {
    constexpr double much = 10;
    constexpr int rounds = 5;
    Expectation guess(layout_);
    guess.iterate(200);
    for (std::size_t k = 0; k < matrices_.size(); ++k) {
      Confusion& confusion = matrices_[k].confusion;
      double deaths = 0;
      for (double x : layout_.counts[k]) deaths += x;
      const std::vector<ColumnGuess> columns = guess_columns(guess, k);
      std::vector<int> chosen;
      std::vector<double> targets;
      int largest = 0;
      for (int j = 0; j < confusion.width(); ++j) {
        if (columns[j].fraction > columns[largest].fraction) largest = j;
        if (columns[j].parts < 2 || !(columns[j].fraction > 0) || deaths < much * columns[j].prior_deaths()) continue;
        chosen.push_back(j);
        targets.push_back(columns[j].fraction);
      }
      if (chosen.empty()) continue;
      const bool all = static_cast<int>(chosen.size()) == confusion.width();
      confusion.settle(chosen, targets, all ? largest : -1, rounds);
      for (int j : confusion.free_columns()) {
        const int c = columns[j].pivot;
        is_pivot_[c] = 1;
        const double unit = 1 / std::sqrt(columns[j].fraction * (deaths + columns[j].prior_deaths()));
        matrices_[k].pivots.push_back({c, j, 0, log_of(layout_.alpha[c])});
        units_.push_back(unit);
      }
    }
  }

  void order_coordinates() {
    const int n = dimension();
    position_.assign(n, 0);
    n_leading_ = c_;
    for (int c = 0; c < c_; ++c) position_[c] = c;
    for (int c = c_; c < n; ++c) {
      if (is_pivot_[c]) position_[c] = n_leading_++;
    }
    for (int c = c_, next = n_leading_; c < n; ++c) {
      if (!is_pivot_[c]) position_[c] = next++;
    }
    for (Matrix& m : matrices_) {
      for (Pivot& pivot : m.pivots) {
        const int c = pivot.coordinate;
        for (const auto& e : m.confusion.entries()) {
          if (e.coordinate == c) pivot.at = e.at;
        }
        pivot.coordinate = position_[c];
      }
      int last = -1;
      std::vector<char> has_pivot;
      for (const auto& e : m.confusion.entries()) {
        const int row = e.at / m.confusion.width();
        if (row != last) {
          m.rows.push_back({row, static_cast<int>(m.parts.size()), 0});
          has_pivot.push_back(0);
          last = row;
        }
        if (is_pivot_[e.coordinate]) has_pivot.back() = 1;
        else m.parts.push_back({position_[e.coordinate], e.at});
        m.rows.back().end = static_cast<int>(m.parts.size());
      }
      std::vector<Row> rows;
      for (std::size_t r = 0; r < m.rows.size(); ++r) {
        if (!has_pivot[r]) rows.push_back(m.rows[r]);
      }
      m.rows = rows;
    }
  }

  void set_maps() {
    const int n = dimension();
    for (auto* v : {&alpha_, &centre_, &slope_, &log_y_, &y_}) v->assign(n, Lanes(0.0));
    for (auto* v : {&p_, &by_p_}) v->assign(c_, Lanes(0.0));
    for (int c = 0; c < n; ++c) {
      if (is_pivot_[c]) continue;
      const int i = position_[c];
      const double a = layout_.alpha[c];
      alpha_[i] = a;
      centre_[i] = a >= 1 ? log_of(a) : 0;
      slope_[i] = a >= 1 ? 1 / std::sqrt(a) : 1;
      if (a < 1.5) falls_.push_back({i, centre_[i][0] + LeftFall::d * 0.5 / std::max(a, 1.0), slope_[i][0], 0.5 / a, 0.0});
    }
    std::size_t at = 0;
    for (Matrix& m : matrices_) {
      for (const Pivot& pivot : m.pivots) {
        slope_[pivot.coordinate] = units_[at++];
        m.confusion.weight()[pivot.at] = exp_of(pivot.level);
      }
    }
  }

  // y, log y and p from the first n coordinates; a pivot's y is the factor of its column.
  void to_gamma(const Lanes* t, int n) {
    for (int i = 0; i < n; ++i) log_y_[i] = centre_[i] + slope_[i] * t[i];
    log_jacobian_ = 0.0;
    for (LeftFall& f : falls_) {
      const int i = f.coordinate;
      if (i >= n) break;
      const Lanes w = LeftFall::width(t[i]), fall = f.fall(t[i], w), per_w = Lanes(1.0) / w;
      log_y_[i] = Lanes(f.centre) + Lanes(f.unit) * t[i] - fall;
      const Lanes steeper = Lanes(2.0) * fall * per_w;
      slope_[i] = Lanes(f.unit) + steeper;
      f.by_log_slope = -(steeper * (Lanes(2.0) * w + t[i]) * per_w * per_w) / slope_[i];
      log_jacobian_ += log_of(slope_[i]);
    }
    for (int i = 0; i < n; ++i) y_[i] = exp_of(log_y_[i]);
    Lanes total = 0.0;
    for (int i = 0; i < c_; ++i) total += y_[i];
    if (least(total) > underflow) {
      const Lanes scale = Lanes(1.0) / total;
      for (int i = 0; i < c_; ++i) p_[i] = y_[i] * scale;
      return;
    }
    Lanes top = log_y_[0];
    for (int i = 1; i < c_; ++i) top = larger(top, log_y_[i]);
    total = 0.0;
    for (int i = 0; i < c_; ++i) total += p_[i] = exp_of(log_y_[i] - top);
    for (int i = 0; i < c_; ++i) p_[i] = p_[i] / total;
  }

  // Weights of the rows; where all of a row's have nearly underflowed, relative to the largest.
  void set_weights(Matrix& m) {
    Lanes* w = m.confusion.weight();
    for (const Part& part : m.parts) w[part.at] = y_[part.coordinate];
    for (const Row& row : m.rows) {
      Lanes total = 0.0;
      for (int s = row.first; s < row.end; ++s) total += w[m.parts[s].at];
      Lanes& scale = m.confusion.row_scale()[row.index];
      scale = 1.0;
      if (least(total) > underflow) continue;
      Lanes top = log_y_[m.parts[row.first].coordinate];
      for (int s = row.first; s < row.end; ++s) top = larger(top, log_y_[m.parts[s].coordinate]);
      for (int s = row.first; s < row.end; ++s) w[m.parts[s].at] = exp_of(log_y_[m.parts[s].coordinate] - top);
      scale = exp_of(top);
    }
  }

  // A row's rates from its weights and the columns' factors.
  static void set_row(Confusion& confusion, const std::vector<Lanes>& factor, int index, Lanes* rates) {
    const Lanes* w = confusion.weight() + index * confusion.width();
    Lanes total = 0.0;
    for (int j = 0; j < confusion.width(); ++j) total += w[j] * factor[j];
    for (int j = 0; j < confusion.width(); ++j) rates[confusion.column(j)] = w[j] * factor[j] / total;
  }

  void add_fraction_gradient(Lanes* gradient) {
    Lanes total = 0.0;
    for (int i = 0; i < c_; ++i) total += by_p_[i] *= p_[i];
    for (int i = 0; i < c_; ++i) gradient[i] += by_p_[i] - p_[i] * total - y_[i];
  }

  // The coordinates of given log y.
  std::vector<double> coordinates(const std::vector<double>& log_y) {
    const int n = dimension();
    std::vector<double> t(n), own(n);
    for (int c = 0; c < n; ++c) own[position_[c]] = log_y[c];
    const double top = *std::max_element(own.begin(), own.begin() + c_);
    double total = 0;
    for (int i = 0; i < c_; ++i) total += exp_of(own[i] - top);
    for (int i = 0; i < c_; ++i) p_[i] = exp_of(own[i] - top) / total;
    for (Matrix& m : matrices_) {
      Confusion& confusion = m.confusion;
      std::vector<double> shift(confusion.width(), 0.0);
      for (const Pivot& pivot : m.pivots) shift[pivot.column] = own[pivot.coordinate] - pivot.level;
      for (const Part& part : m.parts) {
        const double log_weight = own[part.coordinate] -= shift[part.at % confusion.width()];
        log_y_[part.coordinate] = log_weight;
        y_[part.coordinate] = exp_of(log_weight);
      }
      set_weights(m);
      const std::vector<Lanes>& factor = confusion.fit_factors(p_.data());
      for (const Pivot& pivot : m.pivots) {
        own[pivot.coordinate] = shift[pivot.column] - log_of(factor[pivot.column][0]);
      }
    }
    for (int i = 0; i < n; ++i) t[i] = (own[i] - centre_[i][0]) / slope_[i][0];
    for (const LeftFall& f : falls_) t[f.coordinate] = inverse(f, own[f.coordinate]);
    return t;
  }

  static double inverse(const LeftFall& f, double log_y) {  // by bisection
    double low = -1e4, high = 1e3;
    for (int step = 0; step < 80; ++step) {
      const double middle = 0.5 * (low + high);
      (f.log_y(middle)[0] < log_y ? low : high) = middle;
    }
    return low;
  }

  static constexpr double underflow = 1e-140;

  Layout layout_;
  int c_, n_leading_ = 0;
  std::vector<Matrix> matrices_;
  std::vector<char> is_pivot_;  // by place in the Layout
  std::vector<double> units_;   // of the pivots' coordinates
  std::vector<int> position_;   // coordinate by place in the Layout
  std::vector<LeftFall> falls_;
  std::vector<Lanes> alpha_, centre_, slope_;  // by coordinate; slope_ = d log y / d t
  std::vector<Lanes> log_y_, y_, p_, by_p_;
  Lanes log_jacobian_ = 0.0;
};

}  // namespace vacal
