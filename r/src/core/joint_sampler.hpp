#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "diagnostics.hpp"
#include "joint_metric.hpp"
#include "joint_posterior.hpp"
#include "joint_status.hpp"
#include "joint_team.hpp"
#include "nuts.hpp"
#include "types.hpp"

namespace vacal::joint {

constexpr int n_chains = 4;
constexpr int least_depth = 3;          // trajectories of at least 2^3 steps
constexpr int least_transitions = 250;  // of a chain: with fewer, R-hat is noise
constexpr double rhat_nation = 1.01;    // to reach; for the worst of many strata noise alone exceeds it
constexpr double rhat_published = 1.02;
constexpr double rhat_hopeless = 1.1;  // above it after `patience` transitions a chain: give up
constexpr int patience = 2000;
constexpr int warm_up_stages[] = {50, 50, 150};  // transitions of each
constexpr long long default_budget = 5000000;

struct JointWork {
  int draws = 4000;               // stored, over all chains
  double effective_draws = 1000;  // bulk effective size of every fraction of the nation and of every stratum; tail: half
  long long budget = 0;           // density evaluations at most; 0: default_budget
  int threads = 1;
  double rhat = rhat_nation;  // of the nation, to reach
};

struct Quality {  // worst over fractions
  double rhat = 1, ess_bulk = std::numeric_limits<double>::infinity(), ess_tail = ess_bulk;
  void include(const diagnostics::Diagnostics& d) {
    if (std::isnan(d.rhat) || std::isnan(d.ess_bulk)) return;
    rhat = std::max(rhat, d.rhat);
    ess_bulk = std::min(ess_bulk, d.ess_bulk);
    if (!std::isnan(d.ess_tail)) ess_tail = std::min(ess_tail, d.ess_tail);
  }
  bool reached(double limit, double asked) const { return rhat <= limit && ess_bulk >= asked && ess_tail >= asked / 2; }
};

struct JointFit {
  int draws = 0;           // stored
  int distinct_draws = 0;  // transitions that they come from: where there were fewer, some draws stand several times
  std::vector<double> p, m, pi, phi, kappa;  // draws x (S x C | K x C x C | C | 1 | K), in step
  Quality nation;                            // fractions summed over strata, weighted by deaths
  Quality strata;                            // worst stratum
  std::vector<Quality> by_stratum;
  double acceptance = 0, relabelled = 0;  // relabelled: share of draws whose causes changed places
  long long evaluations = 0, budget = 0;
  int divergences = 0, transitions = 0;  // of all chains, without the warm-up
  bool converged = false;
  std::string reason;  // what is missing, where not converged
  bool publishable() const { return std::max(nation.rhat, strata.rhat) <= rhat_published; }
};

struct JointChain {
  JointChain(const JointPosterior& density, const Key& key, std::uint64_t stream)
      : rng(key, stream), nuts(density, Rng(key, stream + 100), start(density, rng)), step(0.8) {
    nuts.set_least_depth(least_depth);
  }

  static std::vector<double> start(JointPosterior density, Rng& rng) {
    std::vector<double> gradient(padded(density.dimension()));
    for (int attempt = 0; attempt < 100; ++attempt) {
      std::vector<double> t = density.start(rng);
      if (std::isfinite(density.evaluate(t.data(), gradient.data()))) return t;
    }
    throw SamplingError("no starting point has a finite density");
  }

  // Moves the chain to the image of its point that is closest to the reference.
  void align(const std::vector<double>& reference) {
    const std::vector<int> labels = nuts.density().closest_labels(nuts.position().data(), reference);
    for (std::size_t i = 0; i < labels.size(); ++i) {
      if (labels[i] != static_cast<int>(i)) return nuts.move_to(nuts.density().relabelled(nuts.position().data(), labels));
    }
  }

  void advance(double step_size) {
    const NutsTransition t = nuts.transition(step_size);
    evaluations += t.n_leapfrog;
    acceptance += t.acceptance;
    divergences += t.divergent;
    step.update(t.acceptance);
  }

  void record() {
    const std::vector<int> labels = nuts.density().draw_labels(nuts.position().data(), rng);
    relabelled += !last_labels.empty() && labels != last_labels;
    last_labels = labels;
    const JointPoint at = nuts.density().point(nuts.position().data(), labels);
    p.insert(p.end(), at.p.begin(), at.p.end());
    m.insert(m.end(), at.m.begin(), at.m.end());
    pi.insert(pi.end(), at.pi.begin(), at.pi.end());
    phi.push_back(at.phi);
    kappa.insert(kappa.end(), at.kappa.begin(), at.kappa.end());
  }

