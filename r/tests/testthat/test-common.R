sample_common <- vacal:::sample_common

repeated <- function(matrices, draws) { # draws x algorithms x causes x VA causes, all draws alike
  n <- ncol(matrices[[1]])
  aperm(array(unlist(lapply(matrices, t)), c(n, n, length(matrices), draws)), 4:1)
}

random_matrices <- function(draws, algorithms = 2, causes = 5, seed = 1) {
  set.seed(seed)
  m <- array(stats::rgamma(draws * algorithms * causes^2, 1), c(draws, algorithms, causes, causes))
  for (i in seq_len(causes)) m[, , i, i] <- m[, , i, i] + 3
  m / array(apply(m, 1:3, sum), dim(m))
}

counts_from <- function(..., causes = 5) array(rbind(...), c(1, ...length(), causes), list("s1", NULL, NULL))

test_that("with identity matrices draws are Dirichlet, also for small parameters and parts of deaths", {
  counts <- counts_from(c(12.5, 0, 3.25, 40, 0.75))
  prior <- c(1, 0.01, 0.5, 2, 3)
  fit <- sample_common(repeated(list(diag(5)), 4000), counts, prior)
  alpha <- prior + counts[1, 1, ]
  for (j in seq_along(alpha)[-2]) {
    expect_gt(stats::ks.test(fit$p[1, , j], stats::pbeta, alpha[j], sum(alpha) - alpha[j])$p.value, 1e-4)
  }
  expect_equal(mean(fit$p[1, , 2] > 1e-10), stats::pbeta(1e-10, 0.01, sum(alpha) - 0.01, lower.tail = FALSE), tolerance = 0.12)
})

# Two causes: the distribution function by numerical integration over the log odds.
exact_two <- function(m, counts, prior, at) {
  log_density <- function(t) {
    p <- stats::plogis(t)
    value <- prior[1] * stats::plogis(t, log.p = TRUE) + prior[2] * stats::plogis(-t, log.p = TRUE)
    for (k in seq_along(m)) {
      value <- value + counts[k, 1] * log(p * m[[k]][1, 1] + (1 - p) * m[[k]][2, 1]) +
        counts[k, 2] * log(p * m[[k]][1, 2] + (1 - p) * m[[k]][2, 2])
    }
    value
  }
  grid <- seq(-600, 600, 0.01)
  density <- exp(log_density(grid) - max(log_density(grid)))
  vapply(at, function(x) sum(density[grid <= stats::qlogis(x)]) / sum(density), 0)
}

test_that("two causes agree with numerical integration, also where the prior nearly rules out what deaths speak for", {
  m <- list(rbind(c(0.7, 0.3), c(0.2, 0.8)), rbind(c(0.6, 0.4), c(0.1, 0.9)))
  for (prior in list(c(0.01, 1), c(0.3, 0.02), c(1, 1))) {
    for (a in list(rbind(c(8, 20), c(6, 22)), rbind(c(5, 25), c(3, 27)), rbind(c(30.5, 70), c(20, 80.25)))) {
      fit <- sample_common(repeated(m, 4000), array(a, c(1, 2, 2)), prior)
      at <- c(1e-20, 1e-3, 0.05, 0.15, 0.3)
      expect_lt(max(abs(stats::ecdf(fit$p[1, , 1])(at) - exact_two(m, a, prior, at))), 0.035)
    }
  }
})

test_that("a change of one draw's matrix moves that draw alone, in every stratum", {
  m <- random_matrices(22)
  counts <- array(c(10, 3, 0, 7, 25, 4, 1, 2, 9, 30, 12, 3, 3, 3, 8, 0, 2, 1, 40, 5), c(2, 2, 5),
                  list(c("north", "south"), NULL, NULL))
  prior <- c(0.01, 0.2, 1, 2, 0.5)
  before <- sample_common(m, counts, prior)$p
  m[7, 1, , ] <- m[8, 2, , ]
  after <- sample_common(m, counts, prior)$p
  expect_identical(after[, -7, ], before[, -7, ])
  expect_false(any(after[, 7, ] == before[, 7, ]))
})

test_that("a stratum's draws depend on neither the strata beside it nor how many draws are made", {
  m <- random_matrices(22)
  counts <- array(stats::rpois(30, 8), c(3, 2, 5), list(c("a", "b", "c"), NULL, NULL))
  all <- sample_common(m, counts, rep(0.3, 5))$p
  expect_identical(sample_common(m, counts[c(3, 1), , ], rep(0.3, 5))$p, all[c(3, 1), , ])
  expect_identical(sample_common(m[1:9, , , ], counts, rep(0.3, 5))$p, all[, 1:9, ])
  expect_false(any(sample_common(m, counts, rep(0.3, 5), seed = 2)$p == all))
})

test_that("where all draws are one matrix, it agrees with the sampler for fixed matrices", {
  rates <- list(a = rows_to_one(synthetic_alpha()), b = rows_to_one(synthetic_alpha(seed = 2)))
  counts <- rbind(c(40, 22, 61, 30, 12), c(35, 30, 50, 40, 10))
  fit <- sample_common(repeated(rates, 8000), array(counts, c(1, 2, 5)), rep(1, 5))
  fixed <- vacal:::sample_problem(counts, rates, fixed = c(TRUE, TRUE), draws = 8000, effective_draws = 8000)
  sd <- apply(fixed$p, 2, stats::sd)
  expect_lt(max(abs(colMeans(fit$p[1, , ]) - colMeans(fixed$p)) / sd), 0.08)
  expect_lt(max(abs(apply(fit$p[1, , ], 2, stats::sd) / sd - 1)), 0.06)
})

