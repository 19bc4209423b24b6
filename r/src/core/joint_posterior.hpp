#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <variant>
#include <vector>

#include "column_shear.hpp"
#include "expectation.hpp"
#include "joint_labels.hpp"
#include "joint_stratum.hpp"
#include "lanes.hpp"
#include "math.hpp"
#include "posterior.hpp"
#include "rng.hpp"
#include "special.hpp"
#include "types.hpp"

namespace vacal::joint {

// Many strata that share their matrices:
//   M_k[i, ] ~ Dirichlet(alpha_k[i, ]);  p_s ~ Dirichlet(phi pi);  pi ~ Dirichlet(1, .., 1);
//   log phi ~ Normal(3, 1);  a_sk ~ Dirichlet-multinomial(n_sk, kappa_k M_k' p_s),  log kappa_k ~ Normal(7, 1.5).
// The last stands for a stratum's own matrix, which scatters about M_k: the larger kappa_k, the less. Its likelihood is
// that of the double multinomial with the same mean and variance (Efron 1986, J. Am. Stat. Assoc. 81, 709-721): counts are
// multiplied by w = (kappa + 1) / (kappa + n) in a multinomial likelihood, which is relative to that of the counts'
// own fractions, times w^((C - 1) / 2).
struct JointProblem {
  Problem pooled;  // counts summed over strata; the prior is that of pi
  std::vector<std::vector<double>> counts;  // by stratum: K x C, for the algorithms of the layout (with any deaths)
  bool scatter = true;  // false, or a matrix that is known: a_sk ~ Multinomial(n_sk, M_k' p_s)
};

constexpr double mean_log_phi = 3, sd_log_phi = 1;
constexpr double largest_phi = 1e8;  // 15 sd above the mean; far beyond, the log-density is lost in rounding errors
constexpr double mean_log_kappa = 7, sd_log_kappa = 1.5;
constexpr double guessed_phi = 20;  // about exp(mean_log_phi): sets the scale of coordinates only

// One point in the terms of the model.
struct JointPoint {
  double phi = 0;
  std::vector<double> kappa;          // K; infinite where there is no scatter
  std::vector<double> pi;             // C
  std::vector<double> m;              // K x C x C
  std::vector<double> p;              // S x C
};

// Log-density and gradient, in coordinates of about unit scale: first those of phi, pi and the matrices (log-gamma
// variables, bent where their shape is small; columns of matrices that the data pin down are straightened, see
// ColumnShear) and of the kappa, then C for every stratum (StratumKernel).
class JointPosterior {
 public:
  explicit JointPosterior(const JointProblem& problem)
      : layout_(make_layout(problem.pooled)), c_(layout_.n_causes), k_(static_cast<int>(layout_.counts.size())),
        s_(static_cast<int>(problem.counts.size())), kernel_(make_kernel(c_, k_)) {
    arrange(problem.counts);
    kappa_.assign(k_, std::numeric_limits<double>::infinity());
    for (int k = 0; k < k_ && problem.scatter; ++k) {
      const int free = freedom(k);
      if (free == 0) continue;
      scattered_.push_back(k);
      freedom_.push_back(free);
    }
    n_global_ = 1 + layout_.size() + static_cast<int>(scattered_.size());
    weight_.assign(k_, Lanes(1.0));
    four_.counts.assign(k_ * c_, Lanes(0.0));
    four_.by_log_counts.assign(k_, Lanes(0.0));
    by_log_kappa_.assign(scattered_.size(), 0.0);
    for (double alpha : layout_.alpha) {
      bends_.emplace_back(alpha);
      centre_.push_back(bends_.back().inverse(log_of(alpha)));
      unit_.push_back(1 / (bends_.back().slope(centre_.back()) * std::sqrt(alpha)));
    }
    for (auto* v : {&log_y_, &y_, &slope_, &by_log_y_, &by_gamma_}) v->assign(padded(layout_.size()), 1.0);
    shared_.n_causes = c_;
    shared_.n_algorithms = k_;
    shared_.m.assign(k_ * c_ * c_, 0.0);
    shared_.by_m.assign(k_ * c_ * c_, Lanes(0.0));
    shared_.by_b.assign(c_, Lanes(0.0));
    for (auto* v : {&shared_.b, &shared_.firm, &pi_, &by_log_pi_, &by_log_m_}) v->assign(c_, 0.0);
    shared_.bends.resize(c_);
    for (int k = 0; k < k_; ++k) std::copy(layout_.constant[k].begin(), layout_.constant[k].end(), &shared_.m[k * c_ * c_]);
    log_rate_.assign(layout_.size(), 0.0);
    index_rows();
    add_shears();
    find_exchangeable();
    forget_modes();
  }

