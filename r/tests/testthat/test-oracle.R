# K = 1: rows of M from their Dirichlets, q ~ Dirichlet(a + 1), p = solve(M', q) kept in the simplex and weighted by
# 1 / |det M| and the prior: exact independent draws.
oracle <- function(alpha, a, prior, n = 20000) {
  b <- length(a)
  out <- matrix(NA_real_, n, b)
  weight <- numeric(n)
  for (i in seq_len(n)) {
    m <- matrix(stats::rgamma(b * b, alpha), b)
    m <- m / rowSums(m)
    q <- stats::rgamma(b, a + 1)
    p <- solve(t(m), q / sum(q))
    if (any(p < 0)) next
    out[i, ] <- p
    weight[i] <- prod(p^(prior - 1)) / abs(det(m))
  }
  keep <- weight > 0
  list(p = out[keep, ], w = weight[keep] / sum(weight))
}

weighted_quantile <- function(x, w, probability) {
  o <- order(x)
  x[o][findInterval(probability, cumsum(w[o])) + 1]
}

expect_oracle <- function(a, alpha, shrinkage) {
  causes <- letters[seq_along(a)]
  dimnames(alpha) <- list(causes, causes)
  r <- calibrate_batch(counts_of(x = a, causes = causes), list(x = alpha), "prior", do_not_calibrate = list(x = character()),
                       rule = "fixed", path_correction = FALSE, shrinkage = shrinkage)
  o <- oracle(alpha, a, 1 + length(a) * shrinkage * a / sum(a))
  effective <- 1 / sum(o$w^2)
  mean <- colSums(o$w * o$p)
  sd <- sqrt(colSums(o$w * o$p^2) - mean^2)
  error <- sd * sqrt(1 / effective + 1 / min(r$fits$ess_bulk, 4000))
  expect_true(all(abs(r$estimates$mean - mean) < 4.5 * error))
  expect_equal(r$estimates$sd, sd, tolerance = 0.08)
  for (j in 1:2) {
    expected <- apply(o$p, 2, weighted_quantile, o$w, c(0.025, 0.975)[j])
    expect_true(all(abs(r$quantiles[, j] - expected) < 4.5 * 2.7 * error))  # 2.7: a normal density's at 2 sd
  }
}

test_that("one algorithm agrees with exact independent draws", {
  set.seed(11)
  expect_oracle(c(60, 30, 10), rbind(c(16, 3, 2), c(2, 12, 3), c(1, 2, 9)), 0)
  expect_oracle(c(600, 310, 90), rbind(c(16, 3, 2), c(2, 12, 3), c(1, 2, 9)), 4)
  expect_oracle(c(14, 12, 20, 11), unname(synthetic_alpha(letters[1:4], seed = 9)), 0)
})

test_that("one algorithm agrees with exact independent draws for Dirichlet parameters below 1", {
  set.seed(12)
  expect_oracle(c(40, 25, 10), rbind(c(4, 0.3, 0.1), c(0.2, 3, 0.5), c(0.4, 0.1, 5)), 0)
})
