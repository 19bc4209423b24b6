#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

// Summaries of posterior draws, and rounding of deaths.
namespace vacal {

// Sample quantile of sorted values by linear interpolation (type 7 of Hyndman and Fan, R's default).
inline double quantile_sorted(const std::vector<double>& sorted, double probability) {
  const double index = probability * static_cast<double>(sorted.size() - 1);
  const std::size_t low = static_cast<std::size_t>(index);
  const std::size_t high = std::min(low + 1, sorted.size() - 1);
  const double h = index - static_cast<double>(low);
  return h == 0 || sorted[low] == sorted[high] ? sorted[low] : (1 - h) * sorted[low] + h * sorted[high];
}

// Ends of the central 95% interval, which the disagreement of algorithms is judged by.
constexpr double interval_low = 0.025, interval_high = 0.975;

struct ColumnSummary {
  double mean = 0, sd = 0, low = 0, high = 0;  // low, high: ends of the central 95% interval
  std::vector<double> quantiles;
};

// Summary of one column of draws (n x width, row-major).
inline ColumnSummary summarise_column(const std::vector<double>& draws, int width, int column,
                                      const std::vector<double>& probabilities) {
  std::vector<double> x;
  for (std::size_t at = column; at < draws.size(); at += width) x.push_back(draws[at]);
  const double n = static_cast<double>(x.size());
  ColumnSummary out;
  out.mean = std::accumulate(x.begin(), x.end(), 0.0) / n;
  double squares = 0;
  for (const double v : x) squares += (v - out.mean) * (v - out.mean);
  out.sd = std::sqrt(squares / (n - 1));
  std::sort(x.begin(), x.end());
  out.low = quantile_sorted(x, interval_low);
  out.high = quantile_sorted(x, interval_high);
  for (const double p : probabilities) out.quantiles.push_back(quantile_sorted(x, p));
  return out;
}

// Whole numbers proportional to the weights that sum to the total, by largest remainders; equal remainders are
// served in order.
inline std::vector<double> round_to_total(const std::vector<double>& weights, double total) {
  const double sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  std::vector<double> out, remainder;
  double left = total;
  for (const double w : weights) {
    const double share = sum > 0 ? w / sum * total : 0;
    out.push_back(std::floor(share));
    remainder.push_back(share - out.back());
    left -= out.back();
  }
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return remainder[a] > remainder[b]; });
  for (std::size_t i = 0; left > 0.5 && i < order.size(); ++i, left -= 1) out[order[i]] += 1;
  return out;
}

// Stable 64-bit hash of a text (FNV-1a): keys random numbers to strata and algorithms by name.
inline std::uint64_t hash_text(const std::string& text) {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 1099511628211ULL;
  return h;
}

}  // namespace vacal