  int dimension() const { return n_global_ + n_strata() * c_; }
  int dense() const { return n_global_; }
  int n_strata() const { return s_; }
  int n_causes() const { return c_; }
  int n_algorithms() const { return k_; }
  const Layout& layout() const { return layout_; }

  double evaluate(const double* t, double* gradient) {
    double value = set_global(t);
    if (!(shared_.phi < largest_phi)) return -std::numeric_limits<double>::infinity();
    std::fill(shared_.by_b.begin(), shared_.by_b.end(), Lanes(0.0));
    std::fill(shared_.by_m.begin(), shared_.by_m.end(), Lanes(0.0));
    std::fill(by_log_kappa_.begin(), by_log_kappa_.end(), 0.0);
    shared_.by_phi = 0.0;
    double by_total = 0;
    for (int s = 0; s < s_; s += Lanes::size) {
      weigh(s);
      to_lanes(t + n_global_ + s * c_, s);
      predict_modes(s);
      const Lanes found = std::visit(
          [&](auto& kernel) { return kernel.evaluate(shared_, four_, &modes_[s / Lanes::size * c_], z_.data(), by_z_.data()); },
          kernel_);
      from_lanes(by_z_, s, gradient + n_global_ + s * c_);
      for (int lane = 0; lane < lanes_at(s); ++lane) {
        const double total = four_.total[lane], log_total = log_of(total), by = log_total + 1 - digamma(total);
        value += found[lane] + total * log_total - log_gamma(total) + scatter_constant(s, lane, by);
        by_total += by;
      }
      if (!std::isfinite(value)) {
        forget_modes();
        return -std::numeric_limits<double>::infinity();
      }
    }
    by_phi_ = sum(shared_.by_phi) + by_total;
    value += n_strata() * dirichlet_constant();
    add_global_gradient(t, gradient);
    return value;
  }

  // phi, pi, M and the p_s at t, with the causes in the places that the labels say.
  JointPoint point(const double* t, const std::vector<int>& labels) {
    set_global(t);
    JointPoint out;
    out.phi = shared_.phi;
    out.kappa = kappa_;
    out.pi.resize(c_);
    out.m = shared_.m;
    for (int i = 0; i < c_; ++i) {
      out.pi[labels[i]] = shared_.b[i] / shared_.phi;
      for (int k = 0; k < k_; ++k) {
        std::copy(&shared_.m[(k * c_ + i) * c_], &shared_.m[(k * c_ + i) * c_] + c_, &out.m[(k * c_ + labels[i]) * c_]);
      }
    }
    const std::vector<double> x = logs_at(t);
    out.p.resize(x.size());
    for (int s = 0; s < n_strata(); ++s) {
      for (int i = 0; i < c_; ++i) out.p[s * c_ + labels[i]] = x[s * c_ + i];
    }
    for (int s = 0; s < n_strata(); ++s) {
      double* p = &out.p[s * c_];
      const double top = *std::max_element(p, p + c_);
      double sum = 0;
      for (int i = 0; i < c_; ++i) sum += p[i] = exp_of(p[i] - top);
      for (int i = 0; i < c_; ++i) p[i] /= sum;
    }
    return out;
  }

  // A point to start from: phi, pi and M from their priors, M and pi brought to the pooled counts by
  // expectation-maximisation and drawn given the expected counts; every stratum at random given these.
  std::vector<double> start(Rng& rng) const {
    Expectation expectation(layout_);
    std::vector<double> prior(layout_.size());
    for (int i = 0; i < layout_.size(); ++i) prior[i] = exp_of(rng.log_gamma(layout_.alpha[i]));
    expectation.set_shares(prior);
    expectation.iterate(30);
    const std::vector<double> log_y = expectation.draw(rng);
    std::vector<double> t(padded(dimension()), 0.0);
    t[0] = rng.normal();
    set_coordinates(log_y, t.data());
    for (int i = 1 + layout_.size(); i < dimension(); ++i) t[i] = rng.normal();
    return t;
  }

