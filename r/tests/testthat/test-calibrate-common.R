strata12 <- paste0("s", 1:12)
places <- cbind(province = rep(c("north", "south", "west"), each = 4), year = rep(2021:2024, 3))
storage.mode(places) <- "character"
alphas <- list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2))
keep_other <- list(a = "other", b = "other")

example_counts <- function(size = 60, algorithms = c("a", "b"), seed = 3) {
  set.seed(seed)
  p <- c(0.35, 0.2, 0.2, 0.15, 0.1)
  out <- array(0, c(12, length(algorithms), 5), list(strata12, algorithms, causes5))
  for (s in 1:12) for (k in algorithms) out[s, k, ] <- stats::rmultinom(1, size, drop(p %*% rows_to_one(alphas[[k]])))
  out
}

made <- function(counts, ..., matrices = alphas, type = "prior", units = places, left = keep_other, draws = 200) {
  make_baseline(counts, matrices[dimnames(counts)[[2]]], type, do_not_calibrate = left[dimnames(counts)[[2]]], units = units,
                draws = draws, ...)
}

calibrated <- function(counts, baseline, ..., matrices = alphas, type = "prior", units = places, left = keep_other,
                       draws = 200) {
  calibrate_common(counts, matrices[dimnames(counts)[[2]]], type, do_not_calibrate = left[dimnames(counts)[[2]]],
                   units = units, baseline = baseline, draws = draws, keep_draws = TRUE, ...)
}

counts12 <- example_counts()
baseline12 <- made(counts12)
fit12 <- calibrated(counts12, baseline12)
rows_of <- function(fit, stratum, algorithm) which(fit$fits$stratum == stratum & fit$fits$algorithm == algorithm)

test_that("results have the shape of calibrate_batch(), and uncalibrated causes keep the stratum's share", {
  alone <- calibrate_batch(counts12, alphas, "prior", do_not_calibrate = keep_other, draws = 200, effective_draws = 100)
  expect_named(fit12, c(names(alone), "common_strata"))
  expect_identical(names(fit12$fits), names(alone$fits))
  expect_identical(fit12$estimates[c("stratum", "algorithm", "cause", "deaths", "raw")],
                   alone$estimates[c("stratum", "algorithm", "cause", "deaths", "raw")])
  other <- fit12$estimates$cause == "other"
  expect_equal(fit12$estimates$mean[other], fit12$estimates$raw[other])
  expect_equal(unique(fit12$estimates$status[other]), "passed_through")
  sums <- tapply(fit12$estimates$mean, fit12$estimates[c("stratum", "algorithm")], sum)
  expect_equal(as.vector(sums), rep(1, 36))
  expect_equal(unique(fit12$fits$sampler), "common_draws")
  expect_true(all(fit12$fits$ess_bulk <= 200))
  expect_true(all(is.na(fit12$fits$lambda)))
})

test_that("a stratum's bytes depend on neither the strata beside it, nor their order, nor the threads", {
  some <- c(9, 2, 5)
  few <- calibrated(counts12[some, , , drop = FALSE], baseline12, units = places[some, ], threads = 2)
  for (i in seq_along(some)) for (a in c("a", "b", "ensemble")) {
    expect_identical(few$draws[rows_of(few, i, a), , ], fit12$draws[rows_of(fit12, some[i], a), , ])
  }
  more <- counts12[c(1, 1), , , drop = FALSE]
  dimnames(more)[[1]] <- c("s1", "new")
  beside <- calibrated(more, baseline12, units = places[c(1, 1), ])
  expect_identical(beside$draws[rows_of(beside, 1, "a"), , ], fit12$draws[rows_of(fit12, 1, "a"), , ])
  expect_false(any(beside$draws[rows_of(beside, 2, "a"), , 1] == fit12$draws[rows_of(fit12, 1, "a"), , 1]))
})

test_that("one fit's baseline is the same alone and among all, and the seed changes it", {
  expect_identical(made(counts12, fits = "ensemble")$ensemble, baseline12$ensemble)
  expect_false(identical(made(counts12, fits = "a", seed = 2)$a$matrices, baseline12$a$matrices))
})

