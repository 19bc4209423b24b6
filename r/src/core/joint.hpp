#pragma once

#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "borrowed.hpp"
#include "joint_misfit.hpp"
#include "joint_sampler.hpp"

// All strata of one country and age group in one joint model: every algorithm on its own, then all in one fit.
namespace vacal::joint {

constexpr int most_in_joint = 20000;  // strata x causes of one fit

struct MisfitRow {
  std::size_t stratum, algorithm;
  Misfit found;
  std::vector<int> causes;  // that deviate most, where it misfits
};

struct JointSummary {    // of one fit: an algorithm's or the ensemble's
  bool fitted = false;   // there was something to fit, and the sampler ran to its end
  JointFit diagnostics;  // without draws
  double phi_mean = 0, phi_low = 0, phi_high = 0;
  std::vector<MisfitRow> misfits;
};

struct JointResult {
  std::vector<StratumResult> strata;
  std::vector<JointSummary> fits;  // algorithms in order, then the ensemble if asked for
};

// after_fit and heartbeat are given the fit's index among JointResult::fits; both may throw to stop.
class JointCalibration {
 public:
  JointCalibration(const std::vector<Stratum>& strata, const std::vector<AlgorithmModel>& models, const Settings& settings,
                   int threads, std::function<void(std::size_t)> after_fit,
                   std::function<void(std::size_t, const JointStatus&)> heartbeat)
      : strata_(strata), models_(models), settings_(settings), threads_(threads), after_fit_(std::move(after_fit)),
        heartbeat_(std::move(heartbeat)), n_(strata.front().counts.front().size()) {
    for (std::size_t k = 0; k < models.size(); ++k) {
      std::vector<double> pooled(n_, 0.0);
      for (const Stratum& s : strata) {
        for (std::size_t c = 0; c < n_; ++c) pooled[c] += s.counts[k][c];
      }
      pooled_.counts.push_back(pooled);
      members_.push_back(prepare_member(models[k], pooled, settings.path_correction));
    }
  }

  JointResult run() {
    JointResult result;
    result.strata.resize(strata_.size());
    for (StratumResult& s : result.strata) s.members = members_;
    for (std::size_t k = 0; k < models_.size(); ++k) {
      result.fits.push_back(algorithm(k, result.strata));
      after_fit_(k);
    }
    if (settings_.ensemble) {
      result.fits.push_back(ensemble(result.strata));
      after_fit_(models_.size());
    }
    for (std::size_t s = 0; s < strata_.size(); ++s) compare(result.strata[s], s);
    return result;
  }

 private:
  JointSummary algorithm(std::size_t k, std::vector<StratumResult>& out) {
    const Member& member = members_[k];
    const std::vector<std::string> reasons = detail::cause_reasons(models_[k]);
    std::vector<Estimate> estimates = blank([&](std::size_t s) { return strata_[s].counts[k]; });
    JointSummary summary;
    if (member.standing == Standing::calibrated) {
      const std::vector<int> causes = causes_in(member.calibrated);
      summary = fit(estimates, k, {k}, causes, reasons, pooled_.counts[k]);
    } else if (member.standing != Standing::no_deaths) {
      pass_through(estimates, detail::reason_of(member.standing), reasons);
    }
    for (std::size_t s = 0; s < estimates.size(); ++s) {
      Estimate& e = estimates[s];
      e.lambda = member.lambda;
      if (e.deaths == 0 && e.status == "no_result") e.reason = detail::reason_of(Standing::no_deaths);
      if (member.standing == Standing::calibrated) e.stalled = flag(detail::is_stalled(member));
      if (e.status == "calibrated") {
        e.unreliable = e.stalled;
        if (e.stalled == Flag::yes) e.because = models_[k].name;
      }
      if (e.has_result()) e.calibrated_deaths = detail::redistribute(e.counts, e);
      out[s].estimates.push_back(e);
    }
    return summary;
  }