  Rng rng;
  NutsChain<JointPosterior> nuts;
  StepSize step;
  long long evaluations = 0;
  double acceptance = 0;
  int divergences = 0, relabelled = 0;
  std::vector<int> last_labels;
  std::vector<double> p, m, pi, phi, kappa;
};

// Four chains from dispersed starts, in as many threads as are given; the draws do not depend on the threads.
class JointSampler {
 public:
  // The heartbeat is called in the caller's thread, many times a second and after each check; it may throw to stop.
  JointSampler(const JointProblem& problem, const JointWork& work, const Key& key,
               std::function<void(const JointStatus&)> heartbeat)
      : density_(problem), work_(work), heartbeat_(std::move(heartbeat)),
        team_(std::min(work.threads, n_chains), [this] { report(); }), weight_(deaths_by_stratum(problem)),
        c_(density_.n_causes()), s_(density_.n_strata()) {
    if (work_.budget <= 0) work_.budget = default_budget;
    status_.asked = work_.effective_draws;
    for (const int transitions : warm_up_stages) status_.expected += transitions;
    for (int c = 0; c < n_chains; ++c) chains_.emplace_back(density_, key, c + 1);
  }

  JointFit run() {
    start();
    warm_up();
    JointFit fit;
    fit.budget = work_.budget;
    int length = least_transitions;
    status_.warm_up = false;
    status_.expected = length;
    transitions_ = 0;
    for (int done = 0;;) {
      team_.run(n_chains, [&](int i) { sample(chains_[i], length - done); });
      done = length;
      measure(fit);
      const double bulk = std::min(fit.nation.ess_bulk, fit.strata.ess_bulk),
                   tail = std::min(fit.nation.ess_tail, fit.strata.ess_tail);
      const double least = std::min(bulk, 2 * tail);
      fit.converged =
          fit.nation.reached(work_.rhat, work_.effective_draws) && fit.strata.reached(rhat_published, work_.effective_draws);
      const bool hopeless = done >= patience && std::max(fit.nation.rhat, fit.strata.rhat) > rhat_hopeless;
      const double factor = 1.1 * work_.effective_draws / std::max(least, 1.0);
      const bool last = fit.converged || hopeless || fit.evaluations >= work_.budget;
      note_check(fit, done, last ? 1 : std::max(1.2, factor), least);
      if (last) break;
      length = static_cast<int>(done * std::min(2.0, std::max(1.2, factor))) + 1;
    }
    if (!fit.converged) fit.reason = shortfall(fit);
    keep(fit);
    return fit;
  }

 private:
  void report() {
    status_.done = transitions_ / n_chains;
    heartbeat_(status_);
  }

  // factor: how many times as many transitions are needed, by this check.
  void note_check(const JointFit& fit, int done, double factor, double least) {
    const double affordable = static_cast<double>(work_.budget) / static_cast<double>(fit.evaluations);
    ++status_.checks;
    status_.expected = static_cast<int>(done * std::max(1.0, std::min(factor, affordable)));
    status_.rhat = std::max(fit.nation.rhat, fit.strata.rhat);
    status_.effective = least;
    report();
  }

  static std::vector<double> deaths_by_stratum(const JointProblem& problem) {
    std::vector<double> deaths;
    double total = 0;
    for (const auto& counts : problem.counts) {
      deaths.push_back(0);
      for (double a : counts) deaths.back() += a;
      total += deaths.back();
    }
    for (double& d : deaths) d /= total;
    return deaths;
  }

  // Brings every chain's start to its mode, and the chains to the image of theirs that is closest to the first one's.
  void start() {
    const int n = density_.dense();
    std::vector<std::vector<double>> modes(n_chains);
    team_.run(n_chains,
              [&](int i) { modes[i] = climb(chains_[i].nuts.density(), chains_[i].nuts.position(), chains_[i].evaluations); });
    reference_ = density_.signature(modes[0].data());
    for (int i = 0; i < n_chains; ++i) {
      JointPosterior& density = chains_[i].nuts.density();
      modes[i] = density.relabelled(modes[i].data(), density.closest_labels(modes[i].data(), reference_));
      std::fill(modes[i].begin() + n, modes[i].end(), 0.0);
    }
    set_metric(modes);
    curvature_.assign(n * n, 0.0);  // at the modes: only to begin with
    n_curvatures_ = 0;
    for (JointChain& chain : chains_) chain.align(reference_);
  }

  // Adds the curvatures at these points, one a chain, and sets the metric to the inverse of the mean of all so far.
  void set_metric(const std::vector<std::vector<double>>& points) {
    const int n = density_.dense();
    std::vector<std::vector<double>> found(n_chains);
    team_.run(n_chains, [&](int i) { found[i] = curvature(chains_[i].nuts.density(), points[i], chains_[i].evaluations); });
    curvature_.resize(n * n, 0.0);
    n_curvatures_ += n_chains;
    for (const auto& one : found) {
      for (int i = 0; i < n * n; ++i) curvature_[i] += one[i];
    }
    std::vector<double> mean = curvature_;
    for (double& x : mean) x /= n_curvatures_;
    Metric metric(density_.dimension(), n);
    metric.triangle = root_of_inverse(mean, n);
    for (JointChain& chain : chains_) chain.nuts.set_metric(metric);
  }

  // Steps, metric and then steps again: the metric is the inverse of the mean curvature of the shared coordinates, first
  // at the modes, then where the chains are.
  void warm_up() {
    for (JointChain& chain : chains_) chain.step.restart(0.2);
    for (const int& transitions : warm_up_stages) {
      if (&transitions != warm_up_stages) add_curvatures();
      adapt(transitions);
    }
    step_size_ = 0;
    for (JointChain& chain : chains_) {
      step_size_ += chain.step.averaged() / n_chains;
      chain.acceptance = chain.divergences = 0;
    }
  }

