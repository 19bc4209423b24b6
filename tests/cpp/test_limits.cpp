#include <cmath>
#include <string>
#include <vector>

#include "checks.hpp"
#include "core/joint_posterior.hpp"
#include "core/sampler.hpp"
#include "problems.hpp"

namespace {

using problems::algorithm;
using problems::fixed;
using problems::problem;
using vacal::SamplingError;
using vacal::joint::JointPosterior;
using vacal::joint::JointProblem;

// Two strata and two algorithms with known matrices.
JointProblem many_causes(int n) {
  std::vector<double> counts(2 * n);
  for (int j = 0; j < 2 * n; ++j) counts[j] = 3 + j % 7;
  std::vector<double> pooled(counts.begin(), counts.begin() + n);
  JointProblem out;
  out.pooled = problem({fixed(algorithm(30, 0.5, pooled)), fixed(algorithm(20, 1, pooled))});
  out.counts = {counts, counts};
  return out;
}

}  // namespace

TEST("a joint model of the most causes that are allowed is evaluated within its arrays") {
  JointPosterior density(many_causes(vacal::most_causes));
  vacal::Rng rng(vacal::Key{}, 1);
  const std::vector<double> t = density.start(rng);
  std::vector<double> gradient(t.size());
  checks::expect(std::isfinite(density.evaluate(t.data(), gradient.data())), "the density is finite");
  const std::vector<int> labels = density.draw_labels(t.data(), rng);
  const vacal::joint::JointPoint at = density.point(t.data(), labels);
  double sum = 0;
  for (double p : at.p) sum += p;
  checks::expect_near(sum, 2, 1e-9, "the fractions of two strata");
  const std::vector<double> same = density.relabelled(t.data(), density.closest_labels(t.data(), density.signature(t.data())));
  for (int i = 0; i < density.dimension(); ++i) checks::expect_near(same[i], t[i], 1e-4 * (1 + std::fabs(t[i])), "a coordinate");
}

TEST("one cause more than is allowed is refused, with the numbers") {
  for (int n : {vacal::most_causes + 1, 80}) {
    const std::string wanted = "a problem takes at most 64 causes, not " + std::to_string(n) + ": merge some";
    checks::expect(checks::error_of<SamplingError>([&] { JointPosterior density(many_causes(n)); }) == wanted,
                   "joint: " + wanted);
    const std::string alone = checks::error_of<SamplingError>([&] { vacal::sample(many_causes(n).pooled, {}, {}, [] {}); });
    checks::expect(alone == wanted, "a stratum alone: " + wanted);
  }
}
