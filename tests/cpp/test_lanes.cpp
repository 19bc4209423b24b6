#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "checks.hpp"
#include "core/joint_lanes.hpp"
#include "core/rng.hpp"

namespace {

using checks::expect;
using checks::expect_near;
using vacal::Rng;
using vacal::joint::Modes;
using vacal::joint::Scatter;
using vacal::joint::SharedGradient;
using vacal::joint::SharedPoint;
using vacal::joint::StrataLanes;
using Counts = std::vector<std::vector<double>>;

// What follows from b is set with it.
void set_b(SharedPoint& shared, const std::vector<double>& b) {
  shared.b = b;
  shared.firm.clear();
  shared.bends.clear();
  shared.firm_sum = 0;
  for (double x : b) {
    shared.firm.push_back(std::sqrt(x * x + 0.25));
    shared.firm_sum += shared.firm.back();
    shared.bends.emplace_back(x);
  }
}

// Two algorithms and three causes; the first algorithm's counts scatter.
SharedPoint three_causes() {
  SharedPoint shared;
  shared.phi = 12;
  shared.kappa = {150, std::numeric_limits<double>::infinity()};
  shared.m = {0.7, 0.2, 0.1, 0.1, 0.6, 0.3, 0.25, 0.25, 0.5, 0.9, 0.1, 0, 0.2, 0.7, 0.1, 0.3, 0.1, 0.6};
  set_b(shared, {0.3, 7.2, 4.5});
  return shared;
}
const std::vector<Scatter> scattered = {{0, 2}};

Counts five_strata() {
  return {{30, 50, 20, 25, 45, 30}, {0, 3, 1, 0, 0, 0}, {0, 0, 0, 0, 0, 0}, {900, 10, 10, 800, 50, 60}, {5, 5, 5, 9, 1, 1}};
}

std::vector<double> random_z(std::size_t n, std::uint64_t stream) {
  Rng rng(vacal::Key{}, stream);
  std::vector<double> z(n);
  for (double& x : z) x = rng.normal();
  return z;
}

double value_at(StrataLanes& strata, const SharedPoint& shared, const std::vector<double>& z) {
  Modes modes = strata.modes();
  SharedGradient by = strata.gradient();
  std::vector<double> by_z(z.size());
  double value = 0;
  expect(strata.evaluate(shared, z.data(), modes, value, by_z.data(), by), "the density is finite");
  return value;
}

double difference(const std::function<double(double)>& value, double h) { return (value(h) - value(-h)) / (2 * h); }

}  // namespace

TEST("lanes of strata: gradients by coordinates and by what strata share are those of finite differences") {
  StrataLanes strata(five_strata(), 3, scattered);
  const SharedPoint shared = three_causes();
  const std::vector<double> z = random_z(15, 1);
  Modes modes = strata.modes();
  SharedGradient by = strata.gradient();
  std::vector<double> by_z(15);
  double value = 0;
  strata.evaluate(shared, z.data(), modes, value, by_z.data(), by);
  const auto compare = [](double found, double numeric, const std::string& what) {
    expect_near(found, numeric, 2e-3 * (1 + std::fabs(numeric)), what);
  };
  for (int i = 0; i < 15; ++i) {
    compare(by_z[i],
            difference(
                [&](double h) {
                  std::vector<double> moved = z;
                  moved[i] += h;
                  return value_at(strata, shared, moved);
                },
                1e-3),
            "by z");
  }
  const auto by_shared = [&](const std::function<void(SharedPoint&, double)>& move) {
    return difference(
        [&](double h) {
          SharedPoint moved = shared;
          move(moved, h);
          return value_at(strata, moved, z);
        },
        1e-3);
  };
  compare(by.by_phi, by_shared([](SharedPoint& s, double h) { s.phi += h; }), "by phi");
  compare(by.by_log_kappa[0], by_shared([](SharedPoint& s, double h) { s.kappa[0] *= std::exp(h); }), "by log kappa");
  for (int i = 0; i < 3; ++i) {
    compare(by.by_b[i], by_shared([i](SharedPoint& s, double h) {
              std::vector<double> b = s.b;
              b[i] += h;
              set_b(s, b);
            }),
            "by b");
  }
  for (int j = 0; j < 18; ++j) {
    if (shared.m[j] > 0) compare(by.by_m[j], by_shared([j](SharedPoint& s, double h) { s.m[j] += h; }), "by a rate");
  }
}

