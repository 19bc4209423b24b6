joint_counts <- function(n_strata = 6, deaths = 300, alphas = list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2)),
                         seed = 3, causes = rownames(alphas[[1]])) {
  set.seed(seed)
  n <- length(causes)
  counts <- array(0, c(n_strata, length(alphas), n), list(paste0("s", seq_len(n_strata)), names(alphas), causes))
  truth <- rgamma(n, 3)
  for (s in seq_len(n_strata)) {
    p <- rgamma(n, 30 * truth / sum(truth))
    for (k in seq_along(alphas)) counts[s, k, ] <- rmultinom(1, deaths, (p / sum(p)) %*% rows_to_one(alphas[[k]]))
  }
  counts
}

test_that("the gradient of the joint density equals finite differences", {
  zero <- synthetic_alpha(seed = 2)
  zero[1, 3] <- 0
  for (alphas in list(list(a = synthetic_alpha()), list(a = synthetic_alpha() / 20, b = zero))) {
    counts <- joint_counts(4, alphas = alphas)
    counts[2, , ] <- 0
    at <- vacal:::joint_density(counts, alphas)
    numeric <- vapply(seq_along(at$t), function(i) {
      h <- replace(numeric(length(at$t)), i, 1e-4)
      (vacal:::joint_density(counts, alphas, t = at$t + h)$value -
         vacal:::joint_density(counts, alphas, t = at$t - h)$value) / 2e-4
    }, 0)
    expect_equal(at$gradient, numeric, tolerance = 1e-4)
  }
})

# They are computed by fours.
test_that("the density and its gradient do not depend on the order of the strata", {
  alphas <- list(a = synthetic_alpha() / 20, b = synthetic_alpha(seed = 2))
  counts <- joint_counts(6, alphas = alphas)
  counts[5, , ] <- 0
  at <- vacal:::joint_density(counts, alphas)
  by_stratum <- matrix(seq_len(6 * dim(counts)[3]) + length(at$t) - 6 * dim(counts)[3], ncol = 6)
  shared <- seq_len(min(by_stratum) - 1)
  for (order in list(c(6, 3, 5, 1, 2, 4), c(2, 5, 4, 6, 3, 1))) {
    moved <- c(shared, by_stratum[, order])
    there <- vacal:::joint_density(counts[order, , ], alphas, t = at$t[moved])
    expect_equal(there$value, at$value, tolerance = 1e-6)
    expect_equal(there$gradient, at$gradient[moved], tolerance = 1e-4)
  }
})

test_that("draws depend on the seed, not on the number of threads", {
  alphas <- list(a = synthetic_alpha())
  counts <- joint_counts(2, alphas = alphas)
  fit <- function(...) vacal:::sample_joint(counts, alphas, draws = 100, effective_draws = 50, budget = 1000, ...)
  expect_identical(fit(threads = 1), fit(threads = 3))
  expect_false(identical(fit(seed = 1)$p, fit(seed = 2)$p))
})

# With the identity as matrix the counts are multinomial in p_s itself, so that (phi, pi) have the Dirichlet-multinomial
# likelihood in closed form; two causes leave two unknowns, which a grid integrates.
test_that("with an identity matrix and two causes the posterior is that of a grid", {
  causes <- c("x", "y")
  counts <- array(c(8, 30, 3, 0, 12, 20, 9, 0), c(4, 1, 2), list(paste0("s", 1:4), "a", causes))
  identity <- matrix(diag(2), 2, dimnames = list(causes, causes))
  fit <- vacal:::sample_joint(counts, list(a = identity), fixed = TRUE, draws = 4000, effective_draws = 1500)
  log_phi <- seq(-2, 8, length.out = 300)
  share <- (seq_len(400) - 0.5) / 400
  grid <- expand.grid(log_phi = log_phi, share = share)
  b1 <- exp(grid$log_phi) * grid$share
  b2 <- exp(grid$log_phi) * (1 - grid$share)
  log_density <- dnorm(grid$log_phi, 3, 1, log = TRUE)
  for (s in 1:4) log_density <- log_density + lbeta(b1 + counts[s, 1, 1], b2 + counts[s, 1, 2]) - lbeta(b1, b2)
  w <- exp(log_density - max(log_density))
  w <- w / sum(w)
  for (s in 1:4) {
    exact <- sum(w * (b1 + counts[s, 1, 1]) / (b1 + b2 + sum(counts[s, 1, ])))
    expect_equal(mean(fit$p[, s, 1]), exact, tolerance = 4 * sd(fit$p[, s, 1]) / sqrt(1500) / exact)
  }
  expect_equal(mean(log(fit$phi)), sum(w * grid$log_phi), tolerance = 4 / sqrt(1500) / 3)
  expect_equal(mean(fit$pi[, 1]), sum(w * grid$share), tolerance = 4 * sd(fit$pi[, 1]) / sqrt(1500) / 0.5)
})

