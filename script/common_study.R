# Behind script/common-study: 5 provinces x 5 years of simulated strata, whose deaths are the same for all algorithms.
# Every data set is one row a way of fitting and level in a CSV file; those that are there are not computed again.

source("script/joint_study.R")
for (name in c("common_baseline", "common_strata", "strata_centres", "learn_concentration")) {
  assign(name, getFromNamespace(name, "vacal"))
}

settings <- read_options(list(
  truth = "", algorithms = 0, size = "", totals = "", sets = 20, first = 1, draws = 300, out = "common-study.csv",
  table = "", by = "cells"
))

n_provinces <- 5
n_years <- 5
places <- expand.grid(year = seq_len(n_years), province = seq_len(n_provinces))
units <- c(
  setNames(lapply(seq_len(n_provinces), function(u) which(places$province == u)), paste0("province", seq_len(n_provinces))),
  setNames(lapply(seq_len(n_years), function(u) which(places$year == u)), paste0("year", seq_len(n_years)))
)
common_truths <- c("model", "similar", "unlike", "outlier", "noise", "effects")

deaths_of_size <- function(size, n) {
  if (size != "mixed") return(rep(as.numeric(size), n))
  c(30, exp(runif(n - 2, log(5), log(5000))), 3000)
}

# Fractions; effects: provinces and years each shift the causes' log odds, and strata scatter a little (phi = 100).
fractions_of <- function(truth, size) {
  n <- nrow(places)
  if (truth == "effects") {
    pi <- draw_dirichlet(rep(1, length(causes)))
    shift <- function(levels) matrix(rnorm(levels * length(causes), 0, 0.5), levels)
    by_province <- shift(n_provinces)
    by_year <- shift(n_years)
    p <- t(vapply(seq_len(n), function(s) {
      draw_dirichlet(100 * share(pi * exp(by_province[places$province[s], ] + by_year[places$year[s], ])))
    }, pi))
  } else {
    p <- draw_fractions(truth, n, length(causes))$p
  }
  if (size == "mixed") p[n, ] <- p[1, ] # 30 and 3,000 deaths: no difference
  p
}

simulate <- function(truth, n_algorithms, size, totals, set) {
  alphas <- lapply(seq_len(n_algorithms), illustrative_alpha)
  if (totals == "unequal") alphas <- Map(function(a, total) a / rowSums(a) * total, alphas, c(10, 50, 200)[seq_len(n_algorithms)])
  names(alphas) <- letters[seq_len(n_algorithms)]
  set.seed(1000 * set + match(size, c("900", "100", "50", "20", "mixed")))
  m <- lapply(alphas, draw_matrix)
  p <- fractions_of(truth, size)
  n <- nrow(places)
  deaths <- round(deaths_of_size(size, n))
  counts <- array(0, c(n, n_algorithms, length(causes)), list(paste0("s", seq_len(n)), names(alphas), causes))
  for (s in seq_len(n)) {
    true_deaths <- drop(rmultinom(1, deaths[s], p[s, ])) # coded by all algorithms
    for (k in seq_len(n_algorithms)) {
      rates <- if (truth == "noise") draw_matrix(100 * m[[k]]) else m[[k]]
      for (i in which(true_deaths > 0)) counts[s, k, ] <- counts[s, k, ] + rmultinom(1, true_deaths[i], rates[i, ])
    }
  }
  list(counts = counts, alphas = alphas, p = p, deaths = deaths)
}

# Each stratum's own matrices around the common ones: M_s[i, ] ~ Dirichlet(tau M[i, ]).
scattered <- function(m, tau) {
  y <- array(rgamma(length(m), pmax(tau * m, 1e-3)), dim(m)) + 1e-300
  y / array(apply(y, 1:3, sum), dim(m))
}

scattered_strata <- function(b, counts, centres, seed, tau = 100) {
  set.seed(seed)
  p <- array(0, dim(centres))
  for (s in seq_len(dim(counts)[1])) {
    p[s, , ] <- common_strata(b, counts[s, , , drop = FALSE], centres[s, , , drop = FALSE], scattered(b$m, tau))$p
  }
  list(p = p, correlation = 0, impossible = 0)
}

score_level <- function(draws, truth, weight) { # draws: draws x items x causes; truth: items x causes
  ends <- apply(draws, 2:3, quantile, c(0.025, 0.975), na.rm = TRUE)
  mean_of <- apply(draws, 2:3, mean, na.rm = TRUE)
  held <- truth >= ends[1, , ] & truth <= ends[2, , ]
  of_cause <- function(at) mean(held[cbind(seq_len(nrow(truth)), at)])
  leading <- apply(truth, 1, which.max)
  data.frame(
    covered = mean(held), width = mean(ends[2, , ] - ends[1, , ]), error = mean(abs(mean_of - truth)),
    leading = of_cause(leading), rarest = of_cause(apply(truth, 1, which.min)),
    leading_bias = mean((mean_of - truth)[cbind(seq_len(nrow(truth)), leading)])
  )
}

totals_of <- function(p, at, weight) { # p: draws x strata x causes
  array(apply(p[, at, , drop = FALSE], c(1, 3), function(x) sum(x * weight[at]) / sum(weight[at])), dim(p)[c(1, 3)])
}

