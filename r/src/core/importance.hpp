#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "linalg.hpp"
#include "rng.hpp"
#include "types.hpp"

namespace vacal {

// Draws with log-weights, p row-major.
struct WeightedDraws {
  int n_causes = 0;
  std::vector<double> p, log_weight;
  std::size_t size() const { return log_weight.size(); }
};

// Relative weights, the largest 1.
inline std::vector<double> relative_weights(const std::vector<double>& log_weight) {
  std::vector<double> w(log_weight.size());
  if (w.empty()) return w;
  const double top = *std::max_element(log_weight.begin(), log_weight.end());
  for (std::size_t i = 0; i < w.size(); ++i) w[i] = exp_of(std::max(log_weight[i] - top, -700.0));
  return w;
}

// Kish's effective size of the weights, and the largest share of one draw.
struct WeightQuality {
  double effective = 0, largest_share = 1;
};

inline WeightQuality weight_quality(const std::vector<double>& log_weight) {
  if (log_weight.empty()) return {};
  double sum = 0, squares = 0;
  for (double w : relative_weights(log_weight)) sum += w, squares += w * w;
  return {sum * sum / squares, 1 / sum};
}

// Systematic resampling: indices in order, so that copies of one draw stay side by side and the effective size
// of the resampled sequence counts them honestly.
inline std::vector<std::size_t> resample(const std::vector<double>& log_weight, std::size_t n, Rng& rng) {
  const std::vector<double> w = relative_weights(log_weight);
  const double step = std::accumulate(w.begin(), w.end(), 0.0) / static_cast<double>(n);
  std::vector<std::size_t> chosen;
  chosen.reserve(n);
  double reached = 0, point = rng.uniform() * step;
  for (std::size_t i = 0; i < w.size(); ++i) {
    reached += w[i];
    for (; chosen.size() < n && point < reached; point += step) chosen.push_back(i);
  }
  while (chosen.size() < n) chosen.push_back(w.size() - 1);
  return chosen;
}

// The draws of p with these indices, row-major.
inline std::vector<double> at_indices(const WeightedDraws& draws, const std::vector<std::size_t>& indices) {
  std::vector<double> p;
  p.reserve(indices.size() * draws.n_causes);
  for (std::size_t i : indices) {
    const double* from = &draws.p[i * draws.n_causes];
    p.insert(p.end(), from, from + draws.n_causes);
  }
  return p;
}

// n equally weighted draws of p.
inline std::vector<double> resampled(const WeightedDraws& draws, std::size_t n, Rng& rng) {
  return at_indices(draws, resample(draws.log_weight, n, rng));
}

inline WeightedDraws pooled(const std::vector<WeightedDraws>& replicates) {
  WeightedDraws all;
  for (const WeightedDraws& r : replicates) {
    all.n_causes = r.n_causes;
    all.p.insert(all.p.end(), r.p.begin(), r.p.end());
    all.log_weight.insert(all.log_weight.end(), r.log_weight.begin(), r.log_weight.end());
  }
  return all;
}

// Exact independent draws for one algorithm: rows of M from their Dirichlets, q ~ Dirichlet(counts + 1) and
// p = M^-T q where it lies in the simplex, with weight prod p^(prior - 1) / |det M| (change of variables).
class ExactSampler {
 public:
  explicit ExactSampler(const Problem& problem)
      : problem_(problem), data_(problem.algorithms.front()), n_(problem.n_causes), m_(n_ * n_), lu_(n_ * n_), pivot_(n_),
        p_(n_) {}

  // Makes n proposals and appends those in the simplex.
  void propose(int n, Rng& rng, WeightedDraws& draws) {
    for (int i = 0; i < n; ++i) {
      draw_matrix(rng);
      double log_determinant = 0;
      if (!detail::lu_factor(lu_, pivot_, n_)) continue;
      for (int j = 0; j < n_; ++j) log_determinant += log_of(std::fabs(lu_[j * n_ + j]));
      draw_dirichlet(data_.counts.data(), 1.0, p_.data(), rng);
      detail::lu_solve(lu_, pivot_, n_, p_);
      if (!(*std::min_element(p_.begin(), p_.end()) >= 0)) continue;
      draws.log_weight.push_back(prior_value() - log_determinant);
      draws.p.insert(draws.p.end(), p_.begin(), p_.end());
    }
  }

 private:
  // Shares of gammas with shapes x + add; shapes of zero are left out. By way of logarithms only where the gammas
  // could underflow.
  void draw_dirichlet(const double* x, double add, double* shares, Rng& rng) {
    double sum = 0, smallest = std::numeric_limits<double>::infinity();
    for (int j = 0; j < n_; ++j) {
      if (x[j] + add > 0) smallest = std::min(smallest, x[j] + add);
    }
    if (smallest >= 0.1) {
      for (int j = 0; j < n_; ++j) sum += shares[j] = x[j] + add > 0 ? rng.gamma(x[j] + add) : 0;
    } else {
      const double none = -std::numeric_limits<double>::infinity();
      double top = none;
      for (int j = 0; j < n_; ++j) {
        shares[j] = x[j] + add > 0 ? rng.log_gamma(x[j] + add) : none;
        top = std::max(top, shares[j]);
      }
      for (int j = 0; j < n_; ++j) sum += shares[j] = shares[j] > none ? exp_of(shares[j] - top) : 0;
    }
    for (int j = 0; j < n_; ++j) shares[j] /= sum;
  }

  // lu_ = M' of a new draw.
  void draw_matrix(Rng& rng) {
    for (int i = 0; i < n_; ++i) {
      double* row = &m_[i * n_];
      if (!data_.calibrated[i]) {
        std::fill(row, row + n_, 0.0);
        row[i] = 1;
      } else if (data_.fixed) {
        std::copy(&data_.matrix[i * n_], &data_.matrix[i * n_] + n_, row);
      } else {
        draw_dirichlet(&data_.matrix[i * n_], 0.0, row, rng);
      }
    }
    for (int i = 0; i < n_; ++i) {
      for (int j = 0; j < n_; ++j) lu_[j * n_ + i] = m_[i * n_ + j];
    }
  }

  double prior_value() const {
    double value = 0;
    for (int i = 0; i < n_; ++i) {
      if (problem_.prior[i] != 1) value += (problem_.prior[i] - 1) * log_of(std::max(p_[i], 1e-300));
    }
    return value;
  }

  const Problem& problem_;
  const AlgorithmData& data_;
  int n_;
  std::vector<double> m_, lu_;
  std::vector<int> pivot_;
  std::vector<double> p_;
};

}  // namespace vacal