# One stratum: draws of M, pi and phi from their priors, weighted by the likelihood of the counts with p drawn as well.
test_that("one stratum agrees with importance sampling from the prior", {
  alpha <- synthetic_alpha(causes5[1:3], total = 12)
  counts <- array(c(9, 4, 7), c(1, 1, 3), list("s", "a", causes5[1:3]))
  fit <- vacal:::sample_joint(counts, list(a = alpha), scatter = FALSE, draws = 4000, effective_draws = 1500)
  set.seed(11)
  n <- 2e5
  gammas <- function(shape) matrix(rgamma(n * length(shape), rep(shape, each = n)), n)
  share <- function(x) x / rowSums(x)
  pi <- share(gammas(c(1, 1, 1)))
  phi <- exp(rnorm(n, 3, 1))
  p <- share(matrix(rgamma(3 * n, phi * pi), n) + 1e-300)
  q <- 0
  for (i in 1:3) q <- q + p[, i] * share(gammas(alpha[i, ]))
  log_weight <- drop(log(q) %*% counts[1, 1, ])
  w <- exp(log_weight - max(log_weight))
  w <- w / sum(w)
  size <- 1 / sum(w^2)
  for (i in 1:3) {
    expect_equal(mean(fit$p[, 1, i]), sum(w * p[, i]), tolerance = 4 * sd(fit$p[, 1, i]) * sqrt(1 / 1500 + 1 / size) / 0.2)
  }
})

test_that("permuting the causes permutes the answer, and chains from any labels agree", {
  alphas <- list(a = synthetic_alpha(causes5[1:4], accuracy = 0.1))
  counts <- joint_counts(3, alphas = alphas)
  turn <- c(3, 1, 4, 2)
  fit <- vacal:::sample_joint(counts, alphas, draws = 1000, effective_draws = 200)
  other <- vacal:::sample_joint(counts[, , turn, drop = FALSE], lapply(alphas, function(m) m[turn, turn]), draws = 1000,
                                effective_draws = 200)
  expect_lt(fit$rhat, 1.02)
  expect_gt(fit$relabelled, 0.05)
  error <- apply(fit$p, 2:3, sd) * sqrt(2 / 200)
  expect_lt(max(abs(apply(fit$p, 2:3, mean)[, turn] - apply(other$p, 2:3, mean)) / error[, turn]), 5)
})