  JointSummary ensemble(std::vector<StratumResult>& out) {
    const detail::Ensemble members = detail::gather(models_, members_, pooled_);
    std::vector<std::size_t> algorithms;
    for (std::size_t k = 0; k < models_.size(); ++k) {
      if (members_[k].in_ensemble()) algorithms.push_back(k);
    }
    std::vector<Estimate> estimates = blank([&](std::size_t s) {
      std::vector<double> counts(n_, 0.0);
      for (std::size_t k : algorithms) {
        for (std::size_t c = 0; c < n_; ++c) counts[c] += strata_[s].counts[k][c];
      }
      return counts;
    });
    JointSummary summary;
    const std::vector<int> causes = causes_in(members.calibrated);
    const std::vector<std::string> reasons = detail::joint_reasons(members.models, n_);
    if (algorithms.size() < 2) {
      for (Estimate& e : estimates) e.reason = "fewer_than_two_members";
    } else if (causes.empty()) {
      pass_through(estimates, detail::reason_of(Standing::too_few_causes), reasons);
    } else {
      summary = fit(estimates, models_.size(), algorithms, causes, reasons, members.pooled);
    }
    for (std::size_t s = 0; s < estimates.size(); ++s) {
      Estimate& e = estimates[s];
      if (e.status == "calibrated") {
        for (std::size_t k : algorithms) {
          if (members_[k].standing == Standing::calibrated && !detail::is_stalled(members_[k])) continue;
          e.because += (e.because.empty() ? "" : ",") + models_[k].name;
        }
        e.stalled = Flag::no;
        e.unreliable = flag(!e.because.empty());
      }
      out[s].estimates.push_back(e);
    }
    return summary;
  }

  template <class Counts>
  std::vector<Estimate> blank(Counts counts) const {
    std::vector<Estimate> out;
    for (std::size_t s = 0; s < strata_.size(); ++s) {
      out.push_back(detail::blank_estimate(counts(s), settings_.quantiles.size()));
    }
    return out;
  }

  static void pass_through(std::vector<Estimate>& estimates, const std::string& reason, const std::vector<std::string>& reasons) {
    for (Estimate& e : estimates) {
      if (e.deaths > 0) detail::keep_raw(e, reason, reasons);
    }
  }

  JointProblem problem(const std::vector<std::size_t>& algorithms, const std::vector<int>& causes) const {
    JointProblem out;
    std::vector<const Member*> members;
    std::vector<std::vector<double>> counts;
    for (std::size_t k : algorithms) {
      members.push_back(&members_[k]);
      counts.push_back(pooled_.counts[k]);
    }
    out.pooled = make_problem(members, counts, causes, models_.front().fixed, 0);
    out.pooled.prior.assign(causes.size(), 1.0);
    for (const Stratum& s : strata_) {
      std::vector<double> a;
      for (std::size_t k : algorithms) {
        if (sum_at(pooled_.counts[k], causes) <= 0) continue;  // tells nothing: the core leaves it out, too
        for (int c : causes) a.push_back(s.counts[k][c]);
      }
      out.counts.push_back(a);
    }
    return out;
  }

  // One joint fit of these algorithms, that of index `at`; sets the estimates of all strata.
  JointSummary fit(std::vector<Estimate>& estimates, std::size_t at, const std::vector<std::size_t>& algorithms,
                   const std::vector<int>& causes, const std::vector<std::string>& reasons, const std::vector<double>& pooled) {
    JointSummary summary;
    try {
      const JointProblem data = problem(algorithms, causes);
      const JointWork work{settings_.work.draws, settings_.work.effective_draws, settings_.work.budget, threads_};
      const Key key{settings_.seed, hash_text("joint"), hash_text(at < models_.size() ? models_[at].name : "ensemble")};
      JointFit drawn = JointSampler(data, work, key, [&](const JointStatus& now) { heartbeat_(at, now); }).run();
      if (drawn.publishable()) {
        publish(estimates, drawn, causes, reasons, pooled);
        summary.misfits = misfits(data, drawn, algorithms, causes);
      } else {
        fail(estimates, "joint_fit_not_published");  // why: in the summary
      }
      describe(drawn, summary);
    } catch (const Stopped&) {
      throw;
    } catch (const SamplingError& error) {
      fail(estimates, error.what());
    }
    return summary;
  }

  static void fail(std::vector<Estimate>& estimates, const std::string& reason) {
    for (Estimate& e : estimates) {
      e.status = "failed";
      e.reason = reason;
    }
  }

  static void describe(JointFit& drawn, JointSummary& summary) {
    std::vector<double> phi = drawn.phi;
    std::sort(phi.begin(), phi.end());
    summary.phi_mean = std::accumulate(phi.begin(), phi.end(), 0.0) / static_cast<double>(phi.size());
    summary.phi_low = quantile_sorted(phi, interval_low);
    summary.phi_high = quantile_sorted(phi, interval_high);
    for (auto* v : {&drawn.p, &drawn.m, &drawn.pi, &drawn.phi, &drawn.kappa}) std::vector<double>().swap(*v);
    summary.diagnostics = drawn;
    summary.fitted = true;
  }

