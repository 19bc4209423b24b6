#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "expectation.hpp"

namespace vacal {

namespace detail {

inline double distance(const std::vector<double>& p, const std::vector<double>& q) {
  double largest = 0;
  for (std::size_t j = 0; j < p.size(); ++j) largest = std::max(largest, std::fabs(p[j] - q[j]));
  return largest;
}

// The highest of every group with like p, highest group first; those far below the first are left out.
inline std::vector<Expectation> distinct_modes(const std::vector<Expectation>& found) {
  constexpr double rival = 7, apart = 0.1;  // of the log-density; of a fraction
  std::vector<std::pair<double, std::size_t>> order;
  for (std::size_t i = 0; i < found.size(); ++i) order.push_back({-found[i].objective(), i});
  std::sort(order.begin(), order.end());
  std::vector<Expectation> modes;
  for (const auto& [depth, i] : order) {
    if (depth > order.front().first + rival) break;
    const std::vector<double>& p = found[i].p();
    const auto is_near = [&p](const Expectation& mode) { return distance(mode.p(), p) <= apart; };
    if (std::none_of(modes.begin(), modes.end(), is_near)) modes.push_back(found[i]);
  }
  return modes;
}

}  // namespace detail

// Modes of the posterior, highest first: where expectation-maximisation leads from draws from the prior, of those
// within 7 of the highest log-density. The search counts few deaths: it is quick then, and misses no rival.
inline std::vector<Expectation> find_modes(const Layout& layout, Rng& rng) {
  constexpr int n_candidates = 32, n_steps = 60;
  constexpr double few = 300;
  std::vector<Expectation> found;
  std::vector<double> log_y(layout.size());
  for (int i = 0; i < n_candidates; ++i) {
    for (int c = 0; c < layout.size(); ++c) log_y[c] = rng.log_gamma(layout.alpha[c]);
    found.emplace_back(layout);
    found.back().set_shares(log_y);
    found.back().limit_deaths(few);
    found.back().iterate(n_steps);
  }
  std::vector<Expectation> modes = detail::distinct_modes(found);
  for (Expectation& mode : modes) {
    mode.limit_deaths(std::numeric_limits<double>::infinity());
    mode.iterate(n_steps);
  }
  return modes;
}

}  // namespace vacal
