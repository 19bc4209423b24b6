# How the cost of the engine grows in deaths n, causes C, algorithms K and strata: processor seconds for 4,000 effective
# draws (of the run, bulk) on made-up counts that the model can produce, and the exponent of a power law fitted to
# them. Called by script/bench growth.

arguments <- commandArgs(trailingOnly = TRUE)
library(vacal, lib.loc = c(.libPaths(), file.path(getwd(), ".venv", "r-library")))

# Counts of k algorithms on n_causes causes from the model at matrices of a given certainty.
made_up <- function(n, n_causes, k, seed) {
  set.seed(seed)
  draw <- function(a) {
    x <- rgamma(length(a), a)
    x / sum(x)
  }
  alphas <- lapply(seq_len(k), function(i) {
    40 * (0.5 * diag(n_causes) + 0.5 * t(replicate(n_causes, draw(rep(2, n_causes)))))
  })
  p <- draw(rep(3, n_causes))
  counts <- t(sapply(alphas, function(a) rmultinom(1, n, p %*% t(apply(a, 1, draw)))))
  list(counts = counts, alphas = alphas)
}

# Mean processor seconds for 4,000 effective draws over some data sets.
cost <- function(n, n_causes, k, n_data_sets = 5) {
  mean(sapply(seq_len(n_data_sets), function(seed) {
    x <- made_up(n, n_causes, k, seed)
    seconds <- system.time(fit <- vacal:::sample_problem(x$counts, x$alphas, seed = seed))[["user.self"]]
    seconds * 4000 / fit$ess_bulk
  }))
}

# Processor seconds of a whole batch, single algorithm, by number of strata.
cost_of_strata <- function(n_strata) {
  x <- made_up(1000, 6, 1, 1)
  causes <- paste0("cause", 1:6)
  counts <- array(rep(x$counts, each = n_strata), c(n_strata, 1, 6), list(sprintf("s%05d", seq_len(n_strata)), "a", causes))
  matrices <- list(a = array(x$alphas[[1]], c(6, 6), list(causes, causes)))
  system.time(calibrate_batch(counts, matrices, "prior", do_not_calibrate = list(a = character()), path_correction = FALSE,
                              ensemble = FALSE))[["user.self"]]
}

exponent <- function(x, seconds) unname(coef(lm(log(seconds) ~ log(x)))[2])

series <- list(
  list(what = "n, one algorithm", x = c(100, 1000, 10000, 100000), f = function(n) cost(n, 6, 1)),
  list(what = "n, three algorithms", x = c(100, 1000, 10000, 100000), f = function(n) cost(n, 6, 3)),
  list(what = "C, one algorithm", x = c(3, 6, 9, 12), f = function(c) cost(1000, c, 1)),
  list(what = "C, three algorithms", x = c(3, 6, 9, 12), f = function(c) cost(1000, c, 3)),
  list(what = "K", x = c(2, 3, 5, 8), f = function(k) cost(1000, 6, k)),
  list(what = "strata", x = c(5, 10, 20, 40), f = cost_of_strata)
)

rows <- lapply(series, function(s) {
  seconds <- sapply(s$x, s$f)
  power <- exponent(s$x, seconds)
  cat(sprintf("%-22s %s   grows as the power %.2f\n", s$what, paste(sprintf("%g: %.3f s", s$x, seconds), collapse = "  "), power))
  list(what = s$what, x = s$x, seconds = seconds, power = power)
})
at <- match("--json", arguments)
if (!is.na(at)) writeLines(jsonlite::toJSON(rows, auto_unbox = TRUE, digits = 6, pretty = TRUE), arguments[at + 1])
