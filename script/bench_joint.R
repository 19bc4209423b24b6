# Seconds for 1,000 effective draws of every national fraction: Rscript script/bench_joint.R [--strata 55 --algorithms 3 ...]
# Elapsed and processor seconds of one fit; deaths of the strata are spread from 100 to 5,000.

source("script/joint_study.R")

settings <- read_options(list(strata = 55, algorithms = 3, causes = 5, effective = 1000, threads = 2, seed = 1))

names <- paste0("cause", seq_len(settings$causes))
set.seed(settings$seed)
deaths <- round(exp(runif(settings$strata, log(100), log(5000))))
data <- simulate_strata("model", settings$algorithms, settings$strata, deaths, names)(settings$seed)
used <- system.time(fit <- vacal:::sample_joint(data$counts, data$alphas, draws = 1000, effective_draws = settings$effective,
                                                threads = settings$threads))
cat(sprintf(
  paste("strata %d algorithms %d causes %d: %.1f s elapsed, %.1f s processor; R-hat %.4f, effective draws %.0f (nation)",
        "%.0f (worst stratum), %.0f evaluations, %d divergences; phi was %.1f\n"),
  settings$strata, settings$algorithms, settings$causes, used[["elapsed"]], sum(used[1:2]), fit$rhat, fit$ess_bulk_nation,
  fit$ess_bulk_strata, fit$evaluations, fit$divergences, data$phi
))
