#pragma once

#include <cmath>
#include <exception>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "prepare.hpp"
#include "sampler.hpp"
#include "summarise.hpp"
#include "types.hpp"

// One stratum from counts to estimates: every algorithm on its own, then the ensemble, then the flags that need
// them all.
namespace vacal {

constexpr double missing = std::numeric_limits<double>::quiet_NaN();
constexpr double noop_below = 0.005;  // calibration that moves no fraction by as much has done nothing
constexpr const char *calibrated_status = "calibrated", *not_calibrated_status = "not_calibrated";  // with a result

struct Settings {
  bool path_correction = true;
  bool ensemble = true;
  double shrinkage = 0;
  std::uint64_t seed = 1;
  Work work;
  std::vector<double> quantiles;
  bool keep_draws = false;
};

struct Stratum {
  std::string name;
  std::vector<std::vector<double>> counts;  // one vector of C counts per algorithm
};

// Raised through a heartbeat to end a computation early; never turned into a failed fit.
struct Stopped : std::exception {
  const char* what() const noexcept override { return "stopped"; }
};

enum class Flag : int { no = 0, yes = 1, missing = -1 };
inline Flag flag(bool x) { return x ? Flag::yes : Flag::no; }

struct Estimate {                    // of one fit: an algorithm's or the ensemble's; vectors run over all C causes
  std::string status = "no_result";  // calibrated | not_calibrated | no_result | failed
  std::string reason;                // why not calibrated, no result or failed
  double deaths = 0;
  int lambda = -1;
  std::vector<double> counts, raw, mean, sd, low, high;
  std::vector<double> quantiles;  // C x number of quantiles
  std::vector<std::string> cause_status, cause_reason;
  std::vector<double> calibrated_deaths, ensemble_deaths;
  Flag stalled = Flag::missing, noop = Flag::missing, unreliable = Flag::missing, disagree = Flag::missing;
  std::string because;  // members that make the interval unreliable
  Fit fit;              // diagnostics; its draws are moved to `draws`
  bool sampled = false;
  std::vector<double> draws;  // draws x C, empty unless kept
  bool has_result() const { return status == calibrated_status || status == not_calibrated_status; }
};

struct StratumResult {
  std::vector<Estimate> estimates;  // algorithms in order, then the ensemble if asked for
  std::vector<char> disagrees;      // C: causes on which the algorithms disagree
  std::vector<Member> members;
};

namespace detail {

inline const char* reason_of(Standing s) {
  switch (s) {
    case Standing::too_few_causes: return "at_most_one_calibrated_cause";
    case Standing::no_deaths_in_calibrated_causes: return "no_deaths_in_calibrated_causes";
    case Standing::no_deaths: return "no_deaths";
    default: return "";
  }
}

inline Estimate blank_estimate(const std::vector<double>& counts, std::size_t n_quantiles) {
  const std::size_t n = counts.size();
  Estimate e;
  e.counts = counts;
  e.deaths = std::accumulate(counts.begin(), counts.end(), 0.0);
  for (const double a : counts) e.raw.push_back(e.deaths > 0 ? a / e.deaths : missing);
  for (auto* v : {&e.mean, &e.sd, &e.low, &e.high, &e.calibrated_deaths, &e.ensemble_deaths}) v->assign(n, missing);
  e.quantiles.assign(n * n_quantiles, missing);
  e.cause_status.assign(n, "no_result");
  e.cause_reason.assign(n, "");
  return e;
}

inline void pass_through(Estimate& e, std::size_t cause, const std::string& reason) {
  e.mean[cause] = e.raw[cause];
  e.cause_status[cause] = "passed_through";
  e.cause_reason[cause] = reason;
}

inline void keep_raw(Estimate& e, const std::string& reason, const std::vector<std::string>& cause_reasons) {
  e.status = "not_calibrated";
  e.reason = reason;
  for (std::size_t c = 0; c < e.counts.size(); ++c) {
    pass_through(e, c, cause_reasons[c].empty() ? reason : cause_reasons[c]);
  }
  e.stalled = e.unreliable = Flag::no;
  e.noop = Flag::yes;
}

// Scales the draws of the calibrated causes to their observed share and sets every summary.
inline void summarise(Estimate& e, const std::vector<int>& causes, const std::vector<std::string>& cause_reasons,
                      const Settings& settings) {
  const int n = static_cast<int>(e.counts.size()), b = static_cast<int>(causes.size());
  const double share = sum_at(e.counts, causes) / e.deaths;
  std::vector<double> p;
  p.swap(e.fit.p);
  for (double& x : p) {
    x *= share;
    if (!std::isfinite(x)) throw std::logic_error("a fraction is not finite");
  }
  for (int c = 0; c < n; ++c) pass_through(e, c, cause_reasons[c]);
  const std::size_t q = settings.quantiles.size();
  for (int i = 0; i < b; ++i) {
    const int c = causes[i];
    const ColumnSummary s = summarise_column(p, b, i, settings.quantiles);
    e.mean[c] = s.mean;
    e.sd[c] = s.sd;
    e.low[c] = s.low;
    e.high[c] = s.high;
    std::copy(s.quantiles.begin(), s.quantiles.end(), e.quantiles.begin() + c * q);
    e.cause_status[c] = "calibrated";
    e.cause_reason[c].clear();
  }
  e.status = "calibrated";
  double largest = 0;
  for (int c = 0; c < n; ++c) largest = std::max(largest, std::fabs(e.mean[c] - e.raw[c]));
  e.noop = flag(largest < noop_below);
  if (!settings.keep_draws) return;
  for (std::size_t d = 0; d < p.size() / b; ++d) {
    const std::size_t at = e.draws.size();
    e.draws.insert(e.draws.end(), e.raw.begin(), e.raw.end());
    for (int i = 0; i < b; ++i) e.draws[at + causes[i]] = p[d * b + i];
  }
}

// The estimate's deaths redistributed by the fractions of another estimate within its calibrated causes; the
// other causes keep their own.
inline std::vector<double> redistribute(const std::vector<double>& counts, const Estimate& by) {
  std::vector<double> weights(counts), out(counts);
  double total = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    const bool calibrated = by.cause_status[c] == "calibrated";
    weights[c] = calibrated ? by.mean[c] : 0;
    if (calibrated) total += counts[c];
  }
  const std::vector<double> rounded = round_to_total(weights, total);
  for (std::size_t c = 0; c < counts.size(); ++c) {
    if (by.cause_status[c] == "calibrated") out[c] = rounded[c];
  }
  return out;
}

inline const char* reason_of(Left l) { return l == Left::asked_for ? "asked_for" : l == Left::learned ? "learned" : ""; }

inline std::vector<std::string> cause_reasons(const AlgorithmModel& model) {
  std::vector<std::string> out;
  for (const Left l : model.left) out.emplace_back(reason_of(l));
  return out;
}

// Why a cause is in no member's block: the members' reasons, each once.
inline std::vector<std::string> joint_reasons(const std::vector<const AlgorithmModel*>& models, std::size_t n) {
  std::vector<std::string> out(n);
  for (std::size_t c = 0; c < n; ++c) {
    for (const Left l : {Left::asked_for, Left::learned, Left::in}) {
      const bool any = std::any_of(models.begin(), models.end(), [&](auto* m) { return m->left[c] == l; });
      if (!any) continue;
      if (!out[c].empty()) out[c] += ",";
      out[c] += l == Left::in ? detail::reason_of(Standing::too_few_causes) : reason_of(l);
    }
  }
  return out;
}

inline void fit_estimate(Estimate& e, const std::string& name, const Stratum& stratum, const Problem& problem,
                         const std::vector<int>& causes, const std::vector<std::string>& reasons, const Settings& settings,
                         const std::function<void()>& heartbeat) {
  try {
    e.fit = sample(problem, settings.work, {settings.seed, hash_text(stratum.name), hash_text(name)}, heartbeat);
    e.sampled = true;
    const double stored = settings.work.draws;  // every summary rests on the stored draws, however many were drawn
    e.fit.ess_bulk = std::min(e.fit.ess_bulk, stored);
    e.fit.ess_tail = std::min(e.fit.ess_tail, stored);
    summarise(e, causes, reasons, settings);
  } catch (const Stopped&) {
    throw;
  } catch (const SamplingError& error) {
    Estimate failed = blank_estimate(e.counts, settings.quantiles.size());
    failed.lambda = e.lambda;
    failed.status = "failed";
    failed.reason = error.what();
    e = failed;
  } catch (const std::exception& error) {
    throw Defect("stratum '" + stratum.name + "', " + name, error);
  }
}

inline bool is_stalled(const Member& m) { return m.lambda >= 99; }  // hundredths: 0.99 and above

inline Estimate estimate_algorithm(const AlgorithmModel& model, const Member& member, const Stratum& stratum, std::size_t k,
                                   const Settings& settings, const std::function<void()>& heartbeat) {
  Estimate e = blank_estimate(stratum.counts[k], settings.quantiles.size());
  e.lambda = member.lambda;
  if (member.standing == Standing::no_deaths) {
    e.reason = reason_of(member.standing);
    return e;
  }
  if (member.standing != Standing::calibrated) {
    keep_raw(e, reason_of(member.standing), cause_reasons(model));
    e.calibrated_deaths = e.counts;
    return e;
  }
  const std::vector<int> causes = causes_in(member.calibrated);
  const Problem problem = make_problem({&member}, {stratum.counts[k]}, causes, model.fixed, settings.shrinkage);
  fit_estimate(e, model.name, stratum, problem, causes, cause_reasons(model), settings, heartbeat);
  e.stalled = flag(is_stalled(member));
  if (e.status != "calibrated") return e;
  e.unreliable = e.stalled;
  if (e.stalled == Flag::yes) e.because = model.name;
  e.calibrated_deaths = redistribute(e.counts, e);
  return e;
}

struct Ensemble {
  std::vector<const Member*> members;
  std::vector<const AlgorithmModel*> models;
  std::vector<std::vector<double>> counts;
  std::vector<double> pooled;
  std::vector<char> calibrated;  // by at least one member
};

inline Ensemble gather(const std::vector<AlgorithmModel>& models, const std::vector<Member>& members, const Stratum& stratum) {
  const std::size_t n = stratum.counts.front().size();
  Ensemble out;
  out.pooled.assign(n, 0.0);
  out.calibrated.assign(n, 0);
  for (std::size_t k = 0; k < members.size(); ++k) {
    if (!members[k].in_ensemble()) continue;
    out.members.push_back(&members[k]);
    out.models.push_back(&models[k]);
    out.counts.push_back(stratum.counts[k]);
    for (std::size_t c = 0; c < n; ++c) {
      out.pooled[c] += stratum.counts[k][c];
      out.calibrated[c] = out.calibrated[c] || members[k].calibrated[c];
    }
  }
  return out;
}

// An ensemble's interval is unreliable if a member stalled or is not calibrated; such members are named.
inline void name_unreliable(Estimate& e, const Ensemble& ensemble) {
  for (std::size_t k = 0; k < ensemble.members.size(); ++k) {
    const Member& m = *ensemble.members[k];
    if (m.standing == Standing::calibrated && !is_stalled(m)) continue;
    e.because += (e.because.empty() ? "" : ",") + ensemble.models[k]->name;
  }
  e.stalled = Flag::no;
  e.unreliable = flag(!e.because.empty());
}

inline Estimate estimate_ensemble(const std::vector<AlgorithmModel>& models, const std::vector<Member>& members,
                                  const Stratum& stratum, const Settings& settings, const std::function<void()>& heartbeat) {
  const Ensemble ensemble = gather(models, members, stratum);
  Estimate e = blank_estimate(ensemble.pooled, settings.quantiles.size());
  if (ensemble.members.size() < 2) {
    e.reason = "fewer_than_two_members";
    return e;
  }
  const std::vector<std::string> reasons = joint_reasons(ensemble.models, ensemble.pooled.size());
  const std::vector<int> causes = causes_in(ensemble.calibrated);
  if (causes.empty()) {
    keep_raw(e, reason_of(Standing::too_few_causes), reasons);
    name_unreliable(e, ensemble);
    return e;
  }
  const Problem problem = make_problem(ensemble.members, ensemble.counts, causes, models.front().fixed, settings.shrinkage);
  fit_estimate(e, "ensemble", stratum, problem, causes, reasons, settings, heartbeat);
  if (e.status != "calibrated") return e;
  name_unreliable(e, ensemble);
  return e;
}

}  // namespace detail

