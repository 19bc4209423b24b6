inventory <- list(eava = synthetic_alpha(seed = 1), interva = synthetic_alpha(seed = 2))
counts <- list(
  eava = setNames(c(40, 30, 20, 15, 5), causes5),
  interva = c(pneumonia = 35, infection = 38, other = 4, prematurity = 24)  # no asphyxia, another order
)

test_that("calibrate() is calibrate_batch() for one population", {
  fit <- calibrate(counts, inventory, seed = 7, draws = 500, effective_draws = 400)
  x <- counts_of(eava = counts$eava, interva = c(38, 35, 24, 0, 4), stratum = "all")
  r <- calibrate_batch(x, inventory, "prior", do_not_calibrate = list(eava = "other", interva = "other"), seed = 7,
                       draws = 500, effective_draws = 400, keep_draws = TRUE)
  expect_identical(fit$estimates$mean, r$estimates$mean)
  expect_identical(unname(as.matrix(fit, "interva")), unname(r$draws[2, , ]))
  expect_identical(fit$settings$seed, 7)
  expect_identical(fit$estimates$lower, unname(r$quantiles[, 1]))
})

test_that("summary gives the quantiles asked for, from the draws", {
  fit <- calibrate(counts, inventory, seed = 7, draws = 500, effective_draws = 400)
  s <- summary(fit, quantiles = c(0.1, 0.5))
  expect_named(s[(ncol(s) - 1):ncol(s)], c("q10", "q50"))
  p <- as.matrix(fit, "ensemble")[, "infection"]
  row <- s$algorithm == "ensemble" & s$cause == "infection"
  expect_equal(s$q50[row], median(p))
  expect_identical(s$q10[s$cause == "other"], rep(NA_real_, 3))
  expect_equal(summary(fit)$q2.5, fit$estimates$lower)
})

test_that("print shows every algorithm and spells out flags", {
  stalled <- list(eava = setNames(c(100, 0, 0, 0, 0), causes5))
  out <- capture.output(print(calibrate(stalled, inventory, seed = 1, draws = 500, effective_draws = 400)))
  expect_match(out, "eava: 100 deaths, lambda 0.99", all = FALSE, fixed = TRUE)
  expect_match(out, "! path correction stalled", all = FALSE, fixed = TRUE)
  expect_match(out, "! the interval is unreliable because of eava", all = FALSE, fixed = TRUE)
  fit <- calibrate(counts, inventory, seed = 7, draws = 500, effective_draws = 400)
  expect_match(capture.output(expect_invisible(print(fit))), "^ensemble: 211 deaths$", all = FALSE)
})

test_that("plot draws a panel for each fit and restores the device", {
  grDevices::pdf(NULL)
  on.exit(grDevices::dev.off())
  before <- graphics::par("mfrow")
  fit <- calibrate(counts, inventory, seed = 7, draws = 500, effective_draws = 400)
  expect_identical(plot(fit), fit)
  expect_identical(graphics::par("mfrow"), before)
})

test_that("a seed must be given, and bad input is named", {
  expect_error(calibrate(counts, inventory), "seed is missing", class = "vacal_input_error")
  expect_error(calibrate(list(x = 1:3), inventory, seed = 1),
               "counts: algorithm 'x' must be a vector of numbers named by cause", class = "vacal_input_error")
  expect_error(calibrate(list(nbc = counts$eava), inventory, seed = 1), "inventory: no matrix for algorithm 'nbc'")
  expect_error(calibrate(list(eava = c(malria = 3)), inventory, seed = 1), "cause 'malria' is not in the matrices")
  expect_error(calibrate(list(eava = c(other = -1)), inventory, seed = 1),
               "counts: algorithm 'eava', cause 'other': -1 is not a non-negative whole number")
  fit <- calibrate(counts, inventory, seed = 7, draws = 500, effective_draws = 400)
  expect_error(as.matrix(fit), "algorithm is missing: one of 'eava', 'interva', 'ensemble'")
})

test_that("select_matrices() picks age group, country and kind, and guesses none", {
  entry <- function(x) list(asDirich = list(Kenya = x, `Sierra Leone` = 2 * x), postmean = list(Kenya = x / 10))
  object <- list(neonate = list(eava = entry(diag(2)), interva = entry(diag(3))), version = "1")
  expect_identical(select_matrices(object, "neonate", " sierra leone"), list(eava = 2 * diag(2), interva = 2 * diag(3)))
  expect_identical(select_matrices(object, "neonate", "Kenya", "fixed")$eava, diag(2) / 10)
  expect_error(select_matrices(object, "neonate", "Peru"),
               "country 'Peru' is not in the inventory, which has 'Kenya', 'Sierra Leone'", class = "vacal_input_error")
  expect_error(select_matrices(object, "child", "Kenya"), "nothing for age group 'child'")
})