  // A relabelling of the causes given all else at t: the cause that every slot stands for.
  std::vector<int> draw_labels(const double* t, Rng& rng) {
    set_global(t);
    return all_causes(labels_.draw(rng));
  }

  // The matrices and pi at t, on the scale of square roots: tells the images of a mode apart.
  std::vector<double> signature(const double* t) {
    set_global(t);
    std::vector<double> out;
    for (double m : shared_.m) out.push_back(std::sqrt(m));
    for (double b : shared_.b) out.push_back(std::sqrt(b / shared_.phi));
    return out;
  }

  // The relabelling at t that comes closest to a signature.
  std::vector<int> closest_labels(const double* t, const std::vector<double>& reference) {
    const std::vector<double> own = signature(t);
    Labels scores(labels_.size());
    for (int a = 0; a < labels_.size(); ++a) {
      for (int b = 0; b < labels_.size(); ++b) {
        double score = may_stand_for_[a * labels_.size() + b] ? 0 : -1e6;
        const int pi = k_ * c_ * c_;
        score += own[pi + slot_[a]] * reference[pi + slot_[b]];
        for (int k = 0; k < k_; ++k) {
          for (int j = 0; j < c_; ++j) score += own[(k * c_ + slot_[a]) * c_ + j] * reference[(k * c_ + slot_[b]) * c_ + j];
        }
        scores.log_weight(a, b) = score;
      }
    }
    return all_causes(scores.best());
  }

  // The coordinates with every slot moved to the place of the cause that it stands for. Rows take the gamma sums of
  // their new place.
  std::vector<double> relabelled(const double* t, const std::vector<int>& labels) {
    std::vector<double> out(padded(dimension()), 0.0);
    set_global(t);
    const std::vector<double> x = logs_at(t), old(log_y_.begin(), log_y_.begin() + layout_.size());
    const std::vector<Lanes> old_modes = modes_;
    std::vector<double> log_y = old;
    for (int i = 0; i < c_; ++i) log_y[labels[i]] = old[i];
    for (const MatrixRow& row : layout_.rows) {
      if (labels[row.cause] == row.cause) continue;
      const MatrixRow& to = *find_row(row.algorithm, labels[row.cause]);
      const double shift = log_sum(to) - log_sum(row);
      for (int c = 0; c < row.length; ++c) log_y[to.offset + c] = old[row.offset + c] + shift;
    }
    std::copy(t, t + n_global_, out.begin());
    set_coordinates(log_y, out.data());
    set_global(out.data());
    std::vector<Lanes> moved(c_);
    for (int s = 0; s < s_; s += Lanes::size) {
      const int at = s / Lanes::size * c_;
      weigh(s);
      to_lanes(&x[s * c_], s);
      for (int i = 0; i < c_; ++i) {
        moved[labels[i]] = z_[i];
        modes_[at + labels[i]] = old_modes[at + i];
      }
      std::visit([&](auto& kernel) { kernel.from_logs(shared_, four_, &modes_[at], moved.data(), z_.data()); }, kernel_);
      from_lanes(z_, s, &out[n_global_ + s * c_]);
    }
    last_modes_ = modes_;
    return out;
  }

 private:
  using Kernel = std::variant<StratumKernel<0>, StratumKernel<3>, StratumKernel<4>, StratumKernel<5>, StratumKernel<6>,
                              StratumKernel<7>, StratumKernel<8>, StratumKernel<9>>;

  static Kernel make_kernel(int c, int k) {
    switch (c) {
      case 3: return StratumKernel<3>(c, k);
      case 4: return StratumKernel<4>(c, k);
      case 5: return StratumKernel<5>(c, k);
      case 6: return StratumKernel<6>(c, k);
      case 7: return StratumKernel<7>(c, k);
      case 8: return StratumKernel<8>(c, k);
      case 9: return StratumKernel<9>(c, k);
      default: return StratumKernel<0>(c, k);
    }
  }

