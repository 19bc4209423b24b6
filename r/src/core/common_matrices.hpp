#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "common_draws.hpp"
#include "layout.hpp"
#include "posterior.hpp"
#include "rng.hpp"
#include "sampler.hpp"
#include "types.hpp"

// Draws of the matrices that all strata of a country share.
namespace vacal::common {

// From the matrices' own distributions: draws x algorithms x causes x VA causes, row-major. Draw d of algorithm k depends
// on the seed, the country (key.stratum), the algorithm's name (a key of its own each) and d alone.
inline std::vector<double> draw_matrices(const Problem& problem, int draws, const std::vector<Key>& keys) {
  const int n = problem.n_causes, k_total = static_cast<int>(problem.algorithms.size());
  std::vector<double> out(static_cast<std::size_t>(draws) * k_total * n * n, 0.0), log_y(n);
  for (int d = 0; d < draws; ++d) {
    for (int k = 0; k < k_total; ++k) {
      const AlgorithmData& data = problem.algorithms[k];
      Rng rng(keys[k], static_cast<std::uint64_t>(d));
      for (int i = 0; i < n; ++i) {
        double* row = &out[((static_cast<std::size_t>(d) * k_total + k) * n + i) * n];
        const std::vector<int> columns = vacal::detail::open_columns(data, i, n);
        double sum = 0, top = -std::numeric_limits<double>::infinity();
        for (const int j : columns) {
          const double x = data.matrix[i * n + j];
          log_y[j] = columns.size() == 1 ? 0 : data.fixed ? log_of(x) : rng.log_gamma(x);
          top = std::max(top, log_y[j]);
        }
        for (const int j : columns) sum += row[j] = exp_of(log_y[j] - top);
        for (const int j : columns) row[j] /= sum;
      }
    }
  }
  return out;
}

struct CountryFit {
  std::vector<double> m;  // draws x algorithms x causes x VA causes
  Fit fit;                // fit.p: draws x causes
};

namespace detail {

// A posterior that also notes the matrices at the point whose fractions are wanted.
class NotedPosterior {
 public:
  NotedPosterior(const Problem& problem, std::vector<Lanes>* note) : own_(problem), note_(note) {}
  int dimension() const { return own_.dimension(); }
  int dense() const { return own_.dense(); }
  std::vector<Lanes> starts(Rng& rng) { return own_.starts(rng); }
  Lanes evaluate(const Lanes* x, Lanes* gradient) { return own_.evaluate(x, gradient); }
  void fractions(const Lanes* x, Lanes* p) {
    if (!note_->empty()) own_.matrices(x, note_->data());
    own_.fractions(x, p);
  }

 private:
  Posterior own_;
  std::vector<Lanes>* note_;
};

// Puts the matrices of algorithms with deaths among those of all; the others' are drawn from their distributions.
inline std::vector<double> with_all(const std::vector<double>& drawn, std::vector<double> all, const Problem& problem,
                                    int draws) {
  const std::size_t size = static_cast<std::size_t>(problem.n_causes) * problem.n_causes;
  const std::size_t k_total = problem.algorithms.size();
  std::size_t from = 0;
  for (int d = 0; d < draws; ++d) {
    for (std::size_t k = 0; k < k_total; ++k) {
      if (!vacal::detail::has_deaths(problem.algorithms[k])) continue;
      std::copy(drawn.begin() + from, drawn.begin() + from + size, all.begin() + (d * k_total + k) * size);
      from += size;
    }
  }
  return all;
}

}  // namespace detail

// From the posterior of matrices and fractions given a country's pooled counts, which is the published method for it.
// Draws are evenly spaced over chains that go on until they are worth `effective_draws`.
inline CountryFit sample_country(const Problem& problem, const Work& asked, const std::vector<Key>& keys, const Key& key,
                                 const std::function<void()>& heartbeat) {
  Work work = asked;
  if (work.budget <= 0) work.budget = sampling::default_budget;
  sampling::check(problem);
  const int c = problem.n_causes, n_chains = sampling::n_chains;
  std::size_t with_deaths = 0;
  for (const AlgorithmData& data : problem.algorithms) with_deaths += vacal::detail::has_deaths(data);
  const int width = c + static_cast<int>(with_deaths) * c * c;
  std::vector<Lanes> note;
  Hmc<detail::NotedPosterior> chains(detail::NotedPosterior(problem, &note), key, heartbeat);
  chains.warm_up(c);
  note.assign(width - c, Lanes(0.0));
  CountryFit out;
  sampling::Pool pool(n_chains), whole(n_chains);
  std::vector<Lanes> p(c);
  int length = static_cast<int>(std::ceil(sampling::asked_draws(work) / n_chains));
  for (int done = 0; !out.fit.converged;) {
    for (; done < length && (done < 50 || chains.evaluations() < work.budget); ++done) {
      chains.advance();
      chains.fractions(p.data());
      for (int m = 0; m < n_chains; ++m) {
        for (const Lanes& x : p) pool[m].push_back(x[m]), whole[m].push_back(x[m]);
        for (const Lanes& x : note) whole[m].push_back(x[m]);
      }
    }
    sampling::set_diagnostics(pool, c, out.fit);
    out.fit.converged = sampling::reached(out.fit, work);
    if (chains.evaluations() >= work.budget) break;
    length = sampling::next_length(out.fit, work, done);
  }
  out.fit.acceptance = chains.acceptance();
  out.fit.evaluations = chains.evaluations();
  out.fit.divergences = chains.divergences();
  out.fit.p = sampling::thin(pool, c, work.draws);
  std::vector<double> drawn;
  const std::vector<double> thinned = sampling::thin(whole, width, work.draws);
  for (int d = 0; d < work.draws; ++d) {
    drawn.insert(drawn.end(), thinned.begin() + static_cast<std::size_t>(d) * width + c,
                 thinned.begin() + static_cast<std::size_t>(d + 1) * width);
  }
  out.m = detail::with_all(drawn, draw_matrices(problem, work.draws, keys), problem, work.draws);
  return out;
}

}  // namespace vacal::common
