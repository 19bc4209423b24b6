mats <- list(a = synthetic_alpha(seed = 1), b = synthetic_alpha(seed = 2), c = synthetic_alpha(seed = 3))
run <- function(counts, matrices = mats[dimnames(counts)[[2]]], do_not_calibrate = none(matrices), type = "prior",
                draws = 2000, effective_draws = 500, ...) {
  calibrate_batch(counts, matrices, type, do_not_calibrate = do_not_calibrate, draws = draws,
                  effective_draws = effective_draws, ...)
}
fit <- function(r, algorithm) as.list(r$fits[r$fits$algorithm == algorithm, ])
rows <- function(r, algorithm) r$estimates[r$estimates$algorithm == algorithm, ]
agreeing <- function(p, algorithms, n = 800) {
  expected <- lapply(mats[algorithms], function(m) round(n * drop(t(rows_to_one(m)) %*% p)))
  do.call(counts_of, expected)
}

test_that("a zero count that stalls path correction is flagged, also for the ensemble, by name", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  x[1, "b", ] <- c(300, 0, 0, 0, 0)
  r <- run(x)
  expect_identical(fit(r, "b")$lambda, 0.99)
  expect_true(fit(r, "b")$path_correction_stalled)
  expect_true(fit(r, "b")$interval_unreliable)
  expect_identical(fit(r, "b")$unreliable_because, "b")
  expect_false(fit(r, "a")$path_correction_stalled)
  expect_false(fit(r, "a")$interval_unreliable)
  expect_true(fit(r, "ensemble")$interval_unreliable)
  expect_identical(fit(r, "ensemble")$unreliable_because, "b")
  expect_identical(fit(r, "ensemble")$lambda, NA_real_)
})

test_that("an ensemble in which no member is calibrated is unreliable, and names them all", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  r <- run(x, do_not_calibrate = list(a = causes5[-1], b = causes5[-1]))
  expect_identical(fit(r, "ensemble")$status, "not_calibrated")
  expect_true(fit(r, "ensemble")$interval_unreliable)
  expect_identical(fit(r, "ensemble")$unreliable_because, "a,b")
})

test_that("an estimate that hardly moves is a no-op, one that moves is none", {
  m <- list(a = 1e5 * (0.999 * diag(5) + 0.0002 * matrix(1, 5, 5)))
  dimnames(m$a) <- list(causes5, causes5)
  x <- counts_of(a = c(3000, 2500, 2000, 1500, 1000))
  expect_true(fit(run(x, m), "a")$estimate_is_noop)
  expect_false(fit(run(agreeing(c(0.5, 0.25, 0.15, 0.05, 0.05), "a")), "a")$estimate_is_noop)
})

test_that("causes are left out as asked for and as learned, with their reasons", {
  m <- rbind(c(0.8, 0.1, 0.1), c(0.1, 0.8, 0.1), c(0.1, 0.7, 0.2)) * 20
  dimnames(m) <- list(letters[1:3], letters[1:3])
  x <- counts_of(k = c(50, 40, 10), causes = letters[1:3])
  r <- run(x, list(k = m))
  expect_identical(r$calibrated_causes["k", ], c(a = TRUE, b = TRUE, c = FALSE))
  expect_identical(rows(r, "k")$not_calibrated_reason, c(NA, NA, "learned"))
  expect_identical(rows(r, "k")$mean[3], 0.1)
  expect_true(all(run(x, list(k = m), rule = "fixed")$calibrated_causes))
  expect_true(all(run(x, list(k = m), threshold = 0.09)$calibrated_causes))
  both <- run(x, list(k = m), list(k = "C"))
  expect_identical(rows(both, "k")$not_calibrated_reason, c(NA, NA, "asked_for"))
})