// Causes on which algorithms disagree: among those that calibrate the cause, two 95% intervals do not overlap,
// or the ensemble's mean lies in none of them. `ensemble` may be null.
inline std::vector<char> disagreements(const std::vector<const Estimate*>& algorithms, const Estimate* ensemble, std::size_t n) {
  std::vector<char> out(n, 0);
  for (std::size_t c = 0; c < n; ++c) {
    double highest_low = -1, lowest_high = 2;
    bool covered = false, any = false;
    for (const Estimate* e : algorithms) {
      if (e->cause_status[c] != "calibrated") continue;
      any = true;
      highest_low = std::max(highest_low, e->low[c]);
      lowest_high = std::min(lowest_high, e->high[c]);
      covered = covered || (ensemble && ensemble->mean[c] >= e->low[c] && ensemble->mean[c] <= e->high[c]);
    }
    const bool outside = ensemble && ensemble->status == "calibrated" && !covered;
    out[c] = any && (highest_low > lowest_high || outside);
  }
  return out;
}

namespace detail {

// What needs all estimates of a stratum: the algorithms' deaths by the ensemble, and where they disagree.
inline void compare_estimates(StratumResult& result, std::size_t n_algorithms, std::size_t n) {
  const Estimate* ensemble = result.estimates.size() > n_algorithms ? &result.estimates.back() : nullptr;
  std::vector<const Estimate*> algorithms;
  for (std::size_t k = 0; k < n_algorithms; ++k) {
    Estimate& e = result.estimates[k];
    algorithms.push_back(&e);
    if (ensemble && ensemble->has_result() && result.members[k].in_ensemble()) {
      e.ensemble_deaths = redistribute(e.counts, *ensemble);
    }
  }
  result.disagrees = disagreements(algorithms, ensemble, n);
  const bool any = std::any_of(result.disagrees.begin(), result.disagrees.end(), [](char d) { return d != 0; });
  for (Estimate& e : result.estimates) {
    if (e.has_result()) e.disagree = flag(any);
  }
}

}  // namespace detail

// All estimates of one stratum. `after_fit(k)` is called after fit k (the ensemble is the last).
inline StratumResult estimate_stratum(const Stratum& stratum, const std::vector<AlgorithmModel>& models, const Settings& settings,
                                      const std::function<void(std::size_t)>& after_fit, const std::function<void()>& heartbeat) {
  const std::size_t n_algorithms = models.size();
  StratumResult result;
  for (std::size_t k = 0; k < n_algorithms; ++k) {
    result.members.push_back(prepare_member(models[k], stratum.counts[k], settings.path_correction));
  }
  for (std::size_t k = 0; k < n_algorithms; ++k) {
    result.estimates.push_back(detail::estimate_algorithm(models[k], result.members[k], stratum, k, settings, heartbeat));
    after_fit(k);
  }
  if (settings.ensemble) {
    result.estimates.push_back(detail::estimate_ensemble(models, result.members, stratum, settings, heartbeat));
    after_fit(n_algorithms);
  }
  detail::compare_estimates(result, n_algorithms, stratum.counts.front().size());
  return result;
}

}  // namespace vacal
