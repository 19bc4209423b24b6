# Flags of a fit in words; "" where there is none.
flag_sentences <- function(fit) {
  c(
    if (fit$status != "calibrated") sprintf("%s: %s", gsub("_", " ", fit$status), gsub("_", " ", fit$reason)),
    if (isTRUE(fit$path_correction_stalled)) {
      "path correction stalled: counts and matrix disagree, almost no calibration took place"
    },
    if (isTRUE(fit$estimate_is_noop) && fit$status == "calibrated") {
      sprintf("calibration moved no fraction by %s or more", constants()$noop_below)
    },
    if (isTRUE(fit$interval_unreliable)) sprintf("the interval is unreliable because of %s", fit$unreliable_because),
    if (identical(fit$converged, FALSE)) "the sampler did not reach the effective size asked for"
  )
}

percent <- function(x) ifelse(is.na(x), "", formatC(100 * x, format = "f", digits = 1))

#' @describeIn calibrate Prints a table for each algorithm and the ensemble, and every flag in words.
#' @param x,object A `vacal_calibration`.
#' @export
print.vacal_calibration <- function(x, ...) {
  for (i in seq_len(nrow(x$fits))) {
    fit <- x$fits[i, ]
    e <- x$estimates[x$estimates$algorithm == fit$algorithm, ]
    shrunk <- if (is.na(fit$lambda)) "" else sprintf(", lambda %.2f", fit$lambda)
    cat(sprintf("%s: %d deaths%s\n", fit$algorithm, fit$deaths, shrunk))
    table <- data.frame(
      cause = e$cause, deaths = e$deaths, "raw %" = percent(e$raw), "calibrated %" = percent(e$mean),
      "95% interval" = ifelse(is.na(e$lower), "", paste(percent(e$lower), "-", percent(e$upper))),
      status = gsub("_", " ", e$status), check.names = FALSE
    )
    print(table, row.names = FALSE)
    for (sentence in flag_sentences(fit)) cat("!", sentence, "\n")
    cat("\n")
  }
  disputed <- unique(x$estimates$cause[x$estimates$disagrees %in% TRUE])
  if (length(disputed) > 0) cat("! the algorithms disagree on", paste(disputed, collapse = ", "), "\n")
  invisible(x)
}

#' @describeIn calibrate The estimates as a data frame with a column for each quantile of the calibrated fraction
#'   (`NA` for causes that were not calibrated).
#' @param quantiles Probabilities.
#' @export
summary.vacal_calibration <- function(object, quantiles = c(0.025, 0.975), ...) {
  e <- object$estimates
  values <- vapply(seq_len(nrow(e)), function(i) {
    if (e$status[i] != "calibrated") return(rep(NA_real_, length(quantiles)))
    stats::quantile(object$draws[e$algorithm[i], , e$cause[i]], quantiles, names = FALSE)
  }, numeric(length(quantiles)))
  values <- matrix(values, ncol = length(quantiles), byrow = TRUE)
  colnames(values) <- paste0("q", format(100 * quantiles, trim = TRUE, drop0trailing = TRUE))
  cbind(e[!names(e) %in% c("lower", "upper")], values)
}

#' @describeIn calibrate Posterior draws of one fit: matrix draws x causes.
#' @param algorithm Name of the algorithm, or `"ensemble"`.
#' @export
as.matrix.vacal_calibration <- function(x, algorithm, ...) {
  names <- x$fits$algorithm
  if (missing(algorithm) && length(names) == 1) algorithm <- names
  if (missing(algorithm)) abort_input(sprintf("algorithm is missing: one of %s", quoted(names)))
  problems <- check_choice(algorithm, "algorithm", names)
  if (length(problems) > 0) abort_input(problems)
  x$draws[algorithm, , ]
}

#' @describeIn calibrate Raw fractions (circles) and calibrated means with 95% intervals (points and lines), a panel
#'   for each algorithm and the ensemble.
#' @export
plot.vacal_calibration <- function(x, ...) {
  names <- x$fits$algorithm
  causes <- unique(x$estimates$cause)
  old <- graphics::par(mfrow = c(1, length(names)), mar = c(4, max(nchar(causes)) / 2 + 1, 2, 1), las = 1)
  on.exit(graphics::par(old))
  limit <- c(0, max(x$estimates$upper, x$estimates$mean, x$estimates$raw, na.rm = TRUE))
  at <- rev(seq_along(causes))
  for (name in names) {
    e <- x$estimates[x$estimates$algorithm == name, ]
    graphics::plot(e$raw, at, xlim = limit, yaxt = "n", ylab = "", xlab = "fraction of deaths", main = name)
    graphics::axis(2, at, causes)
    graphics::segments(e$lower, at, e$upper, at)
    graphics::points(ifelse(e$status == "calibrated", e$mean, NA), at, pch = 19)
  }
  invisible(x)
}