test_that("the country's fractions are those of the published method without path correction on the pooled counts", {
  counts <- example_counts(60, "a")
  b <- made(counts, left = list(a = character()), draws = 3000)$a
  pooled <- array(apply(counts, 2:3, sum), c(1, 1, 5), list("all", "a", causes5))
  alone <- calibrate_batch(pooled, alphas["a"], "prior", do_not_calibrate = list(a = character()), path_correction = FALSE,
                           shrinkage = 0, keep_draws = TRUE)
  calibrated <- match(b$causes, causes5)
  direct <- alone$draws[1, , calibrated] / rowSums(alone$draws[1, , calibrated])
  sd <- apply(direct, 2, stats::sd)
  expect_lt(max(abs(colMeans(b$country) - colMeans(direct)) / sd), 0.12)
  expect_lt(max(abs(apply(b$country, 2, stats::sd) / sd - 1)), 0.08)
})

test_that("with fixed matrices and one stratum results are those of calibrate_batch() with fixed matrices", {
  rates <- lapply(alphas, rows_to_one)
  counts <- counts12[1, "a", , drop = FALSE]
  b <- made(counts, matrices = rates, type = "fixed", units = NULL, draws = 4000)
  expect_identical(b$a$whole, "s1")
  common <- calibrated(counts, b, matrices = rates, type = "fixed", units = NULL, draws = 4000)
  alone <- calibrate_batch(counts, rates["a"], "fixed", do_not_calibrate = keep_other["a"], path_correction = FALSE,
                           shrinkage = 0)
  expect_lt(max(abs(common$estimates$mean - alone$estimates$mean)), 0.006)
  expect_lt(max(abs(common$quantiles - alone$quantiles), na.rm = TRUE), 0.02)
})

test_that("the only stratum is the country: its draws are the baseline's", {
  counts <- counts12[4, , , drop = FALSE]
  b <- made(counts, units = places[4, , drop = FALSE])
  fit <- calibrated(counts, b, units = places[4, , drop = FALSE])
  share <- 1 - fit$estimates$raw[fit$estimates$algorithm == "a" & fit$estimates$cause == "other"]
  expect_equal(fit$draws[1, , 1:4], share * b$a$country[, match(causes5[1:4], b$a$causes)], ignore_attr = TRUE)
  expect_length(b$a$units, 0)
  more <- calibrated(counts + 1, b, units = places[4, , drop = FALSE]) # deaths that came since are not lost
  expect_false(any(more$draws[1, , 1] == fit$draws[1, , 1]))
})

test_that("sums over strata vary with the matrices: wider than if each stratum had matrices of its own", {
  large <- example_counts(2000, "a")
  fit <- calibrated(large, made(large, draws = 400), draws = 400)
  together <- colMeans(fit$draws[, , 1])
  shuffled <- colMeans(t(apply(fit$draws[, , 1], 1, sample)))
  expect_gt(stats::sd(together), 1.5 * stats::sd(shuffled))
})

test_that("small strata do not pull the total away from the direct fit of all deaths", {
  small <- example_counts(8, "a")
  b <- made(small, draws = 400)
  fit <- calibrated(small, b, draws = 400)
  share <- sum(small[, "a", 1:4]) / sum(small)
  expect_lt(max(abs(apply(fit$draws[, , match(b$a$causes, causes5)], 3, mean) - share * colMeans(b$a$country))), 0.03)
})

test_that("an ensemble needs two members with deaths, and weighs their counts once per death", {
  counts <- counts12
  counts["s2", "b", ] <- 0
  counts["s3", "b", ] <- c(0, 0, 0, 0, 9)
  b <- made(counts)
  fit <- calibrated(counts, b)
  status <- function(s, a) fit$fits[rows_of(fit, s, a), c("status", "reason")]
  expect_equal(unlist(status(2, "ensemble"), use.names = FALSE), c("no_result", "fewer_than_two_members"))
  expect_equal(unlist(status(2, "b"), use.names = FALSE), c("no_result", "no_deaths"))
  expect_equal(status(2, "a")$status, "calibrated")
  expect_equal(status(3, "b")$reason, "no_deaths_in_calibrated_causes")
  expect_equal(status(3, "ensemble")$reason, "fewer_than_two_members")
  expect_true(b$ensemble$common_share > 0.05 && b$ensemble$common_share < 1)
  inner <- fit$common_strata
  expect_equal(unique(inner$weight[inner$algorithm == "ensemble"]), 1 / (1 + b$ensemble$common_share))
  expect_equal(unique(inner$weight[inner$algorithm == "a"]), 1)
})

