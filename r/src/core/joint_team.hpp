#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "types.hpp"

namespace vacal::joint {

// Runs task(0) .. task(n - 1) on several threads, while the caller's thread calls poll, which may throw to stop. Throws what
// poll or a task has thrown; of a task anything but a SamplingError as a Defect.
class Team {
 public:
  Team(int threads, std::function<void()> poll) : threads_(threads), poll_(std::move(poll)) {}
  bool stopping() const { return stopping_; }

  void run(int n, const std::function<void(int)>& task) {
    next_ = 0;
    running_ = std::min(n, threads_);
    std::vector<std::thread> workers;
    for (int t = running_; t > 0; --t) workers.emplace_back([&] { work(n, task); });
    try {
      for (int wait = 0; running_ > 0; ++wait) {
        std::this_thread::sleep_for(std::chrono::microseconds(wait < 50 ? 100 : 20000));
        poll_();
      }
    } catch (...) {
      note(std::current_exception());
    }
    for (std::thread& t : workers) t.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void work(int n, const std::function<void(int)>& task) {
    try {
      for (int i = next_++; i < n && !stopping_; i = next_++) task(i);
    } catch (const SamplingError&) {
      note(std::current_exception());
    } catch (const std::exception& error) {
      note(std::make_exception_ptr(Defect("joint model", error)));
    } catch (...) {
      note(std::current_exception());
    }
    --running_;
  }
  void note(const std::exception_ptr& error) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!error_) error_ = error;
    stopping_ = true;
  }

  int threads_;
  std::function<void()> poll_;
  std::atomic<int> next_{0}, running_{0};
  std::atomic<bool> stopping_{false};
  std::mutex mutex_;
  std::exception_ptr error_;
};

}  // namespace vacal::joint
