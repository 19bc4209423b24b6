#include <atomic>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "checks.hpp"
#include "core/joint_team.hpp"
#include "core/stratum.hpp"

namespace {

using checks::expect;
using vacal::Defect;
using vacal::SamplingError;
using vacal::Settings;
using vacal::StratumResult;

// One algorithm and two causes, without the ensemble.
StratumResult estimate(std::vector<double> matrix, const std::function<void()>& heartbeat) {
  vacal::AlgorithmModel model;
  model.name = "eava";
  model.matrix = std::move(matrix);
  model.fixed = true;
  model.left.assign(2, vacal::Left::in);
  Settings settings;
  settings.ensemble = settings.path_correction = false;
  settings.work = {100, 50, 0};
  settings.quantiles = {0.5};
  const vacal::Stratum north{"north", {{20, 10}}};
  const auto silent = [](std::size_t) {};
  return vacal::estimate_stratum(north, {model}, settings, silent, heartbeat);
}

}  // namespace

TEST("data that are impossible under the model make a failed stratum, with the reason") {
  const StratumResult result = estimate({1, 0, 1, 0}, [] {});
  expect(result.estimates[0].status == "failed", "status " + result.estimates[0].status);
  expect(result.estimates[0].reason.find("VA cause 2") != std::string::npos, "reason " + result.estimates[0].reason);
}

TEST("a defect is no failed stratum: it ends the computation and names stratum, fit and what happened") {
  const auto broken = [] { throw std::logic_error("index beyond the end"); };
  const std::string said = checks::error_of<Defect>([&] { estimate({0.9, 0.1, 0.2, 0.8}, broken); });
  expect(said == "defect of the engine, stratum 'north', eava: index beyond the end", "said: " + said);
  const auto no_memory = [] { throw std::bad_alloc(); };
  expect(!checks::error_of<Defect>([&] { estimate({0.9, 0.1, 0.2, 0.8}, no_memory); }).empty(), "no memory is a defect");
}

TEST("a computation that is stopped is stopped, not failed") {
  const auto stop = [] { throw vacal::Stopped(); };
  expect(checks::error_of<vacal::Stopped>([&] { estimate({0.9, 0.1, 0.2, 0.8}, stop); }) == "stopped", "Stopped passes");
}

TEST("chains of the joint model pass on a sampling error as it is, a defect as a defect, and what their caller throws") {
  const auto quiet = [] {};
  const auto run = [](const std::function<void()>& poll, const std::function<void(int)>& task) {
    vacal::joint::Team(2, poll).run(3, task);
  };
  const std::string sampling =
      checks::error_of<SamplingError>([&] { run(quiet, [](int) { throw SamplingError("no starting point"); }); });
  expect(sampling == "no starting point", "said: " + sampling);
  const std::string defect = checks::error_of<Defect>([&] { run(quiet, [](int) { throw std::logic_error("broken"); }); });
  expect(defect == "defect of the engine, joint model: broken", "said: " + defect);
  std::atomic<bool> polled{false};
  const auto throwing = [&] {
    polled = true;
    throw std::out_of_range("enough");
  };
  const std::string caller = checks::error_of<std::out_of_range>([&] {
    run(throwing, [&](int) {
      while (!polled) std::this_thread::yield();
    });
  });
  expect(caller == "enough", "said: " + caller);
}
