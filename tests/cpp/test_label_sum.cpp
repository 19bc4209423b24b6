#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "checks.hpp"
#include "core/joint_label_sum.hpp"
#include "problems.hpp"

namespace {

using checks::expect;
using checks::expect_near;
using problems::algorithm;
using problems::with_zeros;
using vacal::Layout;
using vacal::MatrixRow;
using vacal::Rng;
using vacal::SamplingError;
using vacal::joint::LabelSum;

Layout layout_of(std::vector<vacal::AlgorithmData> algorithms) {
  return vacal::make_layout(problems::problem(std::move(algorithms)));
}

// Three causes, two algorithms, all rows random.
Layout three() { return layout_of({algorithm(4, 1, {9, 8, 7}), algorithm(2.5, 0.5, {5, 5, 5})}); }

std::vector<double> log_rates(const Layout& layout, std::uint64_t stream) {
  Rng rng(vacal::Key{}, stream);
  std::vector<double> out(layout.size(), 0.0);
  for (const MatrixRow& row : layout.rows) {
    double sum = 0;
    for (int c = row.offset; c < row.offset + row.length; ++c) sum += out[c] = 0.1 + rng.uniform();
    for (int c = row.offset; c < row.offset + row.length; ++c) out[c] = std::log(out[c] / sum);
  }
  return out;
}

// Density of the rows if slot i is cause labels[i], relative to that of the labels as they are: by definition.
double weight(const Layout& layout, const std::vector<double>& log_rate, const std::vector<int>& labels) {
  double sum = 0;
  for (const MatrixRow& row : layout.rows) {
    const MatrixRow& other = *vacal::find_row(layout, row.algorithm, labels[row.cause]);
    for (int c = 0; c < row.length; ++c) {
      sum += (layout.alpha[other.offset + c] - layout.alpha[row.offset + c]) * log_rate[row.offset + c];
    }
  }
  return std::exp(sum);
}

std::map<std::vector<int>, double> all_weights(const Layout& layout, const std::vector<double>& log_rate) {
  std::map<std::vector<int>, double> out;
  std::vector<int> labels = {0, 1, 2};
  do {
    out[labels] = weight(layout, log_rate, labels);
  } while (std::next_permutation(labels.begin(), labels.end()));
  return out;
}

double total(const std::map<std::vector<int>, double>& weights) {
  double sum = 0;
  for (const auto& one : weights) sum += one.second;
  return sum;
}

}  // namespace

TEST("label sum: the sum over relabellings is that of all permutations, one by one") {
  const Layout layout = three();
  LabelSum labels(layout);
  expect(labels.size() == 3, "three causes can be exchanged");
  std::vector<double> by(layout.size());
  for (std::uint64_t stream = 1; stream < 6; ++stream) {
    const std::vector<double> log_rate = log_rates(layout, stream);
    expect_near(labels.evaluate(log_rate, by), std::log(total(all_weights(layout, log_rate))), 1e-10, "the log of the sum");
  }
}

TEST("label sum: the gradient is that of finite differences") {
  const Layout layout = three();
  LabelSum labels(layout);
  const std::vector<double> log_rate = log_rates(layout, 7);
  std::vector<double> by(layout.size()), unused(layout.size());
  labels.evaluate(log_rate, by);
  for (int i = layout.n_causes; i < layout.size(); ++i) {
    std::vector<double> above = log_rate, below = log_rate;
    above[i] += 1e-5;
    below[i] -= 1e-5;
    expect_near(by[i], (labels.evaluate(above, unused) - labels.evaluate(below, unused)) / 2e-5, 1e-6, "by a log rate");
  }
}

TEST("label sum: relabellings are drawn as often as their weights say, whatever was evaluated before") {
  const Layout layout = three();
  LabelSum labels(layout);
  const std::vector<double> log_rate = log_rates(layout, 3);
  const std::map<std::vector<int>, double> weights = all_weights(layout, log_rate);
  std::map<std::vector<int>, int> drawn;
  std::vector<double> by(layout.size());
  labels.evaluate(log_rates(layout, 9), by);
  Rng rng(vacal::Key{}, 2);
  constexpr int n = 20000;
  for (int d = 0; d < n; ++d) ++drawn[labels.draw(log_rate, rng)];
  for (const auto& one : weights) {
    const double share = one.second / total(weights);
    expect_near(drawn[one.first] / double{n}, share, 4.5 * std::sqrt(share * (1 - share) / n) + 1e-4, "a relabelling's share");
  }
}

TEST("label sum: the closest relabelling of a permuted signature is the permutation") {
  const Layout layout = three();
  const LabelSum labels(layout);
  Rng rng(vacal::Key{}, 5);
  std::vector<double> reference(2 * 9 + 3), moved(reference.size());
  for (double& x : reference) x = rng.uniform();
  const std::vector<int> labels_of_slots = {1, 2, 0};
  for (int i = 0; i < 3; ++i) {
    moved[18 + i] = reference[18 + labels_of_slots[i]];
    for (int k = 0; k < 2; ++k) {
      for (int j = 0; j < 3; ++j) moved[(3 * k + i) * 3 + j] = reference[(3 * k + labels_of_slots[i]) * 3 + j];
    }
  }
  expect(labels.closest(moved, reference) == labels_of_slots, "the labels of the slots");
}

TEST("label sum: causes whose rows give other VA causes, or are known, keep their place") {
  const Layout layout = layout_of({with_zeros(algorithm(4, 1, {9, 8, 7}), {2})});
  LabelSum labels(layout);
  expect(labels.size() == 2, "two of three causes can be exchanged");
  Rng rng(vacal::Key{}, 5);
  for (int d = 0; d < 50; ++d) expect(labels.draw(log_rates(layout, d), rng)[0] == 0, "the first cause stays");
  const Layout known = layout_of({problems::fixed(algorithm(4, 1, {9, 8, 7}))});
  LabelSum none(known);
  std::vector<double> by(known.size());
  expect(none.size() == 0 && none.evaluate(std::vector<double>(known.size()), by) == 0, "nothing to sum over");
}

TEST("label sum: more causes that can be exchanged than a sum can hold are refused, with the numbers") {
  const Layout layout = layout_of({algorithm(4, 1, std::vector<double>(15, 3.0))});
  const std::string said = checks::error_of<SamplingError>([&] { LabelSum labels(layout); });
  expect(said == "the joint model takes at most 14 causes that can be exchanged, not 15: merge some", "said: " + said);
}