// With the identity as matrix, p_s is integrated out in closed form: counts are Dirichlet-multinomial.
TEST("lanes of strata: the density integrates to that of the Dirichlet-multinomial") {
  const auto integral = [](const std::vector<double>& counts, const std::vector<double>& b) {
    StrataLanes strata({counts}, 2, {});
    SharedPoint shared;
    shared.phi = b[0] + b[1];
    shared.kappa = {std::numeric_limits<double>::infinity()};
    shared.m = {1, 0, 0, 1};
    set_b(shared, b);
    double sum = 0;
    for (double x = -7; x <= 7; x += 0.25) {
      for (double y = -7; y <= 7; y += 0.25) sum += std::exp(value_at(strata, shared, {x, y}));
    }
    return std::log(sum);
  };
  const auto exact = [](const std::vector<double>& a, const std::vector<double>& b) {
    const double phi = b[0] + b[1], n = a[0] + a[1];
    return std::lgamma(phi) - std::lgamma(phi + n) + std::lgamma(b[0] + a[0]) - std::lgamma(b[0]) + std::lgamma(b[1] + a[1]) -
           std::lgamma(b[1]);
  };
  const double reference = integral({0, 0}, {3, 5}) - exact({0, 0}, {3, 5});
  for (const auto& b : std::vector<std::vector<double>>{{3, 5}, {0.4, 2}, {20, 1}}) {
    for (const auto& a : std::vector<std::vector<double>>{{0, 0}, {4, 9}, {0, 30}}) {
      expect_near(integral(a, b) - exact(a, b), reference, 0.01, "the log of the integral");
    }
  }
}

TEST("lanes of strata: strata side by side are strata one by one, and empty lanes add nothing") {
  const Counts counts = five_strata();
  const SharedPoint shared = three_causes();
  const std::vector<double> z = random_z(15, 2);
  StrataLanes strata(counts, 3, scattered);
  double sum = 0;
  for (int s = 0; s < 5; ++s) {
    StrataLanes alone({counts[s]}, 3, scattered);
    sum += value_at(alone, shared, std::vector<double>(z.begin() + 3 * s, z.begin() + 3 * s + 3));
  }
  expect_near(value_at(strata, shared, z), sum, 1e-4, "the log-density");
}

TEST("lanes of strata: coordinates and logs are each other's inverse") {
  StrataLanes strata(five_strata(), 3, scattered);
  const SharedPoint shared = three_causes();
  const std::vector<double> z = random_z(15, 3);
  Modes modes = strata.modes();
  const std::vector<double> x = strata.logs(shared, z.data(), modes);
  std::vector<double> back(15);
  strata.coordinates(shared, x, modes, back.data());
  for (int i = 0; i < 15; ++i) expect_near(back[i], z[i], 1e-5 * (1 + std::fabs(z[i])), "a coordinate");
}

TEST("lanes of strata: where modes were found before changes where Newton's method starts, and no more") {
  StrataLanes strata(five_strata(), 3, scattered);
  const SharedPoint shared = three_causes();
  const std::vector<double> z = random_z(15, 4), elsewhere = random_z(15, 5);
  Modes used = strata.modes();
  SharedGradient by = strata.gradient();
  std::vector<double> by_z(15);
  double ignored = 0, value = 0;
  SharedPoint other = shared;
  set_b(other, {4, 4, 4});
  strata.evaluate(other, elsewhere.data(), used, ignored, by_z.data(), by);
  strata.evaluate(shared, z.data(), used, value, by_z.data(), by);
  expect_near(value, value_at(strata, shared, z), 1e-4, "the log-density");
}

TEST("lanes of strata: a point without a finite density is told, not computed on") {
  StrataLanes strata({{5, 5}}, 2, {});
  SharedPoint shared;
  shared.phi = 2;
  shared.kappa = {std::numeric_limits<double>::infinity()};
  shared.m = {1, 0, 0, 1};
  set_b(shared, {1, 1});
  Modes modes = strata.modes();
  SharedGradient by = strata.gradient();
  const double z[] = {std::numeric_limits<double>::quiet_NaN(), 0};
  double by_z[2], value = 0;
  expect(!strata.evaluate(shared, z, modes, value, by_z, by), "not finite");
}
