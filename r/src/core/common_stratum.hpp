#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "borrowed.hpp"
#include "common_draws.hpp"
#include "common_sampler.hpp"

// A stratum's estimates by common matrix draws, given for each fit the draws of the matrices and of the prior.
namespace vacal::common {

// Proportional to p_0 times p_u / r_u over units u, each mixed with the share `mix` of a uniform distribution, as is the
// result: draws x causes, row-major. Made in logs.
inline std::vector<double> centre(const std::vector<double>& p0, const std::vector<std::vector<double>>& p,
                                  const std::vector<std::vector<double>>& r, int n, double mix) {
  const auto log_mixed = [&](double x) { return log_of((1 - mix) * x + mix / n); };
  std::vector<double> out(p0.size());
  for (std::size_t d = 0; d < p0.size(); d += n) {
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (std::size_t at = d; at < d + n; ++at) {
      double x = log_mixed(p0[at]);
      for (std::size_t u = 0; u < p.size(); ++u) x += log_mixed(p[u][at]) - log_mixed(r[u][at]);
      out[at] = x;
      top = std::max(top, x);
    }
    for (std::size_t at = d; at < d + n; ++at) sum += out[at] = exp_of(out[at] - top);
    for (std::size_t at = d; at < d + n; ++at) out[at] = (1 - mix) * out[at] / sum + mix / n;
  }
  return out;
}

// One fit (an algorithm's or the ensemble's) of a batch of strata. S strata, D draws, K members, B causes of the fit.
struct FitInput {
  std::string reason;          // why there is nothing to draw from: the fit failed for the whole country; else empty
  bool drawn = false;          // there are draws
  std::vector<int> causes;     // B
  int members = 0;             // K
  std::vector<double> m;       // D x K x B x B
  std::vector<double> counts;  // S x K x B, weighed; 0 where an algorithm does not take part
  std::vector<double> prior;   // S x D x B: Dirichlet parameters
  std::vector<double> given;   // D x B: the draws of the strata marked as `takes_given`
  std::vector<char> takes_given;
  std::vector<double> pooled;  // C: the country's counts, whose shares a stratum without deaths gets where it borrows
  bool borrow = false;         // strata without deaths are drawn from their prior
  Fit quality;                 // of the chains that drew the matrices; no draws
};

struct Inner {  // of one stratum and fit
  bool sampled = false;
  double correlation = 0;
  int impossible = 0;
};

class CommonCalibration {
 public:
  CommonCalibration(const std::vector<Stratum>& strata, const std::vector<AlgorithmModel>& models,
                    const std::vector<FitInput>& fits, const Settings& settings)
      : strata_(strata), models_(models), fits_(fits), settings_(settings), inner_(strata.size() * fits.size()) {
    for (const FitInput& f : fits) {
      const int b = static_cast<int>(f.causes.size());
      matrices_.emplace_back(f.m.data(), f.drawn ? settings.work.draws : 0, std::max(f.members, 1), std::max(b, 1));
    }
  }

  StratumResult estimate(std::size_t s, const std::function<void(std::size_t)>& after_fit,
                         const std::function<void()>& heartbeat) {
    StratumResult result;
    const Stratum& stratum = strata_[s];
    for (std::size_t k = 0; k < models_.size(); ++k) {
      result.members.push_back(prepare_member(models_[k], stratum.counts[k], false));
    }
    for (std::size_t f = 0; f < fits_.size(); ++f) {
      heartbeat();
      result.estimates.push_back(f < models_.size() ? algorithm(s, f, result.members[f]) : ensemble(s, result.members));
      after_fit(f);
    }
    vacal::detail::compare_estimates(result, models_.size(), stratum.counts.front().size());
    return result;
  }

  // Of stratum s and fit f, once the stratum is done.
  const Inner& inner(std::size_t s, std::size_t f) const { return inner_[s * fits_.size() + f]; }

