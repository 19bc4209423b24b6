# Direct calls of the samplers, for tests and benchmarks; not exported.

# Draws from the posterior of one problem: counts (algorithms x causes), matrices (list of causes x causes: Dirichlet
# parameters, or rates where `fixed`), calibrated (as counts: the block in which a matrix holds; identity elsewhere),
# prior (Dirichlet parameters of the CSMF). `sampler`: "auto", "importance" or "hmc". Returns p (draws x causes) and
# the diagnostics.
sample_problem <- function(counts, matrices, fixed = rep(FALSE, nrow(counts)),
                           calibrated = array(TRUE, dim(counts)), prior = rep(1, ncol(counts)), draws = 4000,
                           effective_draws = 4000, budget = 0, seed = 1, stratum = "stratum", fit = "fit",
                           sampler = "auto") {
  problem <- list(
    counts = as.double(counts), matrices = lapply(matrices, as.double), fixed = as.logical(fixed),
    calibrated = as.logical(calibrated), prior = as.double(prior)
  )
  work <- list(
    draws = as.integer(draws), effective_draws = as.double(effective_draws), budget = as.double(budget),
    seed = as.double(seed)
  )
  result <- .Call(C_sample_problem_, problem, work, stratum, fit, sampler)
  result$p <- matrix(result$p, ncol = ncol(counts), byrow = TRUE)
  result
}

# R-hat, bulk and tail effective sample size of a matrix of draws, iterations x chains.
diagnose_chains <- function(chains) .Call(C_diagnose_, as.double(chains), ncol(chains))
