#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <queue>
#include <thread>
#include <utility>
#include <vector>

#include "stratum.hpp"

// Many strata on several threads. Strata do not see each other, so results depend on neither order nor threads.
namespace vacal {

struct Finished {
  std::size_t stratum, fit;
};

// Computes one stratum: its index, what to call after fit k, and what to call often meanwhile.
using OneStratum =
    std::function<StratumResult(std::size_t, const std::function<void(std::size_t)>&, const std::function<void()>&)>;

// Runs workers until all strata are done; the calling thread alone runs `report` (after each fit) and `poll`
// (about ten times a second). Either may throw: the workers are stopped and joined, and the exception goes on.
class BatchRun {
 public:
  BatchRun(std::size_t n_strata, OneStratum compute) : compute_(std::move(compute)), results_(n_strata) {}
  ~BatchRun() { stop(); }
  BatchRun(const BatchRun&) = delete;
  BatchRun& operator=(const BatchRun&) = delete;

  std::vector<StratumResult> run(int n_threads, const std::function<void(Finished)>& report, const std::function<void()>& poll) {
    running_ = n_threads;
    for (int t = 0; t < n_threads; ++t) threads_.emplace_back([this] { work(); });
    while (watch(report)) poll();
    stop();
    if (error_) std::rethrow_exception(error_);
    return std::move(results_);
  }

 private:
  // Waits for news and reports it; false when the workers have ended.
  bool watch(const std::function<void(Finished)>& report) {
    std::unique_lock<std::mutex> lock(mutex_);
    news_.wait_for(lock, std::chrono::milliseconds(100), [this] { return !finished_.empty() || running_ == 0; });
    std::queue<Finished> finished;
    finished.swap(finished_);
    const bool more = running_ > 0;
    lock.unlock();
    for (; !finished.empty(); finished.pop()) report(finished.front());
    return more;
  }

  void work() {
    try {
      for (std::size_t s = next_++; s < results_.size() && !stopping_; s = next_++) {
        const auto after_fit = [this, s](std::size_t k) {
          const std::lock_guard<std::mutex> lock(mutex_);
          finished_.push({s, k});
          news_.notify_one();
        };
        results_[s] = compute_(s, after_fit, [this] {
          if (stopping_) throw Stopped();
        });
      }
    } catch (const Stopped&) {
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      error_ = std::current_exception();
      stopping_ = true;
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    --running_;
    news_.notify_one();
  }

  void stop() {
    stopping_ = true;
    for (std::thread& t : threads_) t.join();
    threads_.clear();
  }

  OneStratum compute_;
  std::vector<StratumResult> results_;
  std::vector<std::thread> threads_;
  std::atomic<std::size_t> next_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::condition_variable news_;
  std::queue<Finished> finished_;
  int running_ = 0;
  std::exception_ptr error_;
};

}  // namespace vacal