test_that("a whole calibration has the shape of a batch, and draws of strata belong together", {
  alphas <- list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2))
  counts <- joint_counts(3, deaths = 200, alphas = alphas)
  counts[3, , ] <- 0
  arguments <- list(counts, alphas, "prior", do_not_calibrate = list(a = "other", b = "other"), draws = 400,
                    effective_draws = 100, keep_draws = TRUE)
  joint <- do.call(calibrate_joint, arguments)
  batch <- do.call(calibrate_batch, c(arguments, path_correction = FALSE))
  for (part in names(batch)) {
    expect_identical(dim(joint[[part]]), dim(batch[[part]]))
    expect_identical(dimnames(joint[[part]]), dimnames(batch[[part]]))
  }
  expect_identical(lapply(joint$estimates, class), lapply(batch$estimates, class))
  expect_identical(lapply(joint$fits, class), lapply(batch$fits, class))
  expect_equal(unname(apply(joint$draws, 1:2, sum)), matrix(1, nrow(joint$fits), 400))
  expect_equal(unique(joint$fits$reason[joint$fits$stratum == 3]), "no_deaths_borrowed_from_other_strata")
  other <- joint$estimates[joint$estimates$cause == "other" & joint$estimates$stratum < 3, ]
  expect_equal(other$mean, other$raw)
  expect_equal(other$status, rep("passed_through", nrow(other)))
  expect_equal(joint$joint_fits$algorithm, c("a", "b", "ensemble"))
})

test_that("a stratum whose algorithms contradict the others' is reported as a misfit", {
  alphas <- list(a = synthetic_alpha(accuracy = 0.8, total = 300), b = synthetic_alpha(accuracy = 0.8, total = 300, seed = 2))
  counts <- joint_counts(4, deaths = 1000, alphas = alphas)
  counts[4, "a", ] <- rev(counts[4, "a", ])
  fit <- calibrate_joint(counts, alphas, "prior", do_not_calibrate = list(a = character(), b = character()), rule = "fixed",
                         draws = 400, effective_draws = 100)
  ensemble <- fit$misfit[fit$misfit$fit == "ensemble", ]
  expect_true(any(ensemble$misfit[ensemble$stratum == 4]))
  expect_false(any(ensemble$misfit[ensemble$stratum != 4]))
})

test_that("a fit that falls short says so, and is published only where its chains agree", {
  alphas <- list(a = synthetic_alpha())
  fit <- calibrate_joint(joint_counts(3, alphas = alphas), alphas, "prior", do_not_calibrate = list(a = "other"),
                         draws = 100, effective_draws = 1e5, budget = 1000)
  expect_false(fit$joint_fits$converged)
  expect_equal(fit$fits$status == "failed", rep(!fit$joint_fits$published, 3))
  expect_match(fit$joint_fits$reason, "R-hat")
})

# With so few transitions, and more draws than that, which must not pass for as many.
test_that("draws that are stored several times are counted once", {
  alphas <- list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2))
  fit <- function(draws) {
    calibrate_joint(joint_counts(3, alphas = alphas), alphas, "prior", do_not_calibrate = list(a = "other", b = "other"),
                    draws = draws, effective_draws = 100, keep_draws = TRUE)
  }
  few <- fit(200)
  many <- fit(20000)
  expect_identical(few$fits$distinct_draws[few$fits$status == "calibrated"],
                   rep(200L, sum(few$fits$status == "calibrated")))
  transitions <- many$joint_fits$transitions[match(many$fits$algorithm, many$joint_fits$algorithm)]
  expect_true(all(transitions < 20000))
  expect_identical(many$fits$distinct_draws, ifelse(many$fits$status == "calibrated", as.integer(transitions), NA_integer_))
  different <- apply(many$draws, 1, function(draws) nrow(unique(draws)))
  expect_true(all(different <= transitions))
})

test_that("what the joint model does not have is refused", {
  alphas <- list(a = synthetic_alpha())
  counts <- joint_counts(2, alphas = alphas)
  refused <- function(...) calibrate_joint(counts, alphas, "prior", do_not_calibrate = list(a = "other"), ...)
  expect_error(refused(shrinkage = 4), "shrinkage does not exist in the joint model", class = "vacal_input_error")
  counts <- array(1, c(5000, 1, 5), list(paste0("s", 1:5000), "a", causes5))
  expect_error(refused(), "fit groups of strata", class = "vacal_input_error")
})

