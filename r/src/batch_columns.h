#pragma once

#include <cpp11.hpp>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "core/stratum.hpp"

// R in and R out for a batch of strata. Arrays of R are column-major; counts are strata x algorithms x causes.
namespace batch {

using namespace cpp11::literals;
namespace writable = cpp11::writable;

// "prior" and "fixed": n x n as it is, "samples": one Dirichlet per row; then study causes. Row-major.
inline std::vector<double> read_matrix(const cpp11::doubles& x, int n, bool samples, bool fixed, const cpp11::integers& broad) {
  std::vector<double> m(n * n);
  const int n_samples = samples ? static_cast<int>(x.size()) / (n * n) : 1;
  for (int i = 0; i < n; ++i) {
    std::vector<double> row(n_samples * n);
    for (int s = 0; s < n_samples; ++s) {
      for (int j = 0; j < n; ++j) row[s * n + j] = x[s + n_samples * (i + n * j)];
    }
    if (samples) row = vacal::fit_row(row, n);
    std::copy(row.begin(), row.end(), m.begin() + i * n);
  }
  if (broad.size() == 0) return m;
  return vacal::expand_study_causes(m, n, std::vector<int>(broad.begin(), broad.end()), fixed);
}

inline std::vector<vacal::AlgorithmModel> read_models(const cpp11::list& batch) {
  const cpp11::list matrices(batch["matrices"]), asked_for(batch["asked_for"]);
  const cpp11::strings algorithms(batch["algorithms"]);
  const cpp11::integers broad(batch["broad"]);
  const std::string type = cpp11::as_cpp<std::string>(batch["matrix_type"]);
  const double threshold = cpp11::as_cpp<double>(batch["threshold"]);  // NA: learn nothing
  const int n_broad = cpp11::as_cpp<int>(batch["n_broad"]);
  std::vector<vacal::AlgorithmModel> models;
  for (R_xlen_t k = 0; k < algorithms.size(); ++k) {
    vacal::AlgorithmModel model;
    model.name = std::string(algorithms[k]);
    model.fixed = type == "fixed";
    model.matrix = read_matrix(cpp11::doubles(matrices[k]), n_broad, type == "samples", model.fixed, broad);
    const cpp11::logicals asked(asked_for[k]);
    const int n = static_cast<int>(asked.size());
    std::vector<char> learned(n, 0);
    if (!ISNAN(threshold)) learned = vacal::uninformative_causes(model.matrix, n, threshold);
    for (int c = 0; c < n; ++c) {
      model.left.push_back(asked[c] == TRUE ? vacal::Left::asked_for : learned[c] ? vacal::Left::learned : vacal::Left::in);
    }
    models.push_back(model);
  }
  return models;
}

inline std::vector<vacal::Stratum> read_strata(const cpp11::list& batch, int n_causes) {
  const cpp11::strings names(batch["strata"]);
  const cpp11::doubles counts(batch["counts"]);
  const int n_strata = static_cast<int>(names.size());
  const int n_algorithms = static_cast<int>(counts.size()) / (n_strata * n_causes);
  std::vector<vacal::Stratum> strata(n_strata);
  for (int s = 0; s < n_strata; ++s) {
    strata[s].name = std::string(names[s]);
    strata[s].counts.assign(n_algorithms, std::vector<double>(n_causes));
    for (int k = 0; k < n_algorithms; ++k) {
      for (int c = 0; c < n_causes; ++c) strata[s].counts[k][c] = counts[s + n_strata * (k + n_algorithms * c)];
    }
  }
  return strata;
}

inline vacal::Settings read_settings(const cpp11::list& x) {
  vacal::Settings s;
  s.path_correction = cpp11::as_cpp<bool>(x["path_correction"]);
  s.ensemble = cpp11::as_cpp<bool>(x["ensemble"]);
  s.shrinkage = cpp11::as_cpp<double>(x["shrinkage"]);
  s.seed = static_cast<std::uint64_t>(cpp11::as_cpp<double>(x["seed"]));
  s.work.draws = cpp11::as_cpp<int>(x["draws"]);
  s.work.effective_draws = cpp11::as_cpp<double>(x["effective_draws"]);
  const cpp11::doubles quantiles(x["quantiles"]);
  s.quantiles.assign(quantiles.begin(), quantiles.end());
  s.keep_draws = cpp11::as_cpp<bool>(x["keep_draws"]);
  return s;
}

inline double na_if_missing(double x) { return ISNAN(x) ? NA_REAL : x; }

inline cpp11::r_string na_if_empty(const std::string& x) { return x.empty() ? cpp11::r_string(NA_STRING) : cpp11::r_string(x); }

inline cpp11::r_bool as_r(vacal::Flag f) {
  return f == vacal::Flag::missing ? cpp11::r_bool(NA_LOGICAL) : cpp11::r_bool(f == vacal::Flag::yes);
}

inline const std::string& fit_name(const std::vector<vacal::AlgorithmModel>& models, std::size_t k) {
  static const std::string ensemble = "ensemble";
  return k < models.size() ? models[k].name : ensemble;
}

inline writable::list estimates_columns(const std::vector<vacal::StratumResult>& results,
                                        const std::vector<vacal::AlgorithmModel>& models) {
  writable::integers stratum, cause;
  writable::strings algorithm, status, reason;
  writable::doubles deaths, raw, mean, sd, calibrated, ensemble;
  writable::logicals disagrees;
  for (std::size_t s = 0; s < results.size(); ++s) {
    for (std::size_t k = 0; k < results[s].estimates.size(); ++k) {
      const vacal::Estimate& e = results[s].estimates[k];
      for (std::size_t c = 0; c < e.counts.size(); ++c) {
        stratum.push_back(static_cast<int>(s) + 1);
        algorithm.push_back(cpp11::r_string(fit_name(models, k)));
        cause.push_back(static_cast<int>(c) + 1);
        deaths.push_back(e.counts[c]);
        raw.push_back(na_if_missing(e.raw[c]));
        mean.push_back(na_if_missing(e.mean[c]));
        sd.push_back(na_if_missing(e.sd[c]));
        status.push_back(cpp11::r_string(e.cause_status[c]));
        reason.push_back(na_if_empty(e.cause_reason[c]));
        calibrated.push_back(na_if_missing(e.calibrated_deaths[c]));
        ensemble.push_back(na_if_missing(e.ensemble_deaths[c]));
        disagrees.push_back(e.has_result() ? cpp11::r_bool(results[s].disagrees[c] != 0) : cpp11::r_bool(NA_LOGICAL));
      }
    }
  }
  return {"stratum"_nm = stratum,
          "algorithm"_nm = algorithm,
          "cause"_nm = cause,
          "deaths"_nm = deaths,
          "raw"_nm = raw,
          "mean"_nm = mean,
          "sd"_nm = sd,
          "status"_nm = status,
          "not_calibrated_reason"_nm = reason,
          "calibrated_deaths"_nm = calibrated,
          "ensemble_deaths"_nm = ensemble,
          "disagrees"_nm = disagrees};
}

inline writable::list fits_columns(const std::vector<vacal::StratumResult>& results,
                                   const std::vector<vacal::AlgorithmModel>& models) {
  writable::integers stratum, divergences, distinct_draws;
  writable::strings algorithm, status, reason, because, sampler, sampler_reason;
  writable::doubles deaths, lambda, rhat, ess_bulk, ess_tail, acceptance, evaluations;
  writable::logicals stalled, noop, unreliable, disagree, converged;
  for (std::size_t s = 0; s < results.size(); ++s) {
    for (std::size_t k = 0; k < results[s].estimates.size(); ++k) {
      const vacal::Estimate& e = results[s].estimates[k];
      const auto number = [&e](double x) { return e.sampled ? na_if_missing(x) : NA_REAL; };
      stratum.push_back(static_cast<int>(s) + 1);
      algorithm.push_back(cpp11::r_string(fit_name(models, k)));
      deaths.push_back(e.deaths);
      status.push_back(cpp11::r_string(e.status));
      reason.push_back(na_if_empty(e.reason));
      lambda.push_back(e.lambda < 0 ? NA_REAL : e.lambda / 100.0);
      stalled.push_back(as_r(e.stalled));
      noop.push_back(as_r(e.noop));
      unreliable.push_back(as_r(e.unreliable));
      because.push_back(na_if_empty(e.because));
      disagree.push_back(as_r(e.disagree));
      sampler.push_back(na_if_empty(e.fit.sampler));
      sampler_reason.push_back(na_if_empty(e.fit.reason));
      rhat.push_back(number(e.fit.rhat));
      ess_bulk.push_back(number(e.fit.ess_bulk));
      ess_tail.push_back(number(e.fit.ess_tail));
      divergences.push_back(e.sampled ? e.fit.divergences : NA_INTEGER);
      acceptance.push_back(number(e.fit.acceptance));
      evaluations.push_back(number(static_cast<double>(e.fit.evaluations)));
      distinct_draws.push_back(e.sampled ? e.fit.distinct_draws : NA_INTEGER);
      converged.push_back(e.sampled ? cpp11::r_bool(e.fit.converged) : cpp11::r_bool(NA_LOGICAL));
    }
  }
  return {"stratum"_nm = stratum,
          "algorithm"_nm = algorithm,
          "deaths"_nm = deaths,
          "status"_nm = status,
          "reason"_nm = reason,
          "lambda"_nm = lambda,
          "path_correction_stalled"_nm = stalled,
          "estimate_is_noop"_nm = noop,
          "interval_unreliable"_nm = unreliable,
          "unreliable_because"_nm = because,
          "algorithms_disagree"_nm = disagree,
          "sampler"_nm = sampler,
          "sampler_reason"_nm = sampler_reason,
          "rhat"_nm = rhat,
          "ess_bulk"_nm = ess_bulk,
          "ess_tail"_nm = ess_tail,
          "divergences"_nm = divergences,
          "acceptance"_nm = acceptance,
          "evaluations"_nm = evaluations,
          "distinct_draws"_nm = distinct_draws,
          "converged"_nm = converged};
}

// rows of the estimates x quantiles
inline writable::doubles quantile_values(const std::vector<vacal::StratumResult>& results, std::size_t n_quantiles) {
  std::vector<const double*> rows;
  for (const vacal::StratumResult& r : results) {
    for (const vacal::Estimate& e : r.estimates) {
      for (std::size_t c = 0; c < e.counts.size(); ++c) rows.push_back(e.quantiles.data() + c * n_quantiles);
    }
  }
  writable::doubles out(static_cast<R_xlen_t>(rows.size() * n_quantiles));
  for (std::size_t r = 0; r < rows.size(); ++r) {
    for (std::size_t q = 0; q < n_quantiles; ++q) {
      out[static_cast<R_xlen_t>(r + rows.size() * q)] = na_if_missing(rows[r][q]);
    }
  }
  return out;
}

// strata x algorithms x causes x causes: the mean of each matrix as used
inline writable::doubles used_matrices(const std::vector<vacal::StratumResult>& results, std::size_t n_algorithms,
                                       std::size_t n) {
  const std::size_t block = results.size() * n_algorithms;
  writable::doubles out(static_cast<R_xlen_t>(block * n * n));
  for (std::size_t s = 0; s < results.size(); ++s) {
    for (std::size_t k = 0; k < n_algorithms; ++k) {
      const vacal::Member& m = results[s].members[k];
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
          out[static_cast<R_xlen_t>(s + results.size() * k + block * (i + n * j))] =
              m.in_ensemble() ? m.mean_rates[i * n + j] : NA_REAL;
        }
      }
    }
  }
  return out;
}

