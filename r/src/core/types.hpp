#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

namespace vacal {

// All matrices are row-major, C x C; rows are the true cause, columns the cause that the algorithm says.

struct AlgorithmData {
  std::vector<double> counts;    // C, deaths by VA cause
  std::vector<double> matrix;    // C x C: Dirichlet alphas (0 = structural zero) or fixed rates
  bool fixed = false;            // the matrix holds rates, not alphas
  std::vector<char> calibrated;  // C: the block in which the matrix is used; identity elsewhere
};

struct Problem {
  int n_causes = 0;
  std::vector<AlgorithmData> algorithms;
  std::vector<double> prior;  // C, Dirichlet parameters of the CSMF
};

// The most causes that a problem may have.
constexpr int most_causes = 64;

struct Work {
  int draws = 4000;               // stored draws, equally weighted
  double effective_draws = 4000;  // bulk effective sample size asked for; tails: 0.4 of it
  long long budget = 0;           // density evaluations at most; 0: the sampler's own default
};

struct Key {
  std::uint64_t seed = 1;
  std::uint64_t stratum = 0;  // hash of the stratum's key text
  std::uint64_t fit = 0;      // hash of the algorithm's name
};

struct Fit {
  std::vector<double> p;   // draws x C
  int distinct_draws = 0;  // different draws of the sampler among them: where it has fewer, some stand several times
  double rhat = 0;         // largest over causes
  double ess_bulk = 0;     // smallest over causes, on the scale of draws
  double ess_tail = 0;
  std::string sampler;
  std::string reason;  // why this sampler
  double acceptance = 0;
  long long evaluations = 0;
  int divergences = 0;
  bool converged = false;
};

// The data are impossible under the model, or the numbers broke down: no draws, and the reason in plain words.
struct SamplingError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// An error of the engine itself, or of the machine: it ends the whole computation.
struct Defect : std::runtime_error {
  Defect(const std::string& where, const std::exception& error)
      : std::runtime_error("defect of the engine, " + where + ": " + error.what()) {}
};

inline void refuse_many_causes(int n) {
  if (n <= most_causes) return;
  throw SamplingError("a problem takes at most " + std::to_string(most_causes) + " causes, not " + std::to_string(n) +
                      ": merge some");
}

}  // namespace vacal
