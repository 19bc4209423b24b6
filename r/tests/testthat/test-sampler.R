alpha5 <- function(seed = 1) unname(synthetic_alpha(seed = seed))
a5 <- c(120, 60, 240, 30, 150)

# Means of two independent sets of draws agree within Monte-Carlo error; as effective sizes, those of the fits.
expect_same_mean <- function(x, y) {
  error <- sqrt(apply(x$p, 2, stats::var) / min(x$ess_bulk, nrow(x$p)) + apply(y$p, 2, stats::var) / min(y$ess_bulk, nrow(y$p)))
  expect_true(all(abs(colMeans(x$p) - colMeans(y$p)) < 4.5 * error))
}

dirichlet_draws <- function(alpha, n = 20000) {
  x <- matrix(stats::rgamma(n * length(alpha), alpha), length(alpha))
  list(p = t(x) / colSums(x), ess_bulk = n)
}

test_that("with the identity as matrix, p is Dirichlet(counts + prior), for one algorithm and several", {
  set.seed(2)
  counts <- rbind(c(30, 12, 5, 0))
  one <- sample_problem(counts, list(diag(4)), fixed = TRUE, prior = c(1, 2, 3, 1))
  expect_same_mean(one, dirichlet_draws(counts[1, ] + c(1, 2, 3, 1)))
  two <- sample_problem(rbind(counts, counts), list(diag(4), diag(4)), fixed = c(TRUE, TRUE))
  expect_same_mean(two, dirichlet_draws(2 * counts[1, ] + 1))
})

test_that("without deaths p has its prior, whichever sampler draws it", {
  set.seed(3)
  prior <- c(2, 1, 4)
  alpha <- rbind(c(9, 2, 1), c(1, 8, 2), c(2, 2, 9))
  for (sampler in c("importance", "hmc")) {
    fit <- sample_problem(rbind(c(0, 0, 0)), list(alpha), prior = prior, sampler = sampler)
    expect_same_mean(fit, dirichlet_draws(prior))
  }
})

test_that("many deaths and a certain matrix give the solution of M'p = q", {
  alpha <- 1e7 * rows_to_one(alpha5())
  p <- c(0.3, 0.25, 0.2, 0.15, 0.1)
  q <- as.numeric(p %*% rows_to_one(alpha5()))
  fit <- sample_problem(rbind(round(1e8 * q)), list(alpha))
  expect_equal(colMeans(fit$p), p, tolerance = 1e-3)
  ensemble <- sample_problem(rbind(round(1e8 * q), round(1e8 * q)), list(alpha, alpha))
  expect_equal(colMeans(ensemble$p), p, tolerance = 1e-3)
})

test_that("HMC and importance sampling draw from the same posterior", {
  for (seed in 1:3) {
    counts <- rbind(round(600 * c(0.3, 0.25, 0.2, 0.15, 0.1) %*% rows_to_one(alpha5(seed))))
    x <- sample_problem(counts, list(alpha5(seed)), sampler = "importance")
    y <- sample_problem(counts, list(alpha5(seed)), sampler = "hmc")
    expect_identical(c(x$sampler, y$sampler), c("importance", "hmc"))
    expect_true(x$converged && y$converged)
    expect_same_mean(x, y)
    expect_equal(apply(x$p, 2, stats::sd), apply(y$p, 2, stats::sd), tolerance = 0.08)
  }
})

test_that("draws depend on seed, stratum and name alone", {
  draw <- function(...) sample_problem(rbind(a5, a5), list(alpha5(), alpha5(2)), draws = 100, effective_draws = 100, ...)$p
  base <- draw(seed = 1, stratum = "s", fit = "f")
  expect_identical(draw(seed = 1, stratum = "s", fit = "f"), base)
  expect_false(identical(draw(seed = 2, stratum = "s", fit = "f"), base))
  expect_false(identical(draw(seed = 1, stratum = "t", fit = "f"), base))
  expect_false(identical(draw(seed = 1, stratum = "s", fit = "g"), base))
})