  // A stratum without deaths has an estimate all the same, from the others; its uncalibrated causes have their fractions
  // in all strata together. One with deaths, but none in a calibrated cause, keeps what was observed.
  void publish(std::vector<Estimate>& estimates, const JointFit& drawn, const std::vector<int>& causes,
               const std::vector<std::string>& reasons, const std::vector<double>& pooled) const {
    const std::size_t b = causes.size(), n_strata = estimates.size();
    for (std::size_t s = 0; s < n_strata; ++s) {
      Estimate& e = estimates[s];
      if (e.deaths > 0 && sum_at(e.counts, causes) <= 0) {
        detail::keep_raw(e, detail::reason_of(Standing::no_deaths_in_calibrated_causes), reasons);
        continue;
      }
      const bool borrowed = e.deaths == 0;
      Estimate filled = borrowed ? detail::blank_estimate(pooled, settings_.quantiles.size()) : e;
      for (int d = 0; d < drawn.draws; ++d) {
        const double* p = &drawn.p[(static_cast<std::size_t>(d) * n_strata + s) * b];
        filled.fit.p.insert(filled.fit.p.end(), p, p + b);
      }
      detail::summarise(filled, causes, reasons, settings_);
      if (borrowed) detail::mark_borrowed(filled, e);
      set_diagnostics(filled, drawn, s);
      e = filled;
    }
  }

  static void set_diagnostics(Estimate& e, const JointFit& drawn, std::size_t s) {
    const Quality& q = drawn.by_stratum[s];
    e.sampled = true;
    e.fit.sampler = "joint_nuts";
    e.fit.reason = drawn.reason;
    e.fit.rhat = q.rhat;
    e.fit.ess_bulk = q.ess_bulk;
    e.fit.ess_tail = q.ess_tail;
    e.fit.acceptance = drawn.acceptance;
    e.fit.evaluations = drawn.evaluations;
    e.fit.divergences = drawn.divergences;
    e.fit.distinct_draws = drawn.distinct_draws;
    e.fit.converged = drawn.converged;
  }

  std::vector<MisfitRow> misfits(const JointProblem& data, const JointFit& drawn, const std::vector<std::size_t>& algorithms,
                                 const std::vector<int>& causes) const {
    std::vector<std::size_t> used;
    for (std::size_t k : algorithms) {
      if (sum_at(pooled_.counts[k], causes) > 0) used.push_back(k);
    }
    const std::vector<Misfit> found = find_misfit(data, drawn);
    std::vector<MisfitRow> out;
    for (std::size_t at = 0; at < found.size(); ++at) {
      MisfitRow row{at / used.size(), used[at % used.size()], found[at], {}};
      for (std::size_t j = 0; j < causes.size() && row.found.misfit(); ++j) {
        if (std::fabs(row.found.residual[j]) > misfit_residual) row.causes.push_back(causes[j]);
      }
      out.push_back(row);
    }
    return out;
  }

  // What needs all estimates of a stratum: the algorithms' deaths by the ensemble, and where they disagree.
  void compare(StratumResult& result, std::size_t s) const {
    const Estimate* pooled = settings_.ensemble ? &result.estimates.back() : nullptr;
    std::vector<const Estimate*> algorithms;
    for (std::size_t k = 0; k < models_.size(); ++k) {
      Estimate& e = result.estimates[k];
      algorithms.push_back(&e);
      const bool member =
          members_[k].in_ensemble() && std::accumulate(strata_[s].counts[k].begin(), strata_[s].counts[k].end(), 0.0) > 0;
      if (pooled && pooled->has_result() && member) e.ensemble_deaths = detail::redistribute(e.counts, *pooled);
    }
    result.disagrees = disagreements(algorithms, pooled, n_);
    const bool any = std::any_of(result.disagrees.begin(), result.disagrees.end(), [](char d) { return d != 0; });
    for (Estimate& e : result.estimates) {
      if (e.has_result()) e.disagree = flag(any);
    }
  }

  const std::vector<Stratum>& strata_;
  const std::vector<AlgorithmModel>& models_;
  const Settings& settings_;
  int threads_;
  std::function<void(std::size_t)> after_fit_;
  std::function<void(std::size_t, const JointStatus&)> heartbeat_;
  std::size_t n_;
  Stratum pooled_;  // counts summed over the strata
  std::vector<Member> members_;
};

}  // namespace vacal::joint
