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
  draws <- fit$draws[fit$fits$algorithm == wanted, , , drop = FALSE]
  list(p = aperm(draws, c(2, 1, 3)), rhat = max(fit$fits$rhat), published = published)
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

# bias: slope of the nation's error on how far the true fraction is from an equal share; negative: drawn to equal shares.
summarise_study <- function(rows) {
  groups <- split(rows, list(rows$truth, rows$algorithms, rows$fit), drop = TRUE)
  do.call(rbind, lapply(groups, function(g) {
    kept <- g[g$published, ]
    error <- function(x) if (length(x) > 1) sd(x) / sqrt(length(x)) else NA
    data.frame(
      truth = g$truth[1], K = g$algorithms[1], fit = g$fit[1], sets = nrow(g), not_published = sum(!g$published),
      nation = mean(kept$nation_covered), nation_se = error(kept$nation_covered), width = mean(kept$nation_width),
      error = mean(kept$nation_error), bias = mean(kept$nation_bias), stratum = mean(kept$stratum_covered),
      stratum_se = error(kept$stratum_covered)
    )
  }))
}

truth_words <- c(model = "from the model", similar = "similar strata", unlike = "unlike strata", outlier = "one outlier",
                 noise = "matrices differ by stratum")

# The two fits of every truth side by side; then those with other options.
print_table <- function(t) {
  with_error <- function(x, se) sprintf("%.2f (%.2f)", x, se)
  lost <- function(n) ifelse(n > 0, sprintf(" (%d)", n), "")
  rows <- function(head, format, ...) {
    cat("| ", paste(head, collapse = " | "), " |\n|", strrep("---|", length(head)), "\n", sep = "")
    cat(sprintf(paste0("| ", format, " |\n"), ...), "\n", sep = "")
  }
  x <- merge(t[t$fit == "independent", ], t[t$fit == "joint", ], by = c("truth", "K"))
  x <- x[order(match(x$truth, truths), x$K), ]
  rows(c("truth", "K", "data sets", "nation held by its 95% interval: summed", "joint", "strata held: one by one", "joint"),
       "%s | %d | %d%s | %s | %s | %s | %s", truth_words[x$truth], x$K, x$sets.y, lost(x$not_published.y),
       with_error(x$nation.x, x$nation_se.x), with_error(x$nation.y, x$nation_se.y),
       with_error(x$stratum.x, x$stratum_se.x), with_error(x$stratum.y, x$stratum_se.y))
  rows(c("truth", "K", "width, nation: summed", "joint", "mean error: summed", "joint", "bias: summed", "joint"),
       "%s | %d | %.3f | %.3f | %.3f | %.3f | %.2f | %.2f", truth_words[x$truth], x$K, x$width.x, x$width.y, x$error.x, x$error.y,
       x$bias.x, x$bias.y)
  x <- t[!t$fit %in% c("independent", "joint"), ]
  if (nrow(x) == 0) return(invisible())
  rows(c("truth", "K", "fit", "data sets", "nation held", "strata held", "width, nation", "mean error", "bias"),
       "%s | %d | %s | %d%s | %s | %s | %.3f | %.3f | %.2f", truth_words[x$truth], x$K, x$fit, x$sets, lost(x$not_published),
       with_error(x$nation, x$nation_se), with_error(x$stratum, x$stratum_se), x$width, x$error, x$bias)
}

draw_picture <- function(t, path) {
  t <- t[t$fit %in% c("independent", "joint"), ]
  rows <- unique(t[order(match(t$truth, truths), t$K), c("truth", "K")])
  at <- nrow(rows) + 1 - match(paste(t$truth, t$K), paste(rows$truth, rows$K))
  colour <- ifelse(t$fit == "joint", "#1b6ca8", "#c0392b")
  png(path, 1000, 120 + 42 * nrow(rows), res = 110)
  par(mar = c(4, 17, 3, 1))
  plot(NA, xlim = c(0, 1), ylim = c(0.5, nrow(rows) + 0.5), yaxt = "n", ylab = "", bty = "n",
       xlab = "share of the nation's 95% intervals that hold the truth (bars: two standard errors)")
  rect(0.93, 0.4, 0.97, nrow(rows) + 0.6, col = "#e8eef3", border = NA)
  segments(pmax(t$nation - 2 * t$nation_se, 0), at, pmin(t$nation + 2 * t$nation_se, 1), at, col = colour, lwd = 2)
  points(t$nation, at, pch = 19, col = colour)
  axis(2, rev(seq_len(nrow(rows))), tick = FALSE, las = 1,
       labels = sprintf("%s, %d algorithm%s", truth_words[rows$truth], rows$K, ifelse(rows$K > 1, "s", "")))
  legend("top", c("strata calibrated one by one, summed", "joint model"), col = c("#c0392b", "#1b6ca8"), pch = 19, horiz = TRUE,
         bty = "n", inset = -0.16, xpd = TRUE)
  invisible(dev.off())
}

if (settings$table == "") {
  run_sets()
} else {
  found <- summarise_study(read.csv(settings$table))
  print_table(found)
  if (settings$picture != "") draw_picture(found, settings$picture)
}
