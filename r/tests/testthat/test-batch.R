mats <- list(
  eava = synthetic_alpha(seed = 1), insilicova = synthetic_alpha(seed = 2), interva = synthetic_alpha(seed = 3)
)
some_counts <- function() {
  s <- list(s1 = c(40, 30, 20, 15, 5), s2 = c(25, 35, 30, 12, 8), s3 = c(90, 70, 50, 40, 6))
  out <- array(0, c(3, 3, 5), list(names(s), names(mats), causes5))
  for (i in 1:3) for (k in 1:3) out[i, k, ] <- round(s[[i]] * c(1, 1.1, 0.9)[k])
  out
}
run <- function(counts = some_counts(), matrices = mats[dimnames(counts)[[2]]], type = "prior",
                do_not_calibrate = lapply(matrices, function(m) "other"), draws = 1000, effective_draws = 500,
                keep_draws = TRUE, ...) {
  calibrate_batch(counts, matrices, type, do_not_calibrate = do_not_calibrate, draws = draws,
                  effective_draws = effective_draws, keep_draws = keep_draws, ...)
}

test_that("shapes, names and order of the result are as documented", {
  x <- some_counts()
  r <- run(x)
  expect_identical(r$fits$algorithm, rep(c(names(mats), "ensemble"), 3))
  expect_identical(r$fits$stratum, rep(1:3, each = 4))
  expect_identical(nrow(r$estimates), 3L * 4L * 5L)
  expect_identical(r$estimates$cause, rep(causes5, 12))
  expect_identical(dim(r$quantiles), c(60L, 2L))
  expect_identical(dimnames(r$matrices_used), dimnames(x)[c(1, 2, 3, 3)])
  expect_identical(dim(r$draws), c(12L, 1000L, 5L))
  expect_equal(r$matrices_published["eava", , ], rows_to_one(mats$eava))
  expect_equal(apply(r$matrices_used, 1:3, sum), array(1, c(3, 3, 5)), ignore_attr = TRUE)
  pooled <- r$estimates$deaths[r$estimates$stratum == 1 & r$estimates$algorithm == "ensemble"]
  expect_equal(pooled, unname(colSums(x[1, , ])))
})

test_that("summaries come from the stored draws, and fractions sum to 1", {
  r <- run(quantiles = c(0.025, 0.4, 0.975))
  expect_equal(range(apply(r$draws, 1:2, sum)), c(1, 1))
  i <- 0
  for (f in seq_len(nrow(r$fits))) for (c in 1:5) {
    i <- i + 1
    p <- r$draws[f, , c]
    expect_equal(r$estimates$mean[i], mean(p))
    if (r$estimates$status[i] == "passed_through") {
      expect_identical(c(r$estimates$sd[i], r$quantiles[i, ]), rep(NA_real_, 4), ignore_attr = TRUE)
    } else {
      expect_equal(r$estimates$sd[i], sd(p))
      expect_equal(unname(r$quantiles[i, ]), unname(quantile(p, c(0.025, 0.4, 0.975))))
    }
  }
})

test_that("a stratum's bytes depend on neither batch, order of strata nor threads", {
  x <- some_counts()
  all <- run(x)
  expect_identical(run(x, threads = 2), all)
  expect_identical(run(x[3:1, , ], threads = 2)$draws[c(9:12, 5:8, 1:4), , ], all$draws)
  alone <- run(x[2, , , drop = FALSE])
  expect_identical(alone$draws, all$draws[5:8, , ])
  expect_identical(alone$estimates[-1], `rownames<-`(all$estimates[all$estimates$stratum == 2, -1], NULL))
  expect_identical(alone$quantiles, all$quantiles[all$estimates$stratum == 2, ])
  single <- run(x[, "eava", , drop = FALSE])
  expect_identical(single$draws, all$draws[c(1, 5, 9), , ])
  expect_false(identical(run(x, seed = 2)$draws, all$draws))
})

test_that("with an identity matrix the posterior is Dirichlet(deaths + 1)", {
  a <- c(12, 30, 0, 7)
  causes <- letters[1:4]
  m <- diag(4)
  dimnames(m) <- list(causes, causes)
  r <- run(counts_of(x = a, causes = causes), list(x = m), "fixed", list(x = character()), rule = "fixed",
           path_correction = FALSE, shrinkage = 0, draws = 20000, effective_draws = 20000)
  alpha <- a + 1
  p <- alpha / sum(alpha)
  sd <- sqrt(p * (1 - p) / (sum(alpha) + 1))
  expect_true(all(abs(r$estimates$mean - p) < 4 * sd / sqrt(2e4)))
  expect_equal(r$estimates$sd, sd, tolerance = 0.05)
  exact <- qbeta(0.975, alpha, sum(alpha) - alpha)
  expect_equal(unname(r$quantiles[, 2]), exact, tolerance = 0.05)
})