  std::vector<int> all_causes(const std::vector<int>& exchangeable) const {
    std::vector<int> labels(c_);
    for (int i = 0; i < c_; ++i) labels[i] = i;
    for (int e = 0; e < labels_.size(); ++e) labels[slot_[e]] = slot_[exchangeable[e]];
    return labels;
  }

  // Causes can be exchanged where every algorithm has a random row for both, with rates of the same VA causes.
  bool exchangeable(int i, int j) const {
    for (int k = 0; k < k_; ++k) {
      const MatrixRow *a = find_row(k, i), *b = find_row(k, j);
      if (!a || !b || a->length != b->length) return false;
      for (int c = 0; c < a->length; ++c) {
        if (layout_.column[a->offset + c] != layout_.column[b->offset + c]) return false;
      }
    }
    return true;
  }

  void find_exchangeable() {
    for (int i = 0; i < c_; ++i) {
      for (int j = 0; j < c_; ++j) {
        if (i == j || !exchangeable(i, j)) continue;
        slot_.push_back(i);
        break;
      }
    }
    if (slot_.size() > Labels::most) {
      throw SamplingError("the joint model takes at most " + std::to_string(Labels::most) + " causes that can be exchanged, not " +
                          std::to_string(slot_.size()) + ": merge some");
    }
    labels_ = Labels(static_cast<int>(slot_.size()));
    for (int i : slot_) {
      for (int j : slot_) may_stand_for_.push_back(i == j || exchangeable(i, j));
    }
    by_log_rate_.assign(layout_.size(), 0.0);
  }