  void adapt(int transitions) {
    team_.run(n_chains, [&](int i) {
      JointChain& chain = chains_[i];
      for (int t = 0; t < transitions && !team_.stopping(); ++t) {
        chain.advance(chain.step.current());
        chain.align(reference_);
        ++transitions_;
      }
    });
  }

  void add_curvatures() {
    std::vector<std::vector<double>> points;
    for (const JointChain& chain : chains_) points.push_back(chain.nuts.position());
    set_metric(points);
    for (JointChain& chain : chains_) chain.step.restart(chain.step.averaged());
  }

  void sample(JointChain& chain, int transitions) {
    for (int t = 0; t < transitions && !team_.stopping(); ++t) {
      chain.advance(step_size_ * jitter(chain.rng));
      chain.record();
      ++transitions_;
    }
  }

  // One transition in ten has a step down to a tenth: the way out of places that are stiffer than the rest.
  static double jitter(Rng& rng) {
    const double near = 0.9 + 0.2 * rng.uniform();
    return rng.uniform() < 0.1 ? near * exp_of(-2.3 * rng.uniform()) : near;
  }

  diagnostics::Diagnostics diagnose(int cause, int stratum) const {  // stratum -1: the nation
    diagnostics::Chains x;
    for (const JointChain& chain : chains_) {
      std::vector<double> values;
      for (std::size_t at = 0; at < chain.p.size(); at += s_ * c_) {
        double sum = stratum < 0 ? 0 : chain.p[at + stratum * c_ + cause];
        for (int s = 0; stratum < 0 && s < s_; ++s) sum += weight_[s] * chain.p[at + s * c_ + cause];
        values.push_back(sum);
      }
      x.push_back(values);
    }
    return diagnostics::diagnose(x);
  }

  void measure(JointFit& fit) {
    fit.nation = fit.strata = Quality();
    fit.by_stratum.assign(s_, Quality());
    for (int j = 0; j < c_; ++j) fit.nation.include(diagnose(j, -1));
    team_.run(s_, [&](int s) {
      for (int j = 0; j < c_; ++j) fit.by_stratum[s].include(diagnose(j, s));
    });
    for (const Quality& q : fit.by_stratum) fit.strata.include({q.rhat, q.ess_bulk, q.ess_tail});
    fit.evaluations = fit.divergences = 0;
    fit.acceptance = fit.relabelled = 0;
    fit.transitions = static_cast<int>(n_chains * chains_[0].phi.size());
    const double recorded = fit.transitions;
    for (const JointChain& chain : chains_) {
      fit.evaluations += chain.evaluations;
      fit.divergences += chain.divergences;
      fit.acceptance += chain.acceptance / recorded;
      fit.relabelled += chain.relabelled / recorded;
    }
  }

  std::string shortfall(const JointFit& fit) const {
    char text[200];
    const double rhat = std::max(fit.nation.rhat, fit.strata.rhat);
    std::snprintf(
        text, sizeof text,
        "%s R-hat %.3f (nation %.3f) and bulk effective size %.0f (nation %.0f) of %.0f asked for, after %lld evaluations",
        fit.publishable() ? "stopped at" : "the chains do not agree:", rhat, fit.nation.rhat, fit.strata.ess_bulk,
        fit.nation.ess_bulk, work_.effective_draws, fit.evaluations);
    return text;
  }

  // Evenly spaced draws, chain after chain.
  void keep(JointFit& fit) {
    const std::size_t n = chains_[0].phi.size(), total = n * n_chains;
    fit.draws = work_.draws;
    fit.distinct_draws = static_cast<int>(std::min<std::size_t>(work_.draws, total));
    for (int d = 0; d < work_.draws; ++d) {
      const std::size_t at = static_cast<std::size_t>((d + 0.5) * static_cast<double>(total) / work_.draws);
      const JointChain& chain = chains_[at / n];
      const auto copy = [&](const std::vector<double>& from, std::vector<double>& to) {
        const std::size_t width = from.size() / n;
        to.insert(to.end(), from.begin() + (at % n) * width, from.begin() + (at % n + 1) * width);
      };
      copy(chain.p, fit.p);
      copy(chain.m, fit.m);
      copy(chain.pi, fit.pi);
      copy(chain.phi, fit.phi);
      copy(chain.kappa, fit.kappa);
    }
    for (double x : fit.p) {
      if (!std::isfinite(x)) throw SamplingError("the sampler broke down: a drawn fraction is not finite");
    }
  }

  JointPosterior density_;
  JointWork work_;
  std::function<void(const JointStatus&)> heartbeat_;
  JointStatus status_;
  std::atomic<int> transitions_{0};  // of the warm-up, then of the sampling, over all chains
  Team team_;
  std::vector<double> weight_, reference_, curvature_;
  int c_, s_;
  double step_size_ = 0.1;
  int n_curvatures_ = 0;
  std::vector<JointChain> chains_;
};

}  // namespace vacal::joint