test_that("shrinkage adds C * shrinkage * p0 to the prior", {
  a <- c(12, 30, 0, 8)
  m <- diag(4)
  dimnames(m) <- list(letters[1:4], letters[1:4])
  r <- run(counts_of(x = a, causes = letters[1:4]), list(x = m), "fixed", list(x = "d"), rule = "fixed",
           path_correction = FALSE, shrinkage = 4, draws = 20000, effective_draws = 20000)
  alpha <- a[1:3] + 1 + 3 * 4 * a[1:3] / 42  # a fixed matrix: over the calibrated causes only
  p <- alpha / sum(alpha)
  expect_equal(r$estimates$mean, c(p * 42 / 50, 8 / 50), tolerance = 0.01)
})

test_that("an ensemble of identity matrices pools the counts", {
  m <- diag(4)
  dimnames(m) <- list(letters[1:4], letters[1:4])
  a <- counts_of(x = c(12, 30, 3, 7), y = c(20, 21, 4, 9), causes = letters[1:4])
  r <- run(a, list(x = m, y = m), "fixed", list(x = "d", y = "d"), rule = "fixed", path_correction = FALSE,
           shrinkage = 0, draws = 10000, effective_draws = 8000)
  pooled <- colSums(a[1, , ])
  alpha <- pooled[1:3] + 1
  e <- r$estimates[r$estimates$algorithm == "ensemble", ]
  share <- sum(pooled[1:3]) / sum(pooled)
  expect_equal(e$mean, unname(c(alpha / sum(alpha) * share, 1 - share)), tolerance = 0.01)
})

test_that("permuting the causes permutes the answer", {
  x <- some_counts()[1, , , drop = FALSE]
  order <- c(4, 2, 5, 1, 3)
  a <- run(x, draws = 8000, effective_draws = 8000)
  b <- run(x[, , order, drop = FALSE], mats, draws = 8000, effective_draws = 8000)
  at <- rep(4 * 0:3, each = 5)
  back <- as.vector(outer(match(1:5, order), 5 * 0:3, "+"))
  expect_identical(b$fits$lambda, a$fits$lambda)
  expect_identical(b$estimates$status[back], a$estimates$status)
  error <- 5 * ifelse(is.na(a$estimates$sd), 1e-12, a$estimates$sd) * sqrt(2 / 8000)
  expect_true(all(abs(b$estimates$mean[back] - a$estimates$mean) <= error))
})

test_that("matrices may come in another order of causes and letter case", {
  x <- some_counts()
  order <- c(4, 2, 5, 1, 3)
  shuffled <- lapply(mats, function(m) {
    dimnames(m) <- list(toupper(causes5), toupper(causes5))
    m[order, order]
  })
  expect_identical(run(x, shuffled), run(x))
})

test_that("samples are used as the Dirichlet that fits them", {
  set.seed(5)
  n <- 4000
  draw <- function(m) {
    g <- array(stats::rgamma(n * 25, rep(as.vector(m), each = n)), c(n, 5, 5), list(NULL, causes5, causes5))
    g / rep(apply(g, 1:2, sum), 5)
  }
  x <- some_counts()[1, "eava", , drop = FALSE]
  a <- run(x, draws = 4000, effective_draws = 4000)
  b <- run(x, list(eava = draw(mats$eava)), "samples", draws = 4000, effective_draws = 4000)
  expect_equal(b$matrices_published, a$matrices_published, tolerance = 0.01)
  expect_lt(abs(a$fits$lambda - b$fits$lambda), 0.021)
  expect_lt(max(abs(a$estimates$mean - b$estimates$mean)), 0.02)
})

test_that("study causes are calibrated under their own names", {
  map <- c(Tetanus = "infection", LRI = "Pneumonia", Sepsis = "infection", Preterm = "prematurity",
           Asphyxia = "asphyxia", Rest = "other")
  x <- counts_of(eava = c(14, 33, 90, 35, 60, 7), causes = names(map))
  r <- run(x, list(eava = mats$eava), study_causes = map)
  expect_equal(r$matrices_published["eava", , ],
               rows_to_one(twin_expand(mats$eava, setNames(tolower(map), names(map)), FALSE)))
  expect_identical(r$estimates$cause[r$estimates$status == "passed_through"], "Rest")
  broad <- run(x, list(eava = mats$eava), study_causes = map, do_not_calibrate = list(eava = c("INFECTION", "rest")))
  expect_identical(broad$estimates$not_calibrated_reason, c("asked_for", NA, "asked_for", NA, NA, "asked_for"))
})