score_all <- function(p, data) {
  w <- data$deaths
  level <- function(sets) {
    draws <- aperm(simplify2array(lapply(sets, function(u) totals_of(p, u, w))), c(1, 3, 2))
    truth <- t(vapply(sets, function(u) colSums(data$p[u, , drop = FALSE] * w[u]) / sum(w[u]), data$p[1, ]))
    score_level(draws, truth)
  }
  out <- list(nation = level(list(seq_len(nrow(places)))), province = level(units[1:n_provinces]),
              year = level(units[-(1:n_provinces)]), stratum = score_level(p, data$p))
  differences <- p[, 1, ] - p[, nrow(places), ]
  ends <- apply(differences, 2, quantile, c(0.025, 0.975), na.rm = TRUE)
  equal <- all(data$p[1, ] == data$p[nrow(places), ])
  false <- if (equal) mean(ends[1, ] > 0 | ends[2, ] < 0) else NA
  do.call(rbind, lapply(names(out), function(l) cbind(level = l, out[[l]], false_difference = if (l == "stratum") false else NA)))
}

fit_ways <- function(truth, data, seed) {
  rows <- list()
  add <- function(b, fit, way) {
    p <- aperm(fit$p, c(2, 1, 3))
    rows[[length(rows) + 1]] <<- cbind(
      way, rho = round(b$rho, 3), multiple = b$multiple, correlation = round(max(fit$correlation), 3),
      impossible = sum(fit$impossible), score_all(p, data)
    )
  }
  several <- length(data$alphas) > 1
  for (source in c("cut", "two stages")) {
    for (weighed in if (several && source == "two stages") c(FALSE, TRUE) else several) {
      b <- common_baseline(data$counts, data$alphas, units, settings$draws, source, 1, weighed, seed)
      centres <- strata_centres(b, dimnames(data$counts)[[1]])
      way <- function(concentration) data.frame(source = source, weighed = weighed, concentration = concentration)
      add(b, common_strata(b, data$counts, centres), way("C"))
      if (source == "cut" || weighed != several) next
      if (truth == "noise") add(b, scattered_strata(b, data$counts, centres, seed), way("C, scatter"))
      b$multiple <- 4
      add(b, common_strata(b, data$counts, centres), way("4C"))
      b$multiple <- learn_concentration(b, data$counts)
      add(b, common_strata(b, data$counts, centres), way("learned"))
    }
  }
  do.call(rbind, rows)
}

chosen <- function(all, wanted) if (wanted %in% c("", "0", 0)) all else intersect(all, wanted)

cells <- function() {
  x <- expand.grid(truth = chosen(common_truths, settings$truth), algorithms = chosen(c(3, 1), settings$algorithms),
                   size = chosen(c("50", "mixed", "900", "20", "100"), settings$size),
                   totals = chosen(c("equal", "unequal"), settings$totals), stringsAsFactors = FALSE)
  x[x$totals == "equal" | (x$algorithms == 3 & x$size %in% c("50", "900") & x$truth %in% c("similar", "unlike")), ]
}

run_sets <- function() {
  all <- cells()
  for (set in seq(settings$first, length.out = settings$sets)) {
    for (i in seq_len(nrow(all))) {
      cell <- all[i, ]
      done <- if (file.exists(settings$out)) read.csv(settings$out, colClasses = c(size = "character")) else NULL
      same <- done$truth == cell$truth & done$algorithms == cell$algorithms & done$size == cell$size
      if (any(same & done$totals == cell$totals & done$set == set)) next
      data <- simulate(cell$truth, cell$algorithms, cell$size, cell$totals, set)
      rows <- cbind(cell, set = set, fit_ways(cell$truth, data, set), row.names = NULL)
      number <- vapply(rows, is.double, NA)
      rows[number] <- lapply(rows[number], round, 4)
      fresh <- !file.exists(settings$out)
      write.table(rows, settings$out, sep = ",", row.names = FALSE, col.names = fresh, append = !fresh)
    }
  }
}

# Data sets of one number and size share their true matrices: the standard error is over these, not over data sets.
summary_of <- function(g, by) {
  shared <- tapply(g$covered, paste(g$set, g$size), mean)
  figures <- data.frame(
    sets = nrow(g), covered = mean(g$covered), se = sd(shared) / sqrt(length(shared)),
    leading = mean(g$leading), rarest = mean(g$rarest), width = mean(g$width), error = mean(g$error),
    bias = mean(g$leading_bias), false = mean(g$false_difference, na.rm = TRUE)
  )
  cbind(g[1, c(by, "level")], figures)
}

summarise <- function(rows, by) {
  groups <- split(rows, rows[c(by, "level")], drop = TRUE, lex.order = TRUE)
  do.call(rbind, lapply(groups, summary_of, by))
}

print_table <- function(rows) {
  cells <- c("totals", "truth", "algorithms", "size", "source", "weighed", "concentration")
  by <- if (settings$by == "cells") cells else strsplit(settings$by, ",")[[1]]
  t <- summarise(rows, by)
  text <- cbind(
    t[by], level = t$level, sets = t$sets, held = sprintf("%.3f (%.3f)", t$covered, t$se),
    leading = sprintf("%.2f", t$leading), rarest = sprintf("%.2f", t$rarest), width = sprintf("%.3f", t$width),
    error = sprintf("%.3f", t$error), bias = sprintf("%.3f", t$bias),
    false = ifelse(is.nan(t$false), "", sprintf("%.2f", t$false))
  )
  cat("| ", paste(names(text), collapse = " | "), " |\n|", strrep("---|", ncol(text)), "\n", sep = "")
  cat(paste0("| ", do.call(paste, c(lapply(text, as.character), sep = " | ")), " |\n"), sep = "")
}

if (settings$table == "") {
  run_sets()
} else {
  rows <- read.csv(settings$table, colClasses = c(size = "character"))
  for (name in c("truth", "size", "totals")) if (settings[[name]] != "") rows <- rows[rows[[name]] == settings[[name]], ]
  if (settings$algorithms > 0) rows <- rows[rows$algorithms == settings$algorithms, ]
  print_table(rows)
}