// algorithms x causes x causes: row-normalised means after the expansion to study causes
inline writable::doubles published_matrices(const std::vector<vacal::AlgorithmModel>& models, std::size_t n) {
  writable::doubles out(static_cast<R_xlen_t>(models.size() * n * n));
  for (std::size_t k = 0; k < models.size(); ++k) {
    const std::vector<double> m = vacal::row_normalised(models[k].matrix, static_cast<int>(n));
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        out[static_cast<R_xlen_t>(k + models.size() * (i + n * j))] = m[i * n + j];
      }
    }
  }
  return out;
}

inline writable::logicals calibrated_causes(const std::vector<vacal::AlgorithmModel>& models, std::size_t n) {
  writable::logicals out(static_cast<R_xlen_t>(models.size() * n));
  for (std::size_t k = 0; k < models.size(); ++k) {
    const bool any = models[k].n_calibrated() >= 2;
    for (std::size_t c = 0; c < n; ++c) {
      out[static_cast<R_xlen_t>(k + models.size() * c)] = cpp11::r_bool(any && models[k].left[c] == vacal::Left::in);
    }
  }
  return out;
}

// fits x draws x causes
inline SEXP draws_array(const std::vector<vacal::StratumResult>& results, std::size_t n_draws, std::size_t n) {
  std::vector<const vacal::Estimate*> fits;
  for (const vacal::StratumResult& r : results) {
    for (const vacal::Estimate& e : r.estimates) fits.push_back(&e);
  }
  writable::doubles out(static_cast<R_xlen_t>(fits.size() * n_draws * n));
  for (std::size_t f = 0; f < fits.size(); ++f) {
    const vacal::Estimate& e = *fits[f];
    for (std::size_t d = 0; d < n_draws; ++d) {
      for (std::size_t c = 0; c < n; ++c) {
        const double x = e.draws.empty() ? e.mean[c] : e.draws[d * n + c];
        out[static_cast<R_xlen_t>(f + fits.size() * (d + n_draws * c))] = na_if_missing(x);
      }
    }
  }
  return out;
}

}  // namespace batch
