#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "diagnostics.hpp"
#include "hmc.hpp"
#include "importance.hpp"
#include "posterior.hpp"
#include "types.hpp"

namespace vacal {

enum class Method { automatic, importance, hmc };

namespace sampling {

constexpr int n_chains = 4;                     // chains of HMC, replicates of importance sampling
constexpr long long default_budget = 20000000;  // density evaluations, or proposals
constexpr double rhat_limit = 1.01;
constexpr double tail_share = 0.4;         // of the effective draws asked for that tails must reach
constexpr double least_efficiency = 0.04;  // of importance sampling: below it HMC is quicker
constexpr double hopeless_rhat = 1.05;     // above it after `patience` times the draws asked for: give up
constexpr int patience = 4;

using Pool = std::vector<std::vector<double>>;  // draws of p before thinning, by chain: iterations x C

inline double asked_draws(const Work& work) { return std::max<double>(work.draws, work.effective_draws); }

// Worst over causes: largest R-hat, smallest effective sizes. Causes that never vary are left out.
inline void set_diagnostics(const Pool& pool, int c, Fit& fit) {
  const std::size_t n = pool.front().size() / c;
  fit.rhat = 1;
  fit.ess_bulk = fit.ess_tail = static_cast<double>(n * pool.size());
  bool varies = false;
  for (int j = 0; j < c; ++j) {
    diagnostics::Chains chains(pool.size(), std::vector<double>(n));
    for (std::size_t m = 0; m < pool.size(); ++m) {
      for (std::size_t i = 0; i < n; ++i) chains[m][i] = pool[m][i * c + j];
    }
    const diagnostics::Diagnostics d = diagnostics::diagnose(chains);
    if (std::isnan(d.ess_bulk) || std::isnan(d.rhat)) continue;
    fit.rhat = varies ? std::max(fit.rhat, d.rhat) : d.rhat;
    fit.ess_bulk = varies ? std::min(fit.ess_bulk, d.ess_bulk) : d.ess_bulk;
    if (!std::isnan(d.ess_tail)) fit.ess_tail = varies ? std::min(fit.ess_tail, d.ess_tail) : d.ess_tail;
    varies = true;
  }
}

// The bulk effective size, or what the tail's is worth where that is less.
inline double effective_size(const Fit& fit) { return std::min(fit.ess_bulk, fit.ess_tail / tail_share); }

inline bool reached(const Fit& fit, const Work& work) {
  return fit.rhat <= rhat_limit && effective_size(fit) >= work.effective_draws;
}

// What is missing, in words; nothing for a converged fit.
inline std::string shortfall(const Fit& fit, const Work& work) {
  char text[200];
  if (fit.rhat > hopeless_rhat) {
    std::snprintf(text, sizeof text, "chains disagree (R-hat %.2f), as where the posterior has modes apart", fit.rhat);
  } else if (!reached(fit, work)) {
    std::snprintf(text, sizeof text,
                  "stopped at R-hat %.3f, bulk effective size %.0f of %.0f asked for and tail effective size %.0f of %.0f",
                  fit.rhat, fit.ess_bulk, work.effective_draws, fit.ess_tail, tail_share * work.effective_draws);
  } else {
    return "";
  }
  return text;
}

// Evenly spaced draws of the pool, chain after chain.
inline std::vector<double> thin(const Pool& pool, int c, int draws) {
  std::vector<double> kept;
  kept.reserve(static_cast<std::size_t>(draws) * c);
  const std::size_t n = pool.front().size() / c, total = n * pool.size();
  for (int d = 0; d < draws; ++d) {
    const std::size_t at = static_cast<std::size_t>((d + 0.5) * static_cast<double>(total) / draws);
    const double* from = &pool[at / n][(at % n) * c];
    kept.insert(kept.end(), from, from + c);
  }
  return kept;
}

// The next number of iterations a chain, from the effective size so far.
inline int next_length(const Fit& fit, const Work& work, int done) {
  const double factor = 1.05 * work.effective_draws / std::max(effective_size(fit), 1.0);
  return static_cast<int>(done * std::min(2.0, std::max(1.1, factor))) + 1;
}

// HMC until R-hat and effective size are reached, the budget is spent or the chains keep disagreeing.
inline Fit sample_hmc(const Problem& problem, const Work& work, const Key& key, const std::function<void()>& heartbeat) {
  static_assert(n_chains == Lanes::size);
  const int c = problem.n_causes;
  Hmc<Posterior> chains(Posterior(problem), key, heartbeat);
  chains.warm_up(c);
  Fit fit;
  fit.sampler = "hmc";
  Pool pool(n_chains);
  std::vector<Lanes> p(c);
  int length = static_cast<int>(std::ceil(asked_draws(work) / n_chains));
  for (int done = 0; !fit.converged;) {
    for (; done < length && (done < 50 || chains.evaluations() < work.budget); ++done) {
      chains.advance();
      chains.fractions(p.data());
      for (int m = 0; m < n_chains; ++m) {
        for (const Lanes& x : p) pool[m].push_back(x[m]);
      }
    }
    set_diagnostics(pool, c, fit);
    fit.converged = reached(fit, work);
    const bool hopeless = fit.rhat > hopeless_rhat && done * n_chains >= patience * asked_draws(work);
    if (hopeless || chains.evaluations() >= work.budget) break;
    length = next_length(fit, work, done);
  }
  fit.acceptance = chains.acceptance();
  fit.evaluations = chains.evaluations();
  fit.divergences = chains.divergences();
  fit.p = thin(pool, c, work.draws);
  fit.distinct_draws = std::min(work.draws, static_cast<int>(pool.size() * pool.front().size()) / c);
  return fit;
}

// The replicates' draws, each resampled by its weights to the length of the shortest.
inline Pool resample_replicates(const std::vector<WeightedDraws>& replicates, Rng& rng) {
  std::size_t length = replicates.front().size();
  for (const WeightedDraws& r : replicates) length = std::min(length, r.size());
  Pool pool;
  for (const WeightedDraws& r : replicates) pool.push_back(resampled(r, length, rng));
  return pool;
}

// Independent replicates of importance sampling for one algorithm. The pilot (4 x 500 proposals) and every later
// round can end it, unconverged and without draws, where it keeps too little.
inline Fit sample_exact(const Problem& problem, const Work& work, const Key& key, const std::function<void()>& heartbeat) {
  constexpr int round = 500;
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
  double target = 1.1 * asked_draws(work);
  while (fit.evaluations < work.budget && !fit.converged) {
    double effective = 0, kept = 0;
    for (int r = 0; r < n_chains; ++r) {
      sampler.propose(round, streams[r], replicates[r]);
      effective += weight_quality(replicates[r].log_weight).effective;
      kept += static_cast<double>(replicates[r].size());
    }
    fit.evaluations += round * n_chains;
    fit.acceptance = kept / static_cast<double>(fit.evaluations);
    heartbeat();
    if (effective < least_efficiency * static_cast<double>(fit.evaluations)) return fit;
    if (effective < target) continue;
    set_diagnostics(resample_replicates(replicates, rng), problem.n_causes, fit);
    fit.converged = reached(fit, work);
    target = 1.2 * effective;
  }
  if (!fit.converged) return fit;
  const WeightedDraws all = pooled(replicates);
  std::vector<std::size_t> chosen = resample(all.log_weight, work.draws, rng);
  fit.p = at_indices(all, chosen);
  fit.distinct_draws = static_cast<int>(std::unique(chosen.begin(), chosen.end()) - chosen.begin());
  return fit;
}

inline void check(const Problem& problem) {
  refuse_many_causes(problem.n_causes);
  for (double beta : problem.prior) {
    if (!(beta > 0 && std::isfinite(beta))) throw SamplingError("a parameter of the prior of the CSMF is not positive");
  }
  for (const AlgorithmData& data : problem.algorithms) {
    for (double x : data.counts) {
      if (!(x >= 0 && std::isfinite(x))) throw SamplingError("a count is negative or not finite");
    }
    for (double x : data.matrix) {
      if (!(x >= 0 && std::isfinite(x))) throw SamplingError("a matrix has a negative entry or one that is not finite");
    }
  }
}

inline void check_draws(const Fit& fit) {
  for (double x : fit.p) {
    if (!std::isfinite(x)) throw SamplingError("the sampler broke down: a drawn fraction is not finite");
  }
}

inline Fit choose_and_sample(const Problem& problem, const Work& work, const Key& key, const std::function<void()>& heartbeat,
                             Method method) {
  std::string why = std::to_string(problem.algorithms.size()) + " algorithms";
  char share[80] = "";
  if (problem.algorithms.size() == 1 && method != Method::hmc) {
    Fit fit = sample_exact(problem, work, key, heartbeat);
    std::snprintf(share, sizeof share, "%.1f%% of independent proposals kept", 100 * fit.acceptance);
    fit.reason = std::string("one algorithm: ") + share;
    if (fit.converged) return fit;
    why = std::string("importance sampling is too wasteful: ") + share;
  }
  if (method == Method::importance) throw SamplingError("importance sampling cannot serve this problem: " + why);
  if (method == Method::hmc) why = "asked for";
  Fit fit = sample_hmc(problem, work, key, heartbeat);
  const std::string missing = shortfall(fit, work);
  fit.reason = why + (missing.empty() ? "" : "; " + missing);
  return fit;
}

}  // namespace sampling

// Draws from the posterior of p by the method that suits the problem (or the one asked for); the same draws for the
// same problem, work and key. heartbeat is called often and may throw to stop. A fit that falls short of what was
// asked for within the budget says so (converged, reason). Throws SamplingError where there is nothing to draw from.
inline Fit sample(const Problem& problem, const Work& asked, const Key& key, const std::function<void()>& heartbeat,
                  Method method = Method::automatic) {
  Work work = asked;
  if (work.budget <= 0) work.budget = sampling::default_budget;
  if (work.draws < 1) throw SamplingError("at least one draw must be asked for");
  sampling::check(problem);
  Fit fit = sampling::choose_and_sample(problem, work, key, heartbeat, method);
  sampling::check_draws(fit);
  return fit;
}

}  // namespace vacal