test_that("progress tells how far a fit is and when it ends, changes no result, and its errors end the run", {
  run <- function(...) {
    alphas <- list(a = synthetic_alpha())
    calibrate_joint(joint_counts(3, deaths = 200, alphas = alphas), alphas, "prior", ensemble = FALSE,
                    do_not_calibrate = list(a = "other"), draws = 100, effective_draws = 100, ...)
  }
  seen <- list()
  told <- run(progress = function(stratum, algorithm, done, total, line) {
    seen[[length(seen) + 1]] <<- list(stratum, algorithm, done, total, line)
  })
  expect_identical(told, run())
  lines <- vapply(seen, `[[`, "", 5)
  expect_identical(tail(seen, 1), list(list(NA_integer_, "a", 1L, 1L, NA_character_)))
  expect_match(lines[-length(lines)], paste0("^joint fit a, 3 strata: [0-9,]+ (of about [0-9,]+ )?transitions, ",
                                             "R-hat 1\\.[0-9]{3}, effective size [0-9,]+ of 100$"))
  calls <- 0
  expect_error(run(progress = function(..., line) {
    calls <<- calls + 1
    stop("enough")
  }), "enough")
  expect_identical(calls, 1)
})

test_that("matrices that differ between strata show as scatter, and widen the intervals", {
  alphas <- list(a = synthetic_alpha(accuracy = 0.8, total = 300), b = synthetic_alpha(accuracy = 0.8, total = 300, seed = 2))
  counts <- joint_counts(12, deaths = 1000, alphas = alphas)
  set.seed(4)
  scattered <- apply(counts, 1:2, function(a) {
    q <- rgamma(length(a), 100 * a / sum(a) + 1e-6)
    drop(rmultinom(1, sum(a), q / sum(q)))
  })
  scattered <- aperm(scattered, c(2, 3, 1))
  dimnames(scattered) <- dimnames(counts)
  fit <- function(counts) {
    calibrate_joint(counts, alphas, "prior", do_not_calibrate = list(a = character(), b = character()), rule = "fixed",
                    draws = 400, effective_draws = 100)
  }
  plain <- fit(counts)
  noisy <- fit(scattered)
  expect_lt(max(plain$misfit$scatter[plain$misfit$fit == "ensemble"]), 3)
  expect_gt(min(noisy$misfit$scatter[noisy$misfit$fit == "ensemble"]), 4)
  expect_lt(mean(noisy$misfit$misfit), 0.1)
  width <- function(fit) mean((fit$quantiles[, 2] - fit$quantiles[, 1])[fit$estimates$algorithm == "ensemble"])
  expect_gt(width(noisy), 1.2 * width(plain))
})

# A small version of script/joint-study, K = 1, truth from the model: 95% intervals of the nation's fractions.
test_that("intervals of the nation hold the truth in the joint model, and not when separate fits are summed", {
  alpha <- synthetic_alpha(causes5[1:4])
  share <- function(x) x / sum(x)
  held <- vapply(1:12, function(seed) {
    set.seed(seed)
    m <- t(apply(alpha, 1, function(a) share(rgamma(4, a))))
    pi <- share(rgamma(4, 1))
    p <- t(replicate(10, share(rgamma(4, 20 * pi + 1e-3))))
    counts <- array(0, c(10, 1, 4), list(paste0("s", 1:10), "a", causes5[1:4]))
    for (s in 1:10) counts[s, 1, ] <- rmultinom(1, 600, p[s, ] %*% m)
    covers <- function(calibrate, ...) {
      fit <- calibrate(counts, list(a = alpha), "prior", do_not_calibrate = list(a = character()), rule = "fixed",
                       path_correction = FALSE, shrinkage = 0, draws = 1000, effective_draws = 150, keep_draws = TRUE, ...)
      nation <- apply(fit$draws, 2:3, mean)
      ends <- apply(nation, 2, quantile, c(0.025, 0.975))
      mean(colMeans(p) >= ends[1, ] & colMeans(p) <= ends[2, ])
    }
    c(summed = covers(calibrate_batch), joint = covers(calibrate_joint, budget = 400000))
  }, c(summed = 0, joint = 0))
  expect_gt(mean(held["joint", ]), 0.88)
  expect_lt(mean(held["summed", ]), 0.75)
})