  // Log of the prior of M summed over relabellings, relative to the labels as they are; sets its gradient by the logs
  // of the rates. Before: log_rate holds these.
  double sum_over_labels() {
    const int n = labels_.size();
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        double sum = may_stand_for_[a * n + b] ? 0 : -1e300;
        for (int k = 0; k < k_ && a != b && may_stand_for_[a * n + b]; ++k) {
          const MatrixRow &row = *find_row(k, slot_[a]), &other = *find_row(k, slot_[b]);
          for (int c = 0; c < row.length; ++c) {
            sum += (layout_.alpha[other.offset + c] - layout_.alpha[row.offset + c]) * log_rate_[row.offset + c];
          }
        }
        labels_.log_weight(a, b) = sum;
      }
    }
    const double value = labels_.sum();
    std::fill(by_log_rate_.begin(), by_log_rate_.end(), 0.0);
    for (int a = 0; a < n; ++a) {
      for (int b = 0; b < n; ++b) {
        const double share = labels_.share(a, b);
        if (a == b || share == 0) continue;
        for (int k = 0; k < k_; ++k) {
          const MatrixRow &row = *find_row(k, slot_[a]), &other = *find_row(k, slot_[b]);
          for (int c = 0; c < row.length; ++c) {
            by_log_rate_[row.offset + c] += share * (layout_.alpha[other.offset + c] - layout_.alpha[row.offset + c]);
          }
        }
      }
    }
    return value;
  }

  // Counts by fours of strata; the last four are filled up with strata without deaths.
  void arrange(const std::vector<std::vector<double>>& counts) {
    for (int s = 0; s < s_; s += Lanes::size) {
      std::vector<Lanes> a(k_ * c_, Lanes(0.0)), deaths(k_, Lanes(0.0)), log_fractions(k_, Lanes(0.0));
      for (int lane = 0; lane < lanes_at(s); ++lane) {
        for (int k = 0; k < k_; ++k) {
          double n = 0, sum = 0;
          for (int j = k * c_; j < (k + 1) * c_; ++j) n += counts[s + lane][j];
          for (int j = k * c_; j < (k + 1) * c_; ++j) {
            const double count = counts[s + lane][j];
            a[j].set(lane, count);
            if (count > 0) sum += count * log_of(count / n);
          }
          deaths[k].set(lane, n);
          log_fractions[k].set(lane, sum);
        }
      }
      counts_.insert(counts_.end(), a.begin(), a.end());
      deaths_.insert(deaths_.end(), deaths.begin(), deaths.end());
      log_fractions_.insert(log_fractions_.end(), log_fractions.begin(), log_fractions.end());
    }
    z_.assign(c_, Lanes(0.0));
    by_z_ = z_;
  }

  int lanes_at(int s) const { return std::min(Lanes::size, s_ - s); }
  Lanes deaths_at(int s, int k) const { return deaths_[s / Lanes::size * k_ + k]; }

  // Between an array of the strata from s on, stratum by stratum, and lanes.
  void to_lanes(const double* from, int s) {
    for (int i = 0; i < c_; ++i) {
      for (int lane = 0; lane < Lanes::size; ++lane) z_[i].set(lane, lane < lanes_at(s) ? from[lane * c_ + i] : 0);
    }
  }
  void from_lanes(const std::vector<Lanes>& lanes, int s, double* to) const {
    for (int lane = 0; lane < lanes_at(s); ++lane) {
      for (int i = 0; i < c_; ++i) to[lane * c_ + i] = lanes[i][lane];
    }
  }

  // Modes move along a line, nearly, from one step of a trajectory to the next.
  void predict_modes(int s) {
    for (int at = s / Lanes::size * c_, end = at + c_; at < end; ++at) {
      const Lanes now = modes_[at], moved = now + (now - last_modes_[at]);
      last_modes_[at] = now;
      modes_[at] = smaller(larger(moved, Lanes(0.5) * now), Lanes(2.0) * now);
    }
  }

  void forget_modes() { last_modes_ = modes_ = std::vector<Lanes>(deaths_.size() / k_ * c_, Lanes(1.0 / c_)); }

  void index_rows() {
    row_at_.assign(k_ * c_, -1);
    for (std::size_t r = 0; r < layout_.rows.size(); ++r) {
      row_at_[layout_.rows[r].algorithm * c_ + layout_.rows[r].cause] = static_cast<int>(r);
    }
  }

  const MatrixRow* find_row(int k, int cause) const {
    const int r = row_at_[k * c_ + cause];
    return r < 0 ? nullptr : &layout_.rows[r];
  }

  double log_sum(const MatrixRow& row) const {
    double sum = -std::numeric_limits<double>::infinity();
    for (int c = row.offset; c < row.offset + row.length; ++c) sum = log_sum_exp(sum, log_y_[c]);
    return sum;
  }

  // The strata together pin what every algorithm should find at pi, sum_i pi_i M_ij: the better, the more deaths they have
  // and the more alike they are (here: as if phi were 20). Columns that they know better than the prior are straightened.
  void add_shears() {
    is_pivot_.assign(layout_.size(), 0);
    Expectation guess(layout_);
    guess.iterate(200);
    double deaths = 0;
    for (int s = 0; s < s_; ++s) {
      double n = 0;
      for (int k = 0; k < k_; ++k) n += deaths_at(s, k)[s % Lanes::size] / k_;
      deaths += n / (1 + n / guessed_phi);
    }
    for (int k = 0; k < k_; ++k) {
      for (int j = 0; j < c_; ++j) {
        ColumnShear shear(layout_, guess, k, j);
        if (!shear.possible() || deaths < shear.prior_deaths()) continue;
        shear.set_deaths(deaths);
        is_pivot_[shear.pivot()] = 1;
        shears_.push_back(shear);
      }
    }
  }

  // Sets the coordinates of pi and the matrices to those of the gamma variables with these logs.
  void set_coordinates(std::vector<double> log_y, double* t) const {
    std::vector<double> log_pi(log_y.begin(), log_y.begin() + c_);
    double log_sum = -std::numeric_limits<double>::infinity();
    for (double x : log_pi) log_sum = log_sum_exp(log_sum, x);
    for (double& x : log_pi) x -= log_sum;
    for (const ColumnShear& shear : shears_) t[1 + shear.pivot()] = shear.invert(log_pi, log_y);
    for (int i = 0; i < layout_.size(); ++i) {
      if (!is_pivot_[i]) t[1 + i] = (bends_[i].inverse(log_y[i]) - centre_[i]) / unit_[i];
    }
  }

  // Fractions that are free in the counts of an algorithm whose matrix is random: VA causes that it gives, less one.
  int freedom(int k) const {
    const bool random = std::any_of(layout_.rows.begin(), layout_.rows.end(), [k](const MatrixRow& row) { return row.algorithm == k; });
    return random ? n_open_causes(layout_, k) - 1 : 0;
  }

  // Sets the weights w of the four strata from s on, their weighted counts, and phi plus the sum of these.
  void weigh(int s) {
    four_.total = shared_.phi;
    for (int lane = 0; lane < Lanes::size; ++lane) four_.live.set(lane, lane < lanes_at(s));
    for (const int k : scattered_) weight_[k] = Lanes(kappa_[k] + 1) / (Lanes(kappa_[k]) + larger(deaths_at(s, k), Lanes(1.0)));
    const Lanes* counts = &counts_[s / Lanes::size * k_ * c_];
    for (int k = 0; k < k_; ++k) {
      for (int j = k * c_; j < (k + 1) * c_; ++j) four_.counts[j] = weight_[k] * counts[j];
      four_.total += weight_[k] * deaths_at(s, k);
    }
  }

  // What the likelihood of a stratum's weighted counts lacks; adds to the gradient by log kappa.
  double scatter_constant(int s, int lane, double by_total) {
    double value = 0;
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      const int k = scattered_[v];
      const double n = deaths_at(s, k)[lane], w = weight_[k][lane], half = 0.5 * freedom_[v], kappa = kappa_[k];
      if (!(n > 1)) continue;
      const double log_fractions = log_fractions_[s / Lanes::size * k_ + k][lane];
      value += half * log_of(w) - w * log_fractions;
      const double by_log_w = four_.by_log_counts[k][lane] + w * n * by_total + half - w * log_fractions;
      by_log_kappa_[v] += by_log_w * (kappa / (kappa + 1) - kappa / (kappa + n));
    }
    return value;
  }

  // Sets log y, y, phi, b, M and kappa; returns the log-density of the prior.
  double set_global(const double* t) {
    const int n = layout_.size();
    double value = -0.5 * t[0] * t[0];
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      const double z = t[1 + n + v];
      value -= 0.5 * z * z;
      kappa_[scattered_[v]] = exp_of(mean_log_kappa + sd_log_kappa * z);
    }
    shared_.phi = exp_of(mean_log_phi + sd_log_phi * t[0]);
    for (int i = 0; i < n; ++i) {
      const Bend& bend = bends_[i];
      const double u = centre_[i] + unit_[i] * t[1 + i], e = exp_of(-std::fabs(u));
      const double left = (u > 0 ? e : 1.0) / (1 + e);
      log_y_[i] = u - bend.bend * (std::max(-u, 0.0) + log1p_of(e));
      slope_[i] = 1 + bend.bend * left;
      by_log_y_[i] = -bend.bend * left * (1 - left) / slope_[i];  // of log slope, by u
    }
    for (const ColumnShear& shear : shears_) {
      log_y_[shear.pivot()] = shear.level();
      slope_[shear.pivot()] = 1;
    }
    exp_all(log_y_.data(), y_.data(), padded(n));
    double sum = 0;
    for (int i = 0; i < c_; ++i) sum += y_[i];
    for (int i = 0; i < c_; ++i) pi_[i] = y_[i] / sum;
    for (ColumnShear& shear : shears_) shear.apply(t[1 + shear.pivot()], pi_.data(), y_.data(), log_y_.data());
    for (int i = 0; i < n; ++i) value += layout_.alpha[i] * log_y_[i] - y_[i] + log_of(slope_[i]);
    shared_.firm_sum = 0;
    for (int i = 0; i < c_; ++i) {
      shared_.b[i] = std::max(shared_.phi * y_[i] / sum, 1e-250);
      shared_.firm[i] = std::sqrt(shared_.b[i] * shared_.b[i] + 0.25);
      shared_.firm_sum += shared_.firm[i];
      shared_.bends[i] = Bend(shared_.b[i]);
    }
    for (const MatrixRow& row : layout_.rows) {
      double total = 0;
      for (int c = row.offset; c < row.offset + row.length; ++c) total += y_[c];
      double* m = &shared_.m[(row.algorithm * c_ + row.cause) * c_];
      const double log_total = log_of(total);
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        m[layout_.column[c]] = y_[c] / total;
        log_rate_[c] = log_y_[c] - log_total;
      }
    }
    return value + sum_over_labels();
  }

  double dirichlet_constant() const {
    double value = log_gamma(shared_.phi);
    for (double b : shared_.b) value -= log_gamma(b);
    return value;
  }

  void add_global_gradient(const double* t, double* gradient) {
    const int n = layout_.size();
    const double by_phi = by_phi_ + s_ * digamma(shared_.phi);
    double mean = 0;
    for (int i = 0; i < c_; ++i) {
      by_log_pi_[i] = shared_.b[i] * (sum(shared_.by_b[i]) - s_ * digamma(shared_.b[i]));
      mean += by_log_pi_[i];
    }
    gradient[0] = -t[0] + sd_log_phi * (by_phi * shared_.phi + mean);
    for (std::size_t v = 0; v < scattered_.size(); ++v) {
      gradient[1 + n + v] = -t[1 + n + v] + sd_log_kappa * by_log_kappa_[v];
    }
    std::vector<double>& g = by_gamma_;
    for (int i = 0; i < n; ++i) g[i] = layout_.alpha[i] - y_[i];
    for (const MatrixRow& row : layout_.rows) {
      const int at = (row.algorithm * c_ + row.cause) * c_;
      double pull = 0;
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        const int j = at + layout_.column[c];
        by_log_m_[c - row.offset] = shared_.m[j] * sum(shared_.by_m[j]) + by_log_rate_[c];
        pull += by_log_m_[c - row.offset];
      }
      for (int c = row.offset; c < row.offset + row.length; ++c) {
        g[c] += by_log_m_[c - row.offset] - shared_.m[at + layout_.column[c]] * pull;
      }
    }
    for (const ColumnShear& shear : shears_) shear.pull_back(g.data(), by_log_pi_.data());
    double total = 0;
    for (int i = 0; i < c_; ++i) total += by_log_pi_[i];
    for (int i = 0; i < c_; ++i) g[i] += by_log_pi_[i] - shared_.b[i] / shared_.phi * total;
    for (int i = 0; i < n; ++i) gradient[1 + i] = is_pivot_[i] ? g[i] : unit_[i] * (slope_[i] * g[i] + by_log_y_[i]);
  }

  // x = log y of every stratum, after set_global.
  std::vector<double> logs_at(const double* t) {
    std::vector<double> x(s_ * c_);
    for (int s = 0; s < s_; s += Lanes::size) {
      weigh(s);
      to_lanes(t + n_global_ + s * c_, s);
      std::visit([&](auto& kernel) { kernel.to_logs(shared_, four_, &modes_[s / Lanes::size * c_], z_.data(), by_z_.data()); },
                 kernel_);
      from_lanes(by_z_, s, &x[s * c_]);
    }
    return x;
  }

  Layout layout_;
  int c_, k_, s_, n_global_ = 0;
  std::vector<Lanes> counts_, deaths_, log_fractions_;  // by fours of strata: K x C; K: n = sum_j a_j, and sum_j a_j log(a_j / n)
  std::vector<int> scattered_, freedom_;                // algorithms that have a kappa
  std::vector<double> kappa_, by_log_kappa_;
  std::vector<Lanes> weight_, z_, by_z_, modes_, last_modes_;  // modes: by fours of strata, C
  FourStrata four_;
  double by_phi_ = 0;
  Kernel kernel_;
  Shared shared_;
  std::vector<Bend> bends_;
  std::vector<ColumnShear> shears_;
  std::vector<char> is_pivot_;
  std::vector<double> centre_, unit_, log_y_, y_, slope_, by_log_y_, by_gamma_, log_rate_, by_log_rate_, pi_, by_log_pi_, by_log_m_;
  std::vector<int> row_at_, slot_;  // row of (algorithm, cause); causes that can be exchanged
  std::vector<char> may_stand_for_;
  Labels labels_;
};

}  // namespace vacal::joint