test_that("an algorithm with at most one cause left passes its fractions through and counts as identity", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  r <- run(x, do_not_calibrate = list(a = character(), b = causes5[-1]))
  expect_identical(fit(r, "b")$status, "not_calibrated")
  expect_identical(fit(r, "b")$reason, "at_most_one_calibrated_cause")
  expect_identical(fit(r, "b")$lambda, NA_real_)
  expect_true(fit(r, "b")$estimate_is_noop)
  e <- rows(r, "b")
  expect_identical(e$status, rep("passed_through", 5))
  expect_identical(e$mean, e$raw)
  expect_identical(e$calibrated_deaths, e$deaths)
  expect_identical(e$not_calibrated_reason, c("at_most_one_calibrated_cause", rep("asked_for", 4)))
  expect_identical(fit(r, "ensemble")$status, "calibrated")
  expect_identical(fit(r, "ensemble")$unreliable_because, "b")
  expect_equal(r$matrices_used[1, "b", , ], diag(5), ignore_attr = TRUE)
})

test_that("no deaths in a calibrated cause, or none at all, leave the ensemble", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b", "c"))
  x[1, "b", ] <- c(0, 0, 0, 0, 80)
  x[1, "c", ] <- 0
  r <- run(x, do_not_calibrate = list(a = "other", b = "other", c = "other"))
  expect_identical(fit(r, "b")$status, "not_calibrated")
  expect_identical(fit(r, "b")$reason, "no_deaths_in_calibrated_causes")
  expect_identical(fit(r, "b")$lambda, NA_real_)
  expect_identical(fit(r, "c")$status, "no_result")
  expect_identical(fit(r, "c")$reason, "no_deaths")
  expect_identical(rows(r, "c")$mean, rep(NA_real_, 5))
  expect_identical(fit(r, "ensemble")$status, "no_result")
  expect_identical(fit(r, "ensemble")$reason, "fewer_than_two_members")
  expect_true(all(is.na(r$matrices_used[1, c("b", "c"), , ])))
  expect_true(all(is.na(r$estimates$ensemble_deaths)))
})

test_that("an ensemble of which no member calibrates anything passes the pooled fractions through", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  r <- run(x, do_not_calibrate = list(a = causes5, b = causes5))
  expect_identical(fit(r, "ensemble")$status, "not_calibrated")
  expect_equal(rows(r, "ensemble")$mean, unname(colSums(x[1, , ]) / sum(x)))
})

test_that("a cause is left out of the ensemble only if every member leaves it out", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  r <- run(x, do_not_calibrate = list(a = c("other", "asphyxia"), b = "other"))
  expect_identical(rows(r, "a")$status, c("calibrated", "calibrated", "calibrated", "passed_through", "passed_through"))
  e <- rows(r, "ensemble")
  expect_identical(e$status, c(rep("calibrated", 4), "passed_through"))
  expect_equal(e$mean[5], sum(x[1, , "other"]) / sum(x))
  expect_identical(e$not_calibrated_reason[5], "asked_for")
})

test_that("algorithms that contradict each other are flagged at the cause", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b"))
  r <- run(x)
  expect_false(any(r$estimates$disagrees))
  expect_false(any(r$fits$algorithms_disagree))
  x[1, "b", ] <- agreeing(c(0.1, 0.5, 0.2, 0.15, 0.05), "b")[1, 1, ]
  x[1, "a", ] <- agreeing(c(0.5, 0.1, 0.2, 0.15, 0.05), "a")[1, 1, ]
  r <- run(x)
  expect_identical(unique(r$estimates$cause[r$estimates$disagrees])[1:2], c("infection", "pneumonia"))
  expect_true(all(r$fits$algorithms_disagree))
})

test_that("calibrated deaths are whole numbers with the observed totals", {
  x <- agreeing(c(0.3, 0.25, 0.2, 0.15, 0.1), c("a", "b", "c"), 777)
  r <- run(x, do_not_calibrate = lapply(mats, function(m) "other"))
  for (k in names(mats)) {
    e <- rows(r, k)
    expect_identical(sum(e$calibrated_deaths), sum(e$deaths))
    expect_identical(sum(e$ensemble_deaths), sum(e$deaths))
    expect_identical(e$calibrated_deaths[5], e$deaths[5])
    expect_identical(e$ensemble_deaths[5], e$deaths[5])
    expected <- e$mean[-5] / sum(e$mean[-5]) * sum(e$deaths[-5])
    expect_true(all(abs(e$calibrated_deaths[-5] - expected) < 1))
  }
  expect_true(all(is.na(rows(r, "ensemble")$calibrated_deaths)))
})