test_that("a stratum that cannot be computed fails alone, with its reason", {
  m <- rbind(c(0.9, 0.1, 0), c(0.2, 0.8, 0), c(0.5, 0.5, 0))
  dimnames(m) <- list(letters[1:3], letters[1:3])
  x <- array(c(20, 10, 30, 40, 0, 5), c(2, 1, 3), list(c("good", "bad"), "x", letters[1:3]))
  r <- run(x, list(x = m), "fixed", list(x = character()), rule = "fixed", path_correction = FALSE, shrinkage = 0)
  expect_identical(r$fits$status, c("calibrated", "failed"))
  expect_true(nzchar(r$fits$reason[2]))
  expect_identical(r$estimates$status[4:6], rep("no_result", 3))
  expect_true(all(is.na(r$draws[2, , ])) && !anyNA(r$draws[1, , ]))
})

test_that("progress is called after each fit and its errors end the run", {
  seen <- list()
  run(progress = function(stratum, algorithm, done, total) {
    seen[[done]] <<- list(stratum, algorithm, total)
  }, threads = 2)
  expect_length(seen, 12)
  expect_setequal(vapply(seen, function(s) paste(s[[1]], s[[2]]), ""),
                  paste(rep(1:3, each = 4), c(names(mats), "ensemble")))
  expect_identical(unique(vapply(seen, `[[`, 0L, 3)), 12L)
  expect_error(run(progress = function(...) stop("enough")), "enough")
})

expect_problem <- function(expr, text) {
  e <- expect_error(expr, class = "vacal_input_error")
  expect_identical(e$problems, text)
}

test_that("bad input is refused with argument, place and value", {
  x <- some_counts()
  y <- x
  y["s2", "interva", "asphyxia"] <- -3
  y["s3", "eava", "infection"] <- 2.5
  expect_problem(run(y), c(
    "counts: stratum 's3', algorithm 'eava', cause 'infection': 2.5 is not a non-negative whole number",
    "counts: stratum 's2', algorithm 'interva', cause 'asphyxia': -3 is not a non-negative whole number"
  ))
  expect_problem(run(x, mats[1:2], do_not_calibrate = none(mats)), "matrices: none for algorithm 'interva'")
  bad <- mats
  bad$eava["asphyxia", "asphyxia"] <- 0
  expect_problem(run(x, bad),
                 "matrices: algorithm 'eava': cause 'asphyxia': the Dirichlet alpha of the diagonal must be above 0")
  expect_problem(run(x, mats, "fixed"), sprintf("matrices: algorithm '%s': rates in row '%s' must sum to 1",
                                                rep(names(mats), each = 5), causes5))
  expect_problem(run(x, type = "posterior"),
                 "matrix_type must be one of 'prior', 'fixed', 'samples', not \"posterior\"")
  expect_problem(run(x, shrinkage = 4), "shrinkage must be 0 with path correction, not 4")
  expect_problem(run(x, seed = -1, draws = 10), c(
    "draws must be one whole number from 100 to 1e+07, not 10",
    "seed must be one whole number from 0 to 9007199254740992, not -1"
  ))
  expect_problem(run(x, do_not_calibrate = list(eava = "malria", insilicova = "other", interva = "other")),
                 "do_not_calibrate: 'malria' is no known cause")
  expect_problem(run(x, bad, draws = 10), c(
    "draws must be one whole number from 100 to 1e+07, not 10",
    "matrices: algorithm 'eava': cause 'asphyxia': the Dirichlet alpha of the diagonal must be above 0"
  ))
  expect_error(run(1:3, mats, do_not_calibrate = none(mats)),
               "counts must be a numeric array strata x algorithms x causes with dimnames", class = "vacal_input_error")
  z <- x
  dimnames(z)[[3]][1] <- "infektion"
  expect_problem(run(z), c(
    paste("counts: cause 'infektion' is not in the matrices; they have 'infection', 'pneumonia', 'prematurity',",
          "'asphyxia', 'other'"),
    "counts: cause 'infection' of the matrices is missing; give 0 deaths where there are none"
  ))
  expect_problem(run(x, study_causes = c(infection = "infection", pneumonia = "lungs", prematurity = "other")), c(
    "study_causes: study cause 'asphyxia', 'other' has no broad cause",
    paste("study_causes: 'lungs' is no cause of the matrices; they have 'infection', 'pneumonia', 'prematurity',",
          "'asphyxia', 'other'")
  ))
})