test_that("a permutation of the causes permutes the answer", {
  order <- c(3, 1, 5, 2, 4)
  x <- sample_problem(rbind(a5, a5), list(alpha5(1), alpha5(2)))
  y <- sample_problem(rbind(a5, a5)[, order], list(alpha5(1)[order, order], alpha5(2)[order, order]))
  y$p <- y$p[, match(1:5, order)]
  expect_same_mean(x, y)
})

test_that("an algorithm without deaths changes nothing", {
  x <- sample_problem(rbind(a5, 0), list(alpha5(1), alpha5(2)), sampler = "hmc")
  y <- sample_problem(rbind(a5), list(alpha5(1)), sampler = "hmc")
  expect_identical(x$p, y$p)
})

test_that("exactly as many draws as asked for are stored, also when more or fewer were needed", {
  for (n in c(1, 7, 4000)) {
    expect_identical(dim(sample_problem(rbind(a5), list(alpha5()), draws = n, effective_draws = 500)$p), c(as.integer(n), 5L))
    fit <- sample_problem(rbind(a5, a5), list(alpha5(), alpha5(2)), draws = n, effective_draws = 500)
    expect_identical(dim(fit$p), c(as.integer(n), 5L))
  }
})

test_that("a fit that falls short says so and by how much", {
  fit <- sample_problem(rbind(a5, a5), list(alpha5(), alpha5(2)), budget = 1)
  expect_false(fit$converged)
  expect_match(fit$reason, "stopped at R-hat .* bulk effective size .* of 4000 asked for|chains disagree")
  expect_true(all(is.finite(fit$p)))
})

test_that("algorithms that contradict each other are not passed off as one answer", {
  alpha <- matrix(1, 4, 4) + diag(49, 4)
  fit <- sample_problem(rbind(c(900, 50, 30, 20), c(20, 30, 50, 900)), list(alpha, alpha), effective_draws = 500, draws = 500)
  expect_false(fit$converged)
  expect_gt(fit$rhat, 1.05)
  expect_match(fit$reason, "chains disagree")
})

test_that("deaths that no true cause can bring about are refused by name", {
  alpha <- matrix(2, 3, 3)
  alpha[, 3] <- 0
  expect_error(sample_problem(rbind(c(5, 5, 5)), list(alpha)), "algorithm 1 has deaths of VA cause 3")
})

test_that("all deaths in one cause: importance sampling gives way to HMC, with the reason", {
  fit <- sample_problem(rbind(c(500, 0, 0, 0)), list(matrix(2, 4, 4) + diag(8, 4)))
  expect_identical(fit$sampler, "hmc")
  expect_match(fit$reason, "importance sampling is too wasteful")
  expect_gt(mean(fit$p[, 1]), 0.97)
})

# Ranks of the true p_1 among 19 draws of its posterior, for data from the model.
ranks_of <- function(n_data_sets, alphas, sampler, deaths) {
  draw <- function(a) (function(x) x / sum(x))(stats::rgamma(length(a), a))
  sapply(seq_len(n_data_sets), function(seed) {
    set.seed(seed)
    n <- nrow(alphas[[1]])
    p <- draw(rep(1, n))
    counts <- t(sapply(alphas, function(a) stats::rmultinom(1, deaths[1 + seed %% length(deaths)], p %*% t(apply(a, 1, draw)))))
    fit <- sample_problem(counts, alphas, draws = 19, effective_draws = 150, seed = seed, sampler = sampler)
    sum(fit$p[, 1] < p[1])
  })
}

test_that("ranks of the truth are uniform: one algorithm by both samplers, three together", {
  deaths <- c(5, 100, 2000)
  small <- matrix(0.5, 3, 3) + diag(4, 3)
  sets <- list(
    ranks_of(150, list(alpha5()[1:4, 1:4]), "auto", deaths), ranks_of(80, list(alpha5()[1:4, 1:4]), "hmc", deaths),
    ranks_of(80, list(small, 2 * small, small), "auto", deaths)
  )
  for (ranks in sets) expect_gt(stats::chisq.test(tabulate(1 + ranks %/% 2, 10))$p.value, 1e-3)
})
