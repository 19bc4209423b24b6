# Behind script/joint-study. Every data set is one row a fit in a CSV file; those that are there are not computed again.

source("script/joint_study.R")

settings <- read_options(list(
  truth = "model", algorithms = 1, strata = 20, deaths = 900, sets = 20, first = 1, threads = 2, scatter = 1,
  path_correction = 0, out = "joint-study.csv", table = "", picture = ""
))

# Draws (draws x strata x causes) of a fit, and whether it was published.
whole_calibration <- function(calibrate, data, ...) {
  fit <- calibrate(data$counts, data$alphas, "prior", do_not_calibrate = lapply(data$alphas, function(a) character()),
                   rule = "fixed", path_correction = settings$path_correction == 1, shrinkage = 0, draws = 1000,
                   keep_draws = TRUE, threads = settings$threads, ...)
  wanted <- if (length(data$alphas) > 1) "ensemble" else names(data$alphas)
  published <- is.null(fit$joint_fits) || fit$joint_fits$published[fit$joint_fits$algorithm == wanted]
  list(p = aperm(fit$draws[fit$fits$algorithm == wanted, , , drop = FALSE], c(2, 1, 3)), rhat = max(fit$fits$rhat), published = published)
}

independent_draws <- function(data) whole_calibration(calibrate_batch, data, effective_draws = 200)

joint_draws <- function(data) {
  if (settings$path_correction == 1) return(whole_calibration(calibrate_joint, data, effective_draws = 150, budget = 400000))
  fit <- vacal:::sample_joint(data$counts, data$alphas, scatter = settings$scatter == 1, draws = 1000,
                              effective_draws = 150, budget = 400000, rhat = 1.02, threads = settings$threads)
  list(p = fit$p, rhat = fit$rhat, published = fit$rhat <= 1.02)
}

score <- function(draws, data) {
  weight <- share(data$deaths)
  nation <- apply(draws$p, c(1, 3), function(x) sum(x * weight))
  truth <- drop(weight %*% data$p)
  ends <- apply(nation, 2, quantile, c(0.025, 0.975))
  limits <- apply(draws$p, 2:3, quantile, c(0.025, 0.975))
  data.frame(
    published = draws$published, rhat = draws$rhat,
    nation_covered = mean(truth >= ends[1, ] & truth <= ends[2, ]), nation_width = mean(ends[2, ] - ends[1, ]),
    nation_error = mean(abs(colMeans(nation) - truth)),
    nation_bias = sum((colMeans(nation) - truth) * (truth - 1 / length(truth))) / sum((truth - 1 / length(truth))^2),
    stratum_covered = mean(data$p >= limits[1, , ] & data$p <= limits[2, , ]), stratum_width = mean(limits[2, , ] - limits[1, , ])
  )
}

run_sets <- function() {
  joint <- if (settings$scatter == 1) "joint" else "joint without scatter"
  independent <- "independent"
  if (settings$path_correction == 1) {
    joint <- "joint, path corrected"
    independent <- "independent, path corrected"
  }
  simulate <- simulate_strata(settings$truth, settings$algorithms, settings$strata, settings$deaths)
  done <- if (file.exists(settings$out)) read.csv(settings$out) else NULL
  for (set in seq(settings$first, length.out = settings$sets)) {
    here <- done$truth == settings$truth & done$algorithms == settings$algorithms & done$set == set & done$fit == joint
    if (any(here)) next
    data <- simulate(set)
    rows <- cbind(fit = joint, score(joint_draws(data), data))
    if (settings$scatter == 1) rows <- rbind(cbind(fit = independent, score(independent_draws(data), data)), rows)
    rows <- cbind(truth = settings$truth, algorithms = settings$algorithms, set = set, rows)
    fresh <- !file.exists(settings$out)
    write.table(rows, settings$out, sep = ",", row.names = FALSE, col.names = fresh, append = !fresh)
  }
}

summarise_study <- function(rows) {
  groups <- split(rows, list(rows$truth, rows$algorithms, rows$fit), drop = TRUE)
  do.call(rbind, lapply(groups, function(g) {
    kept <- g[g$published, ]
    error <- function(x) if (length(x) > 1) sd(x) / sqrt(length(x)) else NA
    data.frame(
      truth = g$truth[1], K = g$algorithms[1], fit = g$fit[1], sets = nrow(g), not_published = sum(!g$published),
      nation = mean(kept$nation_covered), nation_se = error(kept$nation_covered), width = mean(kept$nation_width),
      error = mean(kept$nation_error), stratum = mean(kept$stratum_covered), stratum_se = error(kept$stratum_covered)
    )
  }))
}

print_table <- function(t) {
  cat("| truth | K | fit | data sets (not published) | nation covered | width | mean error | stratum covered |\n|---|---|---|---|---|---|---|---|\n")
  cat(sprintf("| %s | %d | %s | %d (%d) | %.2f (%.3f) | %.2f | %.3f | %.2f (%.3f) |\n", t$truth, t$K, t$fit, t$sets,
              t$not_published, t$nation, t$nation_se, t$width, t$error, t$stratum, t$stratum_se), sep = "")
}

draw_picture <- function(t, path) {
  png(path, 900, 500, res = 110)
  par(mar = c(4, 9, 3, 1))
  at <- rev(seq_len(nrow(t)))
  plot(t$nation, at, xlim = c(0, 1), yaxt = "n", ylab = "", xlab = "share of 95% intervals of the nation that hold the truth",
       pch = 19, col = ifelse(t$fit == "joint", "#1b6ca8", "#c0392b"))
  segments(t$nation - 2 * t$nation_se, at, t$nation + 2 * t$nation_se, at)
  abline(v = 0.95, lty = 2)
  axis(2, at, paste0(t$truth, ", K = ", t$K, ", ", t$fit), las = 1, cex.axis = 0.7)
  invisible(dev.off())
}

if (settings$table == "") run_sets() else {
  found <- summarise_study(read.csv(settings$table))
  print_table(found)
  if (settings$picture != "") draw_picture(found, settings$picture)
}