 private:
  Estimate algorithm(std::size_t s, std::size_t k, const Member& member) {
    Estimate e = vacal::detail::blank_estimate(strata_[s].counts[k], settings_.quantiles.size());
    const std::vector<std::string> reasons = vacal::detail::cause_reasons(models_[k]);
    const bool nothing = member.standing == Standing::no_deaths;
    if (nothing && !(fits_[k].borrow && fits_[k].drawn)) {
      e.reason = vacal::detail::reason_of(member.standing);
      return e;
    }
    if (!nothing && member.standing != Standing::calibrated) {
      vacal::detail::keep_raw(e, vacal::detail::reason_of(member.standing), reasons);
      e.calibrated_deaths = e.counts;
      return e;
    }
    draw(e, s, k, reasons);
    if (e.status != calibrated_status) return e;
    e.stalled = e.unreliable = Flag::no;
    e.calibrated_deaths = vacal::detail::redistribute(e.counts, e);
    return e;
  }

  Estimate ensemble(std::size_t s, const std::vector<Member>& members) {
    const std::size_t f = fits_.size() - 1;
    const vacal::detail::Ensemble own = vacal::detail::gather(models_, members, strata_[s]);
    Estimate e = vacal::detail::blank_estimate(own.pooled, settings_.quantiles.size());
    const bool nothing =
        std::all_of(members.begin(), members.end(), [](const Member& m) { return m.standing == Standing::no_deaths; });
    if (own.members.size() < 2 && !(nothing && fits_[f].borrow && fits_[f].drawn)) {
      e.reason = "fewer_than_two_members";
      return e;
    }
    std::vector<const AlgorithmModel*> all;
    for (const AlgorithmModel& m : models_) all.push_back(&m);
    const std::vector<std::string> reasons = vacal::detail::joint_reasons(nothing ? all : own.models, own.pooled.size());
    const bool uncalibrated = fits_[f].reason.empty() && (!fits_[f].drawn || sum_at(e.counts, fits_[f].causes) <= 0);
    if (!nothing && uncalibrated) {
      const Standing why = fits_[f].drawn ? Standing::no_deaths_in_calibrated_causes : Standing::too_few_causes;
      vacal::detail::keep_raw(e, vacal::detail::reason_of(why), reasons);
      vacal::detail::name_unreliable(e, own);
      return e;
    }
    draw(e, s, f, reasons);
    if (e.status == calibrated_status) vacal::detail::name_unreliable(e, own);
    return e;
  }

  // Draws the stratum's fractions and sets every summary.
  void draw(Estimate& e, std::size_t s, std::size_t f, const std::vector<std::string>& reasons) {
    const FitInput& fit = fits_[f];
    if (!fit.drawn) {
      e.status = "failed";
      e.reason = fit.reason;
      return;
    }
    const std::string name = f < models_.size() ? models_[f].name : "ensemble";
    const std::size_t b = fit.causes.size(), draws = settings_.work.draws;
    CommonFit drawn;
    if (fit.takes_given[s]) {
      drawn.p = fit.given;
    } else {
      const double* a = &fit.counts[s * fit.members * b];
      const double* prior = &fit.prior[s * draws * b];
      drawn =
          sample_common(matrices_[f], std::vector<double>(a, a + fit.members * b), std::vector<double>(prior, prior + draws * b),
                        InnerWork(), {settings_.seed, hash_text(strata_[s].name), hash_text(name)});
    }
    inner_[s * fits_.size() + f] = {true, drawn.correlation, drawn.impossible};
    if (drawn.impossible > 0) {
      e.status = "failed";
      e.reason = "in " + std::to_string(drawn.impossible) + " of " + std::to_string(draws) +
                 " draws the matrices cannot produce these deaths";
      return;
    }
    const bool borrowed = e.deaths == 0;
    Estimate filled = borrowed ? vacal::detail::blank_estimate(fit.pooled, settings_.quantiles.size()) : e;
    filled.fit = fit.quality;
    filled.fit.p = drawn.p;
    filled.fit.acceptance = fit.takes_given[s] ? fit.quality.acceptance : drawn.acceptance;
    vacal::detail::summarise(filled, fit.causes, reasons, settings_);
    filled.sampled = true;
    if (borrowed) vacal::detail::mark_borrowed(filled, e);
    e = filled;
  }

  const std::vector<Stratum>& strata_;
  const std::vector<AlgorithmModel>& models_;
  const std::vector<FitInput>& fits_;
  const Settings& settings_;
  std::vector<MatrixDraws> matrices_;
  std::vector<Inner> inner_;
};

}  // namespace vacal::common
