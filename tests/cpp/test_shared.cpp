#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "checks.hpp"
#include "core/joint_shared.hpp"
#include "problems.hpp"

namespace {

using checks::expect;
using checks::expect_near;
using problems::algorithm;
using vacal::Layout;
using vacal::Rng;
using vacal::joint::Scatter;
using vacal::joint::SharedCoordinates;
using vacal::joint::SharedGradient;
using vacal::joint::SharedState;

// Two algorithms and three causes; one matrix has parameters below 1 and a structural zero. Many deaths straighten columns.
SharedCoordinates coordinates(double deaths) {
  const auto layout = std::make_shared<const Layout>(vacal::make_layout(
      problems::problem({algorithm(16, 3, {60, 30, 20}), problems::with_zeros(algorithm(0.8, 0.3, {40, 40, 30}), {1})})));
  return SharedCoordinates(layout, vacal::joint::find_scatter(*layout), deaths);
}

std::vector<double> random_point(const SharedCoordinates& shared, std::uint64_t stream) {
  Rng rng(vacal::Key{}, stream);
  std::vector<double> t(shared.size());
  for (double& x : t) x = 0.7 * rng.normal();
  return t;
}

SharedState state_at(const SharedCoordinates& shared, const std::vector<double>& t) {
  SharedState at = shared.state();
  shared.place(t.data(), at);
  return at;
}

}  // namespace

TEST("shared coordinates: the gradient is that of finite differences, straightened columns or not") {
  for (double deaths : {0.0, 500.0}) {
    const SharedCoordinates shared = coordinates(deaths);
    const std::vector<double> t = random_point(shared, 3);
    Rng rng(vacal::Key{}, 4);
    SharedState at = state_at(shared, t);
    SharedGradient by;
    by.by_phi = 0.01;
    std::vector<double> by_log_rate(at.log_rate.size());
    for (std::size_t i = 0; i < at.point.b.size(); ++i) by.by_b.push_back(0.3 * rng.normal());
    for (std::size_t i = 0; i < at.point.m.size(); ++i) by.by_m.push_back(rng.normal());
    for (int v = 0; v < 2; ++v) by.by_log_kappa.push_back(rng.normal());
    for (double& x : by_log_rate) x = rng.normal();
    // The log-prior and something linear in what the strata share, whose gradient by that is `by`.
    const auto value = [&](const std::vector<double>& x) {
      const SharedState s = state_at(shared, x);
      double sum = s.log_prior + by.by_phi * s.point.phi;
      for (std::size_t i = 0; i < by.by_b.size(); ++i) sum += by.by_b[i] * s.point.b[i];
      for (std::size_t i = 0; i < by.by_m.size(); ++i) sum += by.by_m[i] * s.point.m[i];
      for (int v = 0; v < 2; ++v) sum += by.by_log_kappa[v] * std::log(s.point.kappa[v]);
      for (std::size_t i = 3; i < by_log_rate.size(); ++i) sum += by_log_rate[i] * s.log_rate[i];
      return sum;
    };
    std::vector<double> gradient(t.size());
    shared.pull_back(t.data(), at, by, by_log_rate, gradient.data());
    for (std::size_t i = 0; i < t.size(); ++i) {
      std::vector<double> above = t, below = t;
      above[i] += 1e-5;
      below[i] -= 1e-5;
      const double numeric = (value(above) - value(below)) / 2e-5;
      expect_near(gradient[i], numeric, 1e-5 * (1 + std::fabs(numeric)), "coordinate " + std::to_string(i));
    }
  }
}

TEST("shared coordinates: a point does not depend on what was placed before") {
  const SharedCoordinates shared = coordinates(500);
  const std::vector<double> a = random_point(shared, 5), b = random_point(shared, 6);
  const SharedState fresh = state_at(shared, a);
  SharedState used = state_at(shared, b);
  shared.place(a.data(), used);
  expect(used.log_prior == fresh.log_prior && used.point.m == fresh.point.m && used.point.b == fresh.point.b, "the same bits");
}

TEST("shared coordinates: rows of the matrices and pi are fractions, and phi and kappa have their priors' scale") {
  const SharedCoordinates shared = coordinates(500);
  SharedState at = state_at(shared, std::vector<double>(shared.size(), 0.0));
  expect_near(at.point.phi, std::exp(3), 1e-9, "phi");
  expect_near(at.point.kappa[1], std::exp(7), 1e-9, "kappa");
  expect_near(at.point.b[0] + at.point.b[1] + at.point.b[2], at.point.phi, 1e-9, "sum of b");
  for (int row = 0; row < 6; ++row) {
    expect_near(at.point.m[3 * row] + at.point.m[3 * row + 1] + at.point.m[3 * row + 2], 1, 1e-12, "a row's sum");
  }
  expect(at.point.m[9 + 1] == 0, "a structural zero stays");
}

TEST("shared coordinates: relabelling exchanges causes in pi and in the rows of the matrices") {
  const auto layout = std::make_shared<const Layout>(
      vacal::make_layout(problems::problem({algorithm(9, 2, {60, 30, 20}), algorithm(2, 1, {40, 40, 30})})));
  for (double deaths : {0.0, 500.0}) {
    const SharedCoordinates shared(layout, {}, deaths);
    std::vector<double> t = random_point(shared, 7);
    const SharedState before = state_at(shared, t);
    const std::vector<int> labels = {2, 0, 1};
    shared.relabel(before, labels, t.data());
    const SharedState after = state_at(shared, t);
    for (int i = 0; i < 3; ++i) {
      expect_near(after.point.b[labels[i]], before.point.b[i], 1e-7 * before.point.b[i], "b");
      for (int k = 0; k < 2; ++k) {
        for (int j = 0; j < 3; ++j) {
          expect_near(after.point.m[(3 * k + labels[i]) * 3 + j], before.point.m[(3 * k + i) * 3 + j], 1e-9, "a rate");
        }
      }
    }
  }
}

TEST("shared coordinates: starting points have finite densities and differ") {
  const SharedCoordinates shared = coordinates(500);
  Rng rng(vacal::Key{}, 8);
  std::vector<double> first(shared.size()), second(shared.size());
  shared.start(rng, first.data());
  shared.start(rng, second.data());
  expect(first != second, "two starts differ");
  expect(std::isfinite(state_at(shared, first).log_prior), "the density is finite");
}