test_that("draws whose matrix cannot produce the counts are missing and counted; structural zeros elsewhere are fine", {
  m <- repeated(list(rows_to_one(synthetic_alpha())), 12)
  m[3, 1, , 2] <- 0
  m[5, 1, 1, 2] <- 0
  m <- m / array(apply(m, 1:3, sum), dim(m))
  fit <- sample_common(m, counts_from(c(4, 9, 2, 1, 6)), rep(1, 5))
  expect_equal(fit$impossible, 1)
  expect_true(all(is.nan(fit$p[1, 3, ])))
  expect_equal(rowSums(fit$p[1, -3, ]), rep(1, 11))
})

test_that("a stratum without deaths is drawn from its prior", {
  fit <- sample_common(random_matrices(3000), array(0, c(1, 2, 5)), c(4, 1, 0.5, 2, 0.01))
  expect_gt(stats::ks.test(fit$p[1, , 1], stats::pbeta, 4, 3.51)$p.value, 1e-4)
})

test_that("the log-likelihood of the counts is that of the Dirichlet-multinomial where matrices are identities", {
  a <- c(4, 0, 7, 2, 1)
  b <- c(1, 0.6, 2, 0.8, 3)
  fit <- sample_common(repeated(list(diag(5)), 2000), counts_from(a), b)
  exact <- sum(lgamma(a + b) - lgamma(b)) + lgamma(sum(b)) - lgamma(sum(a + b))
  expect_equal(log(mean(exp(fit$log_likelihood - exact))), 0, tolerance = 0.02)
})

test_that("the inner chains' correlation is small for ordinary strata and large for one made to be hard", {
  m <- repeated(list(rows_to_one(matrix(1, 5, 5) + 0.05 * diag(5))), 1000)
  hard <- sample_common(m, counts_from(c(900, 100, 500, 100, 900)), rep(0.01, 5), inner = c(0, 2, 1, 0.1, 16))
  easy <- sample_common(random_matrices(1000), counts_from(c(9, 20, 8, 4, 6), c(9, 20, 8, 4, 6)), rep(1, 5))
  expect_lt(easy$correlation, 0.3)
  expect_gt(hard$correlation, 0.5)
})

test_that("in two stages the country's fractions are those of the published method, and its matrices go with them", {
  alphas <- list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2))
  counts <- rbind(c(120, 60, 90, 60, 20), c(110, 70, 80, 70, 20))
  both <- vacal:::sample_country(counts, alphas, 3000)
  alone <- vacal:::sample_problem(counts, alphas)
  sd <- apply(alone$p, 2, stats::sd)
  expect_lt(max(abs(colMeans(both$p) - colMeans(alone$p)) / sd), 0.12)
  again <- sample_common(both$m, array(counts, c(1, dim(counts))), rep(1, 5))$p[1, , ]
  expect_lt(max(abs(colMeans(again) - colMeans(both$p)) / sd), 0.12)
  expect_equal(range(apply(both$m, 1:3, sum)), c(1, 1))
})

test_that("matrices of a cut have their means, keep the identity outside their block, and do not depend on other algorithms", {
  alphas <- list(a = synthetic_alpha(), b = synthetic_alpha(seed = 2))
  inside <- rbind(c(TRUE, TRUE, TRUE, TRUE, FALSE), TRUE)
  m <- vacal:::draw_matrices(alphas, 4000, calibrated = inside)
  expect_equal(unname(apply(m[, 1, 1:4, 1:4], 2:3, mean)), unname(rows_to_one(alphas$a[1:4, 1:4])), tolerance = 0.02)
  expect_true(all(m[, 1, 5, 5] == 1) && all(m[, 1, 5, -5] == 0) && all(m[, 1, -5, 5] == 0))
  expect_identical(vacal:::draw_matrices(alphas["b"], 4000)[, 1, , ], m[, 2, , ])
})

test_that("a stratum with more than a fifth of a unit's deaths is centred without its own counts", {
  alphas <- list(a = synthetic_alpha())
  counts <- array(stats::rpois(60, 6), c(12, 1, 5), list(paste0("s", 1:12), "a", causes5))
  units <- list(east = 1:6, west = 7:12)
  centres <- function(counts) {
    b <- vacal:::common_baseline(counts, alphas, units, 40, "cut")
    vacal:::strata_centres(b, dimnames(counts)[[1]])
  }
  large <- counts
  large[1, 1, ] <- c(200, 0, 0, 0, 0)
  expect_lt(mean(centres(large)[1, , 1]), mean(centres(large)[2, , 1])) # the others are drawn to its deaths, it is not
  baseline <- vacal:::common_baseline(counts, alphas, list(east = 1:6, again = 1:6, all = 1:12, one = 3), 40, "cut")
  expect_named(baseline$units, "east")
})
