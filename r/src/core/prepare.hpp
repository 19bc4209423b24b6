#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "dirichlet.hpp"
#include "linalg.hpp"
#include "types.hpp"

// From counts and published matrices to the problems that the samplers solve. Two steps: an AlgorithmModel
// depends on the matrix alone and serves all strata of a batch; a Member holds what one stratum's counts make
// of it (path correction). Rules: Pramanik et al. 2025 (doi 10.1214/24-AOAS2006), as the published
// implementation applies them.
namespace vacal {

enum class Left { in, asked_for, learned };  // why a cause is left out of the calibration

struct AlgorithmModel {
  std::string name;
  std::vector<double> matrix;  // C x C over all causes: Dirichlet alphas or fixed rates
  bool fixed = false;
  std::vector<Left> left;  // C
  int n_calibrated() const { return static_cast<int>(std::count(left.begin(), left.end(), Left::in)); }
};

enum class Standing { calibrated, too_few_causes, no_deaths_in_calibrated_causes, no_deaths };

struct Member {
  Standing standing = Standing::no_deaths;
  int lambda = -1;                 // hundredths; -1 where there is none
  std::vector<char> calibrated;    // C; all 0 unless standing is `calibrated`
  std::vector<double> matrix;      // C x C after path correction: alphas or rates in the block, identity elsewhere
  std::vector<double> mean_rates;  // C x C, the mean of the matrix as used
  bool in_ensemble() const { return standing == Standing::calibrated || standing == Standing::too_few_causes; }
};

inline std::vector<double> identity_matrix(int n) {
  std::vector<double> m(n * n, 0.0);
  for (int i = 0; i < n; ++i) m[i * n + i] = 1;
  return m;
}

inline std::vector<double> row_normalised(std::vector<double> m, int n) {
  for (int i = 0; i < n; ++i) {
    const double sum = std::accumulate(m.begin() + i * n, m.begin() + (i + 1) * n, 0.0);
    for (int j = 0; j < n; ++j) m[i * n + j] /= sum;
  }
  return m;
}

// Rows and columns of m (n x n) at the given causes, in that order; a cause may be named more than once.
inline std::vector<double> select_causes(const std::vector<double>& m, int n, const std::vector<int>& causes) {
  std::vector<double> out;
  out.reserve(causes.size() * causes.size());
  for (const int i : causes) {
    for (const int j : causes) out.push_back(m[i * n + j]);
  }
  return out;
}

// Expands a matrix over n broad causes to study causes; `broad[c]` is the broad cause of study cause c. Only
// broad causes that occur take part. Study causes of one broad cause share its column equally, and tell each
// other apart but for a rate of 0.001 (0 for a fixed matrix); the rows keep their Dirichlet totals.
inline std::vector<double> expand_study_causes(const std::vector<double>& m, int n, const std::vector<int>& broad, bool fixed) {
  const double epsilon = fixed ? 0.0 : 0.001;
  std::vector<int> occurring(broad), group(n, 0);
  std::sort(occurring.begin(), occurring.end());
  occurring.erase(std::unique(occurring.begin(), occurring.end()), occurring.end());
  for (const int b : broad) ++group[b];
  std::vector<double> total(n, 0.0);
  for (const int i : occurring) {
    for (const int j : occurring) total[i] += m[i * n + j];
    if (!(total[i] > 0)) throw std::domain_error("a row of the matrix is 0 in all mapped broad causes");
  }
  const int n_study = static_cast<int>(broad.size());
  std::vector<double> out(n_study * n_study);
  for (int r = 0; r < n_study; ++r) {
    for (int c = 0; c < n_study; ++c) {
      const int g = group[broad[c]];
      double share = 1.0;
      if (g > 1 && broad[r] != broad[c]) share = 1.0 / g;
      if (g > 1 && broad[r] == broad[c]) share = r == c ? 1 - epsilon : epsilon / (g - 1);
      const double rate = m[broad[r] * n + broad[c]] / total[broad[r]] * share;
      out[r * n_study + c] = fixed ? rate : rate * total[broad[r]];
    }
  }
  return out;
}

// VA causes whose misclassification rates hardly depend on the true cause: max - min of the column of the
// row-normalised mean matrix is at most the threshold.
inline std::vector<char> uninformative_causes(const std::vector<double>& matrix, int n, double threshold) {
  const std::vector<double> m = row_normalised(matrix, n);
  std::vector<char> out(n);
  for (int j = 0; j < n; ++j) {
    double low = m[j], high = m[j];
    for (int i = 1; i < n; ++i) {
      low = std::min(low, m[i * n + j]);
      high = std::max(high, m[i * n + j]);
    }
    out[j] = high - low <= threshold;
  }
  return out;
}

// lambda I + (1 - lambda) m, with lambda in hundredths.
inline std::vector<double> shrink_to_identity(std::vector<double> m, int n, int hundredths) {
  const double lambda = hundredths / 100.0;
  for (double& x : m) x *= 1 - lambda;
  for (int i = 0; i < n; ++i) m[i * n + i] += lambda;
  return m;
}

// Path correction's lambda in hundredths: the least shrinkage towards the identity, coming from the identity,
// that keeps solve(M(lambda)', q) in the simplex. m: n x n, rows sum to 1; q: observed fractions.
// Excursions of 1e-12 are rounding and count as inside.
inline int path_lambda(const std::vector<double>& m, const std::vector<double>& q, int n, bool fixed) {
  const int most = fixed ? 100 : 99;
  for (int lambda = most; lambda >= 0; --lambda) {
    const std::vector<double> p = solve_transposed(shrink_to_identity(m, n, lambda), q, n);
    const bool inside = std::all_of(p.begin(), p.end(), [](double x) { return x > -1e-12 && x < 1 + 1e-12; });
    if (!inside) return std::min(lambda + 1, most);
  }
  return 0;
}

// The calibrated block as used: lambda = 0 leaves it alone; alphas are refitted row by row, rates shrunk.
inline std::vector<double> correct_block(const std::vector<double>& block, int n, bool fixed, int hundredths) {
  if (fixed) return shrink_to_identity(row_normalised(block, n), n, hundredths);
  if (hundredths == 0) return block;
  std::vector<double> out;
  for (int i = 0; i < n; ++i) {
    const std::vector<double> row(block.begin() + i * n, block.begin() + (i + 1) * n);
    const std::vector<double> refitted = shrink_row(row, i, hundredths / 100.0);
    out.insert(out.end(), refitted.begin(), refitted.end());
  }
  return out;
}

inline std::vector<int> causes_in(const std::vector<char>& flags) {
  std::vector<int> causes;
  for (std::size_t c = 0; c < flags.size(); ++c) {
    if (flags[c]) causes.push_back(static_cast<int>(c));
  }
  return causes;
}

inline double sum_at(const std::vector<double>& x, const std::vector<int>& causes) {
  double sum = 0;
  for (const int c : causes) sum += x[c];
  return sum;
}

// What one stratum's counts (C) make of an algorithm's matrix.
inline Member prepare_member(const AlgorithmModel& model, const std::vector<double>& counts, bool path_correction) {
  const int n = static_cast<int>(counts.size());
  Member member;
  member.calibrated.assign(n, 0);
  member.matrix = member.mean_rates = identity_matrix(n);
  if (std::accumulate(counts.begin(), counts.end(), 0.0) <= 0) return member;
  member.standing = Standing::too_few_causes;
  if (model.n_calibrated() < 2) return member;
  std::vector<char> flags(n);
  std::transform(model.left.begin(), model.left.end(), flags.begin(), [](Left l) { return l == Left::in; });
  const std::vector<int> causes = causes_in(flags);
  const double deaths = sum_at(counts, causes);
  member.standing = Standing::no_deaths_in_calibrated_causes;
  if (deaths <= 0) return member;

  const int b = static_cast<int>(causes.size());
  std::vector<double> block = select_causes(model.matrix, n, causes);
  member.standing = Standing::calibrated;
  member.calibrated = flags;
  member.lambda = 0;
  if (path_correction) {
    std::vector<double> q(b);
    for (int i = 0; i < b; ++i) q[i] = counts[causes[i]] / deaths;
    member.lambda = path_lambda(row_normalised(block, b), q, b, model.fixed);
  }
  block = correct_block(block, b, model.fixed, member.lambda);
  const std::vector<double> rates = row_normalised(block, b);
  for (int i = 0; i < b; ++i) {
    for (int j = 0; j < b; ++j) {
      member.matrix[causes[i] * n + causes[j]] = block[i * b + j];
      member.mean_rates[causes[i] * n + causes[j]] = rates[i * b + j];
    }
  }
  return member;
}

// Dirichlet parameters of the CSMF at the problem's causes: 1 + C eta p0. With an uncertain matrix C and the
// uncalibrated CSMF p0 run over all causes, with a fixed one over the problem's causes.
inline std::vector<double> shrinkage_prior(const std::vector<double>& counts, const std::vector<int>& causes, bool fixed,
                                           double shrinkage) {
  const double n = static_cast<double>(fixed ? causes.size() : counts.size());
  const double total = fixed ? sum_at(counts, causes) : std::accumulate(counts.begin(), counts.end(), 0.0);
  std::vector<double> prior;
  prior.reserve(causes.size());
  for (const int c : causes) prior.push_back(1 + n * shrinkage * counts[c] / total);
  return prior;
}

// The problem of one algorithm, or of several with one CSMF, at the causes that at least one calibrates.
//
// Leaving out the causes that no algorithm calibrates is exact: the matrix is the identity there, so the
// likelihood splits, and a Dirichlet's renormalised part is independent of the rest.
inline Problem make_problem(const std::vector<const Member*>& members, const std::vector<std::vector<double>>& counts,
                            const std::vector<int>& causes, bool fixed, double shrinkage) {
  const int n = static_cast<int>(counts.front().size());
  Problem problem;
  problem.n_causes = static_cast<int>(causes.size());
  std::vector<double> pooled(n, 0.0);
  for (std::size_t k = 0; k < members.size(); ++k) {
    AlgorithmData data;
    data.fixed = fixed;
    data.matrix = select_causes(members[k]->matrix, n, causes);
    for (const int c : causes) {
      data.counts.push_back(counts[k][c]);
      data.calibrated.push_back(members[k]->calibrated[c]);
    }
    for (int c = 0; c < n; ++c) pooled[c] += counts[k][c];
    problem.algorithms.push_back(data);
  }
  problem.prior = shrinkage_prior(pooled, causes, fixed, shrinkage);
  return problem;
}

}  // namespace vacal
