#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "diagnostics.hpp"
#include "importance.hpp"
#include "nuts.hpp"
#include "posterior.hpp"
#include "types.hpp"

namespace vacal {

namespace sampling {

constexpr int n_chains = 4;
constexpr long long default_budget = 20000000;
constexpr double rhat_limit = 1.01;

using Pool = std::vector<std::vector<double>>;  // draws of p, one vector a chain: iterations x C

// Worst over causes: largest R-hat, smallest effective sizes. Causes that never vary are left out.
inline void set_diagnostics(const Pool& pool, int c, Fit& fit) {
  fit.rhat = 1;
  fit.ess_bulk = fit.ess_tail = std::numeric_limits<double>::infinity();
  const std::size_t n = pool.front().size() / c;
  for (int j = 0; j < c; ++j) {
    diagnostics::Chains chains(pool.size(), std::vector<double>(n));
    for (std::size_t m = 0; m < pool.size(); ++m) {
      for (std::size_t i = 0; i < n; ++i) chains[m][i] = pool[m][i * c + j];
    }
    const diagnostics::Diagnostics d = diagnostics::diagnose(chains);
    if (std::isnan(d.ess_bulk)) continue;
    fit.rhat = std::max(fit.rhat, d.rhat);
    fit.ess_bulk = std::min(fit.ess_bulk, d.ess_bulk);
    if (!std::isnan(d.ess_tail)) fit.ess_tail = std::min(fit.ess_tail, d.ess_tail);
  }
}

inline bool reached(const Fit& fit, const Work& work) {
  return fit.rhat <= rhat_limit && fit.ess_bulk >= work.effective_draws;
}

// Evenly spaced draws of the pool, chain after chain.
inline std::vector<double> thin(const Pool& pool, int c, int draws) {
  std::vector<double> kept;
  const std::size_t n = pool.front().size() / c, total = n * pool.size();
  for (int d = 0; d < draws; ++d) {
    const std::size_t at = static_cast<std::size_t>((d + 0.5) * static_cast<double>(total) / draws);
    const double* from = &pool[at / n][(at % n) * c];
    kept.insert(kept.end(), from, from + c);
  }
  return kept;
}

// The next number of iterations a chain, from the effective size so far.
inline int next_target(const Fit& fit, const Work& work, int done) {
  const double factor = fit.ess_bulk > 0 ? 1.05 * work.effective_draws / fit.ess_bulk : 2.0;
  return static_cast<int>(done * std::min(2.0, std::max(1.05, factor))) + 1;
}

inline Fit sample_nuts(const Problem& problem, const Work& work, const Key& key,
                       const std::function<void()>& heartbeat) {
  const int c = problem.n_causes;
  Posterior posterior(problem);
  NutsChains<Posterior> chains(posterior, key, n_chains, heartbeat);
  Fit fit;
  fit.sampler = "nuts";
  chains.warm_up();
  Pool pool(n_chains);
  std::vector<double> p(c);
  int done = 0;
  int target = static_cast<int>(std::ceil(std::max<double>(work.draws, work.effective_draws) / n_chains));
  while (chains.evaluations() < work.budget || done * n_chains < 4 * n_chains) {
    for (; done < target && chains.evaluations() < work.budget; ++done) {
      chains.advance([&](std::size_t m, auto& chain) {
        chain.density().fractions(chain.position().data(), p.data());
        pool[m].insert(pool[m].end(), p.begin(), p.end());
      });
    }
    set_diagnostics(pool, c, fit);
    if (reached(fit, work)) break;
    target = next_target(fit, work, done);
  }
  fit.converged = reached(fit, work);
  fit.acceptance = chains.acceptance();
  fit.evaluations = chains.evaluations();
  fit.divergences = chains.divergences();
  fit.p = thin(pool, c, work.draws);
  return fit;
}

// Copies of each replicate's draws by their weights, all chains equally long.
inline Pool resample_replicates(const std::vector<WeightedDraws>& replicates, Rng& rng) {
  std::size_t length = replicates.front().size();
  for (const WeightedDraws& r : replicates) length = std::min(length, r.size());
  Pool pool(replicates.size());
  for (std::size_t r = 0; r < replicates.size(); ++r) pool[r] = resampled(replicates[r], length, rng);
  return pool;
}

// Independent replicates of importance sampling. Not converged where the pilot (the first 4 x 500 proposals) or a
// later round keeps less than `least_efficiency` of the proposals.
inline Fit sample_exact(const Problem& problem, const Work& work, const Key& key,
                        const std::function<void()>& heartbeat) {
  constexpr double least_efficiency = 0.04;
  ExactSampler sampler(problem);
  std::vector<WeightedDraws> replicates(n_chains);
  std::vector<Rng> streams;
  for (int r = 0; r < n_chains; ++r) {
    streams.emplace_back(key, 100 + r);
    replicates[r].n_causes = problem.n_causes;
  }
  Rng rng(key, 99);
  Fit fit;
  fit.sampler = "importance";
  double target = 1.1 * std::max<double>(work.draws, work.effective_draws);
  while (fit.evaluations < work.budget && !fit.converged) {
    double effective = 0, kept = 0;
    for (int r = 0; r < n_chains; ++r) {
      sampler.propose(500, streams[r], replicates[r]);
      effective += weight_quality(replicates[r].log_weight).effective;
      kept += static_cast<double>(replicates[r].size());
    }
    fit.evaluations += 500 * n_chains;
    fit.acceptance = kept / static_cast<double>(fit.evaluations);
    heartbeat();
    if (effective < least_efficiency * static_cast<double>(fit.evaluations)) return fit;
    if (effective < target) continue;
    set_diagnostics(resample_replicates(replicates, rng), problem.n_causes, fit);
    fit.converged = reached(fit, work);
    target = 1.2 * effective;
  }
  if (fit.converged) fit.p = resampled(pooled(replicates), work.draws, rng);
  return fit;
}

}  // namespace sampling

// Draws from the posterior of p, by the method that suits the problem; the same numbers for the same key.
// heartbeat is called often and may throw to stop. Throws SamplingError where there is no posterior to draw from.
inline Fit sample(const Problem& problem, const Work& asked, const Key& key, const std::function<void()>& heartbeat) {
  Work work = asked;
  if (work.budget <= 0) work.budget = sampling::default_budget;
  if (problem.algorithms.size() == 1) {
    Fit fit = sampling::sample_exact(problem, work, key, heartbeat);
    if (fit.converged) {
      fit.reason = "one algorithm: exact independent draws";
      return fit;
    }
    Fit nuts = sampling::sample_nuts(problem, work, key, heartbeat);
    nuts.reason = "importance sampling keeps too few draws";
    return nuts;
  }
  Fit fit = sampling::sample_nuts(problem, work, key, heartbeat);
  fit.reason = "several algorithms";
  return fit;
}

}  // namespace vacal