test_that("a stratum without deaths is drawn from its prior only where it is asked for, and is marked", {
  counts <- counts12
  counts["s12", , ] <- 0
  b <- made(counts)
  expect_equal(calibrated(counts, b)$fits$status[34:36], rep("no_result", 3))
  fit <- calibrated(counts, b, borrow = TRUE)
  expect_equal(fit$fits$reason[34:36], rep("no_deaths_borrowed_from_other_strata", 3))
  expect_equal(as.vector(rowSums(fit$draws[34, , ])), rep(1, 200))
})

test_that("a large stratum is centred on its units without its own counts, and says so", {
  counts <- counts12
  counts["s5", , ] <- 20 * counts["s5", , ]
  fit <- calibrated(counts, made(counts))
  inner <- fit$common_strata
  expect_true(all(inner$without_own[inner$stratum == 5]))
  expect_setequal(baseline12$a$large, strata12) # each year has three strata
})

test_that("units that hold one stratum, all, or the same strata do not count", {
  units <- cbind(all = rep("x", 12), one = c("y", rep("z", 11)), province = places[, 1], again = paste0(places[, 1], "!"))
  b <- made(counts12, units = units, fits = "a")$a
  expect_setequal(b$units, c("one=z", "province=north", "province=south", "province=west"))
  expect_equal(b$inside[["province=south"]], "one=z")
  expect_equal(b$inside[["province=north"]], character())
})

test_that("a fit that no baseline can be made for keeps its raw fractions, or fails with the reason", {
  b <- made(counts12, left = list(a = causes5, b = "other"))
  expect_equal(b$a[c("status", "reason")], list(status = "not_calibrated", reason = "too_few_causes"))
  fit <- calibrated(counts12, b, left = list(a = causes5, b = "other"))
  expect_equal(unique(fit$fits$status[fit$fits$algorithm == "a"]), "not_calibrated")
  expect_equal(unique(fit$fits$unreliable_because[fit$fits$algorithm == "ensemble"]), "a")
  rates <- rows_to_one(alphas$a)
  rates[, 2] <- 0
  rates <- rows_to_one(rates)
  lost <- made(counts12[, "a", , drop = FALSE], matrices = list(a = rates), type = "fixed", left = list(a = character()),
               rule = "fixed")
  expect_equal(lost$a$status, "failed")
  gone <- calibrated(counts12[, "a", , drop = FALSE], lost, matrices = list(a = rates), type = "fixed",
                     left = list(a = character()), rule = "fixed")
  expect_equal(unique(gone$fits$status), "failed")
  expect_match(gone$fits$reason[1], "cannot produce the deaths")
})

test_that("an algorithm without any deaths has no result, and an old baseline says that it has no draws of it", {
  counts <- counts12
  counts[, "b", ] <- 0
  b <- made(counts)
  fit <- calibrated(counts, b)
  expect_equal(unique(fit$fits$reason[fit$fits$algorithm == "b"]), "no_deaths")
  expect_equal(unique(fit$fits$reason[fit$fits$algorithm == "ensemble"]), "fewer_than_two_members")
  expect_equal(unique(fit$fits$status[fit$fits$algorithm == "a"]), "calibrated")
  later <- calibrated(counts12, b)$fits
  expect_equal(unique(later$status[later$algorithm != "a"]), "failed")
  expect_match(later$reason[later$algorithm == "ensemble"], "the baseline has no draws of this fit")
})

test_that("what does not exist here is refused with the reason", {
  expect_error(calibration_settings("common", shrinkage = 2), "shrinkage does not exist with common matrix draws")
  expect_error(calibration_settings("common", path_correction = TRUE), "path_correction does not exist")
  expect_error(calibration_settings("common", effective_draws = 500), "effective_draws does not exist")
  expect_equal(calibration_settings("common")$draws, 2000)
  expect_error(calibrated(counts12, baseline12["a"]), "nothing for 'b', 'ensemble'")
  expect_error(calibrated(counts12, baseline12, draws = 300), "it has 200 draws, not 300")
  expect_error(calibrated(counts12, baseline12, units = places[1:3, ]), "units must be a character matrix")
  expect_error(make_baseline(counts12, alphas, "samples", do_not_calibrate = keep_other), "do not take samples yet")
})
