#include <cmath>
#include <limits>
#include <vector>

#include "checks.hpp"
#include "core/joint_misfit.hpp"
#include "problems.hpp"

namespace {

using checks::expect_near;
using problems::algorithm;
using vacal::joint::JointFit;
using vacal::joint::JointProblem;

// A fit of one stratum whose fractions and matrix are known, so that counts are multinomial with probabilities q.
JointFit known(const std::vector<double>& p, const std::vector<double>& m) {
  JointFit fit;
  fit.draws = 1;
  fit.p = p;
  fit.m = m;
  fit.kappa = {std::numeric_limits<double>::infinity()};
  return fit;
}

double binomial(int a, int n, double q) {
  return std::exp(std::lgamma(n + 1) - std::lgamma(a + 1) - std::lgamma(n - a + 1) + a * std::log(q) + (n - a) * std::log(1 - q));
}

}  // namespace

TEST("p-values of the misfit are uniform for counts of the model, where structural zeros close VA causes") {
  const std::vector<double> m = {0.9, 0.1, 0, 0, 0.2, 0.8, 0, 0, 0.5, 0.5, 0, 0, 0.4, 0.6, 0, 0};
  const std::vector<double> p = {0.3, 0.3, 0.2, 0.2};
  const int n = 2000;
  const double q = 0.3 * 0.9 + 0.3 * 0.2 + 0.2 * 0.5 + 0.2 * 0.4;
  double mean = 0, below_5 = 0, below_20 = 0;
  for (int a = 0; a <= n; ++a) {
    const double probability = binomial(a, n, q);
    if (probability < 1e-12) continue;
    JointProblem problem;
    problem.counts = {{static_cast<double>(a), static_cast<double>(n - a), 0, 0}};
    problem.pooled = problems::problem({algorithm(1, 1, problem.counts[0])});
    problem.pooled.algorithms[0].matrix = m;
    const double p_value = vacal::joint::find_misfit(problem, known(p, m)).front().p_value;
    mean += probability * p_value;
    below_5 += p_value < 0.05 ? probability : 0;
    below_20 += p_value < 0.2 ? probability : 0;
  }
  expect_near(mean, 0.5, 0.02, "the mean p-value");
  expect_near(below_5, 0.05, 0.01, "p-values below 0.05");
  expect_near(below_20, 0.2, 0.02, "p-values below 0.2");
}

TEST("where a matrix gives one VA cause only, counts cannot misfit") {
  const std::vector<double> m = {1, 0, 1, 0};
  JointProblem problem;
  problem.counts = {{40, 0}};
  problem.pooled = problems::problem({algorithm(1, 1, problem.counts[0])});
  problem.pooled.algorithms[0].matrix = m;
  expect_near(vacal::joint::find_misfit(problem, known({0.3, 0.7}, m)).front().p_value, 1, 0, "the p-value");
}

TEST("the tail of the chi-squared distribution is that of its closed forms") {
  for (double x : {0.01, 0.5, 2.0, 9.0, 40.0}) {
    expect_near(vacal::joint::chi_squared_tail(x, 1), std::erfc(std::sqrt(x / 2)), 1e-12, "one degree of freedom");
    expect_near(vacal::joint::chi_squared_tail(x, 2), std::exp(-x / 2), 1e-12, "two degrees of freedom");
  }
}
