// Problems that break samplers: each must give draws in the simplex and finite diagnostics, or be refused with a
// reason; a fit that falls short must say so. Run under the sanitizers by script/sanitize.

#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "core/joint.hpp"
#include "core/sampler.hpp"
#include "problems.hpp"

namespace {

using problems::algorithm;
using problems::fixed;
using problems::problem;
using problems::with_zeros;
using problems::within;
using vacal::AlgorithmData;
using vacal::Fit;
using vacal::Problem;
using vacal::Work;

std::string flaw(const Fit& fit, const Problem& p, const Work& work) {
  if (fit.p.size() != static_cast<std::size_t>(work.draws) * p.n_causes) return "wrong number of draws";
  for (int d = 0; d < work.draws; ++d) {
    double sum = 0;
    for (int j = 0; j < p.n_causes; ++j) {
      const double x = fit.p[d * p.n_causes + j];
      if (!(x >= 0 && x <= 1)) return "a fraction outside of [0, 1]";
      sum += x;
    }
    if (std::fabs(sum - 1) > 1e-9) return "fractions that do not add up to 1";
  }
  if (!std::isfinite(fit.rhat + fit.ess_bulk + fit.ess_tail + fit.acceptance)) return "diagnostics that are not finite";
  if (fit.sampler.empty() || fit.reason.empty()) return "no word on the sampler";
  if (fit.converged && (fit.rhat > 1.01 || fit.ess_bulk < work.effective_draws)) return "converged, but it is not";
  return "";
}

int n_flaws = 0;

void run(const char* name, const Problem& p, bool must_be_refused = false, long long budget = 300000) {
  Work work;
  work.draws = 200;
  work.effective_draws = 200;
  work.budget = budget;
  std::string found, told;
  try {
    const Fit fit = vacal::sample(p, work, {1, 2, 3}, [] {});
    found = must_be_refused ? "not refused" : flaw(fit, p, work);
    told = fit.sampler + (fit.converged ? ", converged: " : ", not converged: ") + fit.reason;
  } catch (const vacal::SamplingError& error) {
    if (!must_be_refused) found = "refused";
    told = error.what();
  }
  if (!found.empty()) ++n_flaws;
  std::printf("%-44s %s  (%s)\n", name, found.empty() ? "ok" : ("FLAW: " + found).c_str(), told.c_str());
}

std::vector<double> rising(int n) {
  std::vector<double> x(n);
  for (int i = 0; i < n; ++i) x[i] = 10 + 7 * i;
  return x;
}

void few_deaths() {
  run("no deaths", problem({algorithm(10, 2, {0, 0, 0, 0})}));
  run("no deaths, two algorithms", problem({algorithm(10, 2, {0, 0, 0}), algorithm(10, 2, {0, 0, 0})}));
  run("one algorithm of two without deaths", problem({algorithm(10, 2, {0, 0, 0}), algorithm(10, 2, {9, 5, 2})}));
  run("one death", problem({algorithm(10, 2, {1, 0, 0, 0})}));
  run("one death each", problem({algorithm(10, 2, {1, 0, 0, 0}), algorithm(10, 2, {0, 1, 0, 0})}));
  run("two causes", problem({algorithm(10, 3, {50, 30}), algorithm(10, 3, {500, 3})}));
}

void one_sided() {
  run("all deaths in one cause", problem({algorithm(10, 2, {500, 0, 0, 0})}));
  run("a million deaths in one cause", problem({algorithm(40, 5, {1e6, 0, 0, 0, 0, 0, 0, 0, 0})}));
  run("a million deaths in one cause, ensemble", problem({algorithm(10, 2, {1e6, 0, 0, 0}), algorithm(10, 2, {1e6, 0, 0, 0})}));
  run("a million deaths", problem({algorithm(10, 2, {4e5, 3e5, 2e5, 1e5}), algorithm(20, 2, {3e5, 3e5, 2e5, 2e5})}));
  run("algorithms that contradict each other",
      problem({algorithm(50, 1, {900, 50, 30, 20}), algorithm(50, 1, {20, 30, 50, 900})}));
  run("algorithms that contradict, 100,000 deaths",
      problem({algorithm(50, 1, {9e4, 5e3, 3e3, 2e3}), algorithm(50, 1, {2e3, 3e3, 5e3, 9e4})}));
}

void large() {
  run("30 causes", problem({algorithm(30, 0.5, rising(30))}), false, 20000);
  run("30 causes, ensemble", problem({algorithm(30, 0.5, rising(30)), algorithm(20, 0.7, rising(30))}), false, 20000);
  run("10 algorithms", problem(std::vector<AlgorithmData>(10, algorithm(10, 1.5, {100, 200, 300, 150, 50, 100}))), false, 50000);
}

void matrices() {
  const std::vector<double> a = {300, 250, 250, 200};
  run("matrix near singular", problem({algorithm(1001, 1000, a)}));
  run("fixed matrix near singular", problem({fixed(algorithm(0.2501, 0.2500, a))}));
  run("fixed matrix singular", problem({fixed(algorithm(1, 1, a))}));
  run("fixed matrices", problem({fixed(algorithm(3, 1, a)), fixed(algorithm(5, 1, a))}));
  run("identity, fixed", problem({fixed(algorithm(1, 0, {3e5, 2e5, 1e5, 5e4})), fixed(algorithm(1, 0, {3, 2, 1, 5}))}));
  run("structural zeros", problem({with_zeros(algorithm(10, 2, a), {4, 8, 9, 12, 13, 14}), algorithm(10, 2, a)}));
  run("rows with one component", problem({with_zeros(algorithm(10, 2, a), {1, 2, 3, 4, 6, 7}), algorithm(10, 2, a)}));
  run("a column that nothing reaches", problem({with_zeros(algorithm(10, 2, {5, 5, 5}), {2, 5, 8})}), true);
  run("a row without entries", problem({with_zeros(algorithm(10, 2, {5, 5, 5}), {0, 1, 2})}), true);
  run("blocks that differ", problem({within(algorithm(10, 2, a), {0, 1, 1, 1}), within(algorithm(10, 2, a), {1, 1, 0, 1}),
                                     within(algorithm(10, 2, a), {0, 0, 0, 0})}));
}

void parameters() {
  const std::vector<double> a = {30, 20, 10, 5};
  run("parameters 1e-3", problem({algorithm(1e-3, 1e-3, a)}));
  run("parameters 1e-3, ensemble", problem({algorithm(1e-3, 1e-3, a), algorithm(1e-3, 1e-3, a)}));
  run("parameters 1 and 1e-3", problem({algorithm(1, 1e-3, a), algorithm(1, 1e-3, a)}));
  run("parameters 1e6", problem({algorithm(3e6, 1e6, a)}));
  run("parameters 1e6, ensemble", problem({algorithm(3e6, 1e6, a), algorithm(1e6, 1e5, a)}));
  run("parameters 1e-3 to 1e6", problem({algorithm(1e6, 1e-3, a), algorithm(1e-3, 1e6, a)}));
  run("prior of p 1e-2", problem({algorithm(10, 2, a), algorithm(10, 2, a)}, {1e-2, 1e-2, 1, 1}));
  run("prior of p 1e4", problem({algorithm(10, 2, a)}, {1e4, 1e4, 1e4, 1e4}));
  run("prior of p zero", problem({algorithm(10, 2, a)}, {0, 1, 1, 1}), true);
  run("a negative count", problem({algorithm(10, 2, {30, -1, 10, 5})}), true);
  run("a count that is no number", problem({algorithm(10, 2, {30, std::nan(""), 10, 5})}), true);
  run("a tiny budget", problem({algorithm(10, 2, a), algorithm(10, 2, a)}), false, 1000);
}

// One joint fit of the strata's counts (algorithm after algorithm) with the matrices of these algorithms.
void run_joint(const char* name, std::vector<AlgorithmData> algorithms, const std::vector<std::vector<double>>& strata,
               bool must_be_refused = false) {
  vacal::joint::JointProblem data;
  const std::size_t n = algorithms.front().counts.size();
  for (std::size_t k = 0; k < algorithms.size(); ++k) {
    algorithms[k].counts.assign(n, 0.0);
    for (const auto& a : strata) {
      for (std::size_t j = 0; j < n; ++j) algorithms[k].counts[j] += a[k * n + j];
    }
  }
  data.pooled = problem(std::move(algorithms));
  data.counts = strata;
  const vacal::joint::JointWork work{200, 50, 20000, 2};
  std::string found, told;
  try {
    const vacal::joint::JointFit fit =
        vacal::joint::JointSampler(data, work, {1, 2, 3}, [](const vacal::joint::JointStatus&) {}).run();
    if (must_be_refused) found = "not refused";
    for (std::size_t at = 0; at < fit.p.size(); at += n) {
      double sum = 0;
      for (std::size_t j = 0; j < n; ++j) sum += fit.p[at + j];
      if (!(std::fabs(sum - 1) < 1e-9)) found = "fractions that do not add up to 1";
    }
    if (fit.p.size() != 200 * strata.size() * n) found = "wrong number of draws";
    for (double x : fit.phi) found = std::isfinite(x) ? found : "phi that is not finite";
    if (fit.publishable() && !(fit.nation.rhat >= 0.9)) found = "published without an R-hat";
    vacal::joint::find_misfit(data, fit);
    told = fit.converged ? "converged" : fit.reason;
  } catch (const vacal::SamplingError& error) {
    if (!must_be_refused) found = "refused";
    told = error.what();
  }
  if (!found.empty()) ++n_flaws;
  std::printf("joint: %-37s %s  (%s)\n", name, found.empty() ? "ok" : ("FLAW: " + found).c_str(), told.c_str());
}

void joint() {
  const AlgorithmData a = algorithm(10, 2, {0, 0, 0}), b = algorithm(5, 3, {0, 0, 0});
  run_joint("one stratum", {a}, {{9, 5, 2}});
  run_joint("strata without deaths", {a}, {{9, 5, 2}, {0, 0, 0}, {0, 0, 1}});
  run_joint("two algorithms, one without deaths here", {a, b}, {{9, 5, 2, 0, 0, 0}, {0, 0, 0, 4, 5, 6}});
  run_joint("strata that are the same", {a}, std::vector<std::vector<double>>(6, {3900, 100, 10}));
  run_joint("strata that are opposites", {a}, {{1e5, 0, 0}, {0, 1e5, 0}, {0, 0, 1e5}});
  run_joint("algorithms that contradict each other", {a, b}, std::vector<std::vector<double>>(4, {900, 9, 9, 9, 9, 900}));
  run_joint("a matrix that is known", {fixed(a), b}, {{90, 50, 20, 80, 60, 30}, {40, 50, 60, 40, 50, 60}});
  run_joint("structural zeros", {with_zeros(a, {1, 2, 6})}, {{90, 50, 20}, {40, 50, 60}});
  run_joint("a cause outside of the block", {within(a, {1, 1, 0}), b}, {{90, 50, 20, 80, 60, 30}, {40, 50, 60, 40, 50, 60}});
  run_joint("parameters 0.05", {algorithm(0.05, 0.05, {0, 0, 0})}, {{90, 50, 20}, {40, 50, 60}});
  run_joint("counts of samples", {a}, {{0.3, 0.5, 0.1}, {1.5, 0.2, 0}});
  for (int n : {vacal::most_causes + 1, 80}) {
    run_joint((std::to_string(n) + " causes").c_str(), {fixed(algorithm(30, 0.5, rising(n)))}, {rising(n)}, true);
    run((std::to_string(n) + " causes").c_str(), problem({fixed(algorithm(30, 0.5, rising(n)))}), true);
  }
  run_joint("two causes", {algorithm(10, 2, {0, 0})}, std::vector<std::vector<double>>(3, {50, 3}));
}

}  // namespace

int main() {
  few_deaths();
  one_sided();
  large();
  matrices();
  parameters();
  joint();
  std::printf("%d flaws\n", n_flaws);
  return n_flaws > 0;
}
