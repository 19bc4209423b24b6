# Behind script/sbc-joint: one row a data set and quantity, the rank of the truth among the draws, between 0 and 1.

source("script/joint_study.R")

settings <- read_options(list(
  sets = 300, first = 1, strata = 20, algorithms = 1, least = 100, most = 2000, threads = 2, out = "sbc-joint.csv", table = ""
))

ranks <- function(data, seed) {
  fit <- vacal:::sample_joint(data$counts, data$alphas, draws = 400, effective_draws = 200, budget = 1e6, rhat = 1.02,
                              seed = seed, threads = settings$threads)
  n <- ncol(data$p)
  weight <- share(data$deaths)
  rank_of <- function(draws, truth) (sum(draws < truth) + 0.5) / (length(draws) + 1)
  each <- function(name, draws, truth) {
    data.frame(quantity = paste0(name, seq_len(n)), rank = vapply(seq_len(n), function(j) rank_of(draws[, j], truth[j]), 0))
  }
  cbind(set = seed, algorithms = settings$algorithms, strata = settings$strata, rhat = fit$rhat, rbind(
    data.frame(quantity = "phi", rank = rank_of(fit$phi, data$phi)),
    data.frame(quantity = "kappa", rank = rank_of(fit$kappa[, 1], data$kappa[1])),
    each("pi", fit$pi, data$pi),
    each("nation", apply(fit$p, c(1, 3), function(x) sum(x * weight)), drop(weight %*% data$p)),
    each("first", matrix(fit$p[, 1, ], ncol = n), data$p[1, ]),
    each("diagonal", t(apply(fit$m[, 1, , ], 1, diag)), diag(data$m[[1]])),
    each("row", matrix(fit$m[, 1, 1, ], ncol = n), data$m[[1]][1, ])
  ))
}

if (settings$table == "") {
  done <- if (file.exists(settings$out)) unique(read.csv(settings$out)$set)
  for (seed in setdiff(seq(settings$first, length.out = settings$sets), done)) {
    set.seed(seed)
    deaths <- round(exp(runif(settings$strata, log(settings$least), log(settings$most))))
    rows <- ranks(simulate_strata("prior", settings$algorithms, settings$strata, deaths)(seed), seed)
    fresh <- !file.exists(settings$out)
    write.table(rows, settings$out, sep = ",", row.names = FALSE, col.names = fresh, append = !fresh)
  }
} else {
  rows <- read.csv(settings$table)
  cat("| quantity | data sets | chi-squared on 9 | p | 95% intervals that cover |\n|---|---|---|---|---|\n")
  for (g in split(rows, factor(rows$quantity, unique(rows$quantity)))) {
    seen <- table(cut(g$rank, seq(0, 1, 0.1)))
    statistic <- sum((seen - nrow(g) / 10)^2 / (nrow(g) / 10))
    cat(sprintf("| %s | %d | %.1f | %.3f | %.3f |\n", g$quantity[1], nrow(g), statistic, pchisq(statistic, 9, lower.tail = FALSE),
                mean(g$rank > 0.025 & g$rank < 0.975)))
  }
}
