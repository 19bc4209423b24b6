# The model in Stan (tests/stan/calibration.stan) through rstan: shared by script/stan-check and script/bench.

# Compiles the program; Boost's headers are found where Debian puts them.
compile_stan <- function(root) {
  suppressPackageStartupMessages(library(rstan))
  if (!nzchar(system.file("include", package = "BH"))) rstan_options(boost_lib = "/usr/include")
  stan_model(file.path(root, "tests", "stan", "calibration.stan"))
}

# Processor seconds and draws of one problem in the form of sample_problem() of the R package: draws as they
# ran, iterations x chains x causes.
run_stan <- function(program, problem, iterations, chains = 1, seed = 1) {
  k <- nrow(problem$counts)
  data <- list(
    K = k, C = ncol(problem$counts), counts = array(as.integer(problem$counts), dim(problem$counts)),
    alpha = aperm(simplify2array(problem$matrices), c(3, 1, 2)), calibrated = array(1L * problem$calibrated, dim(problem$counts)),
    prior = problem$prior
  )
  seconds <- sum(system.time(
    fit <- sampling(program, data, chains = chains, iter = 2 * iterations, warmup = iterations, seed = seed, refresh = 0,
                    cores = 1, control = list(adapt_delta = 0.9))
  )[c("user.self", "sys.self")])
  list(p = extract(fit, "p", permuted = FALSE), seconds = seconds, divergences = get_num_divergent(fit))
}