# 64 known matrices of 64 causes are allowed, which only so few strata and draws keep quick.
test_that("more than 64 causes are refused, whether strata share their matrices or not", {
  identity <- function(n) {
    causes <- paste0("c", seq_len(n))
    list(a = matrix(diag(n), n, dimnames = list(causes, causes)))
  }
  call <- function(calibrate, n, map = NULL, broad = n) {
    causes <- paste0("c", seq_len(n))
    calibrate(array(5, c(1, 1, n), list("s", "a", causes)), identity(broad), "fixed", study_causes = map,
              do_not_calibrate = list(a = character()), rule = "fixed", path_correction = FALSE, shrinkage = 0,
              draws = 100, effective_draws = 10)
  }
  for (calibrate in list(calibrate_batch, calibrate_joint)) {
    expect_problem(call(calibrate, 65), "counts: at most 64 causes can be calibrated, not 65: merge some")
    map <- setNames(rep(c("c1", "c2"), c(40, 25)), paste0("c", 1:65))
    expect_problem(call(calibrate, 65, map, broad = 2), "counts: at most 64 causes can be calibrated, not 65: merge some")
    expect_problem(call(calibrate, 2, c(c1 = "c1", c2 = "c2"), broad = 65),
                   "matrices: algorithm 'a': at most 64 causes can be calibrated, not 65: merge some")
  }
  expect_identical(call(calibrate_batch, 64)$fits$status, "calibrated")
})

test_that("a caller outside of R is told how each stratum's fits went, one line a stratum", {
  alphas <- list(a = synthetic_alpha(seed = 1), b = synthetic_alpha(seed = 2))
  counts <- counts_of(a = c(300, 250, 200, 150, 100), b = c(250, 250, 250, 150, 100))
  told <- character()
  answer <- calibrate_batch_for_caller(
    function(level, text) told <<- c(told, paste(level, text)), "vacal",
    counts = counts, matrices = alphas, matrix_type = "prior", do_not_calibrate = none(alphas),
    draws = 200, effective_draws = 200
  )
  expect_named(answer, "value")
  expect_length(told, 1)
  expect_match(told, "^info .* - a: .*effective draws; b: .*effective draws; ensemble: .*effective draws$")
})

test_that("a caller outside of R is told how each joint fit went, one line a fit", {
  alphas <- list(a = synthetic_alpha(seed = 1))
  counts <- counts_of(a = c(300, 250, 200, 150, 100))
  told <- character()
  answer <- calibrate_batch_for_caller(
    function(level, text) told <<- c(told, paste(level, text)), "vacal", "joint",
    counts = counts, matrices = alphas, matrix_type = "prior", do_not_calibrate = none(alphas),
    draws = 100, effective_draws = 50, budget = 1e5
  )
  expect_true("joint_fits" %in% names(answer$value))
  expect_length(told, 1)
  expect_match(told, "^info a: all strata in one fit, R-hat .* effective draws")
})

test_that("distinct draws are those of the sampler among the stored ones", {
  distinct <- function(...) run(some_counts()[1:2, , , drop = FALSE], ...)
  r <- distinct(draws = 1000, effective_draws = 100)
  exact <- r$fits$sampler == "importance"
  expect_true(any(exact) && any(!exact))
  different <- apply(r$draws, 1, function(draws) nrow(unique(draws)))
  expect_identical(r$fits$distinct_draws[exact], different[exact])
  expect_identical(r$fits$distinct_draws[!exact], rep(1000L, sum(!exact)))
  none <- run(some_counts() * 0)
  expect_true(all(is.na(none$fits$distinct_draws)))
})

test_that("the reported effective size is never more than the draws that the summaries rest on", {
  alphas <- list(a = synthetic_alpha(seed = 1), b = synthetic_alpha(seed = 2))
  counts <- counts_of(a = c(300, 250, 200, 150, 100), b = c(250, 250, 250, 150, 100))
  r <- calibrate_batch(counts, alphas, "prior", do_not_calibrate = none(alphas), draws = 150, effective_draws = 1000)
  expect_true(all(r$fits$ess_bulk <= 150 & r$fits$ess_tail <= 150))
  expect_true(all(r$fits$converged))
})
