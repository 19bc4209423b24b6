#pragma once

#include <cmath>
#include <functional>
#include <vector>

#include "nuts.hpp"
#include "types.hpp"

namespace vacal {

// For a Density that also has
//   std::vector<std::vector<double>> starts(Rng&, int n) const;   // n points to start from, padded
// several chains that share step size and metric, both adapted on all of them in a common warm-up; after it they
// are independent given these.
template <class Density>
class NutsChains {
 public:
  NutsChains(const Density& density, const Key& key, int n_chains, std::function<void()> heartbeat)
      : heartbeat_(std::move(heartbeat)), jitter_(key, 0), metric_(density.dimension(), density.dense()), step_(0.65) {
    const std::vector<std::vector<double>> starts = density.starts(jitter_, n_chains);
    for (int c = 0; c < n_chains; ++c) {
      chains_.emplace_back(density, Rng(key, static_cast<std::uint64_t>(c) + 1), starts[c]);
      if (!std::isfinite(chains_.back().value())) throw SamplingError("the density is not finite at a starting point");
    }
  }

  void warm_up() {
    step_.restart(0.1);
    adapt(50, nullptr);
    for (int length : {30, 60}) {
      Moments moments(metric_);
      adapt(length, &moments);
      moments.update(metric_);
      for (auto& chain : chains_) chain.set_metric(metric_);
      step_.restart(step_.averaged());
    }
    adapt(50, nullptr);
    step_size_ = step_.averaged();
    acceptance_ = divergences_ = n_steps_ = 0;
  }

  // One transition of every chain, then record(chain index, chain).
  template <class Record>
  void advance(Record record) {
    for (std::size_t c = 0; c < chains_.size(); ++c) {
      move(chains_[c], step_size_ * (0.9 + 0.2 * jitter_.uniform()));
      record(c, chains_[c]);
    }
    heartbeat_();
  }

  std::size_t size() const { return chains_.size(); }
  long long evaluations() const { return evaluations_; }
  int divergences() const { return static_cast<int>(divergences_); }
  double acceptance() const { return acceptance_ / n_steps_; }
  double step_size() const { return step_size_; }
  const Metric& metric() const { return metric_; }
  std::vector<NutsChain<Density>>& chains() { return chains_; }

 private:
  NutsTransition move(NutsChain<Density>& chain, double step) {
    const NutsTransition t = chain.step(step);
    evaluations_ += t.evaluations;
    acceptance_ += t.acceptance;
    divergences_ += t.divergent;
    ++n_steps_;
    return t;
  }

  void adapt(int iterations, Moments* moments) {
    for (int i = 0; i < iterations; ++i) {
      double acceptance = 0;
      for (auto& chain : chains_) {
        acceptance += move(chain, step_.current()).acceptance / static_cast<double>(chains_.size());
        if (moments) moments->add(chain.position(), metric_.dense);
      }
      step_.update(acceptance);
      heartbeat_();
    }
  }

  std::function<void()> heartbeat_;
  Rng jitter_;
  Metric metric_;
  StepSize step_;
  std::vector<NutsChain<Density>> chains_;
  double step_size_ = 0.1, acceptance_ = 0, divergences_ = 0, n_steps_ = 0;
  long long evaluations_ = 0;
};

}  // namespace vacal
