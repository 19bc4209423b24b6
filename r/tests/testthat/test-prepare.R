prepare_r <- function(matrix, counts, left = rep(FALSE, length(counts)), fixed = FALSE, path_correction = TRUE) {
  got <- .Call(C_prepare_, as.double(matrix), as.double(counts), left, fixed, path_correction)
  list(lambda = got$lambda, matrix = matrix(got$matrix, length(counts)))
}

test_that("preparation equals a plain-R twin for uncertain and fixed matrices", {
  counts <- list(c(40, 30, 20, 8, 5), c(3, 60, 1, 9, 2), c(10, 10, 10, 10, 10), c(200, 5, 90, 1, 0))
  for (seed in 1:3) for (a in counts) for (fixed in c(FALSE, TRUE)) {
    m <- synthetic_alpha(seed = seed, accuracy = 0.3 + 0.2 * seed)
    if (fixed) m <- rows_to_one(m)
    left <- c(FALSE, FALSE, FALSE, FALSE, seed != 2)
    got <- prepare_r(m, a, left, fixed)
    expected <- twin_prepare(m, a, left, fixed, TRUE)
    expect_identical(got$lambda, expected$lambda)
    expect_equal(got$matrix, expected$matrix, tolerance = 1e-6)
  }
})

test_that("lambda stops at 0.99 for an uncertain and at 1.00 for a fixed matrix", {
  m <- synthetic_alpha()
  impossible <- c(100, 0, 0, 0, 0)
  expect_identical(prepare_r(m, impossible)$lambda, 99L)
  expect_identical(prepare_r(rows_to_one(m), impossible, fixed = TRUE)$lambda, 100L)
  expect_equal(prepare_r(rows_to_one(m), impossible, fixed = TRUE)$matrix, diag(5))
})

test_that("lambda is 0 and the alphas are untouched where the counts are possible", {
  m <- synthetic_alpha()
  expected <- drop(t(rows_to_one(m)) %*% rep(0.2, 5))
  got <- prepare_r(m, round(1e5 * expected))
  expect_identical(got$lambda, 0L)
  expect_identical(got$matrix, unname(m))
})

test_that("an identity matrix needs no correction even with a cause without deaths", {
  expect_identical(prepare_r(diag(3), c(7, 0, 3), fixed = TRUE)$lambda, 0L)
  expect_identical(prepare_r(10 * diag(3), c(7, 0, 3))$lambda, 0L)
  expect_identical(prepare_r(diag(3), c(7, 0, 0), fixed = TRUE)$lambda, 0L)
})

test_that("a singular matrix goes through the pseudo-inverse", {
  m <- matrix(c(0.5, 0.5, 0, 0.5, 0.5, 0, 0.2, 0.2, 0.6), 3, byrow = TRUE)
  for (a in list(c(40, 40, 20), c(50, 30, 20), c(10, 10, 80))) {
    got <- prepare_r(m, a, fixed = TRUE)
    expect_identical(got$lambda, twin_lambda(m, a / sum(a), TRUE))
  }
})

test_that("expected logarithms are right for very small and very large Dirichlet parameters", {
  log_rate <- function(a, b, shift, scale) .Call(C_expected_log_rate_, a, b, shift, scale, 6L)
  cases <- list(c(0.5, 800), c(2, 3), c(300, 4000), c(0.3, 0.4), c(1, 1), c(12, 0.2))
  for (ab in cases) for (lambda in c(0, 0.38, 0.99)) {
    expect_equal(log_rate(ab[1], ab[2], lambda, 1 - lambda),
                 twin_expected_log(ab[1], ab[2], lambda, 1 - lambda, 6), tolerance = 1e-7)
  }
  # alpha -> 0: nearly always 0 or 1 with probabilities a / (a + b), b / (a + b)
  a <- 1e-9
  ends <- mean(log(c(1e-5, 1 + 1e-5) / (1 + 6e-5)))
  expect_equal(log_rate(a, a, 0, 1), ends, tolerance = 1e-6)
  # alpha -> infinity: a constant
  expect_equal(log_rate(1e9, 3e9, 0.2, 0.8), log((0.4 + 1e-5) / (1 + 6e-5)), tolerance = 1e-6)
  expect_equal(log_rate(5, 0, 0.2, 0.8), log((1 + 1e-5) / (1 + 6e-5)))
})

test_that("a refitted row is the maximum-likelihood Dirichlet of simulated rows", {
  alpha <- c(8, 1, 0.4, 3)
  lambda <- 0.3
  set.seed(2)
  n <- 2e5
  d <- matrix(stats::rgamma(4 * n, rep(alpha, each = n)), n)
  x <- (lambda * rep(c(1, 0, 0, 0), each = n) + (1 - lambda) * d / rowSums(d) + 1e-5) / (1 + 4e-5)
  m <- rbind(alpha, 1, 1, 1)
  total <- twin_total(lambda * c(1, 0, 0, 0) + (1 - lambda) * alpha / sum(alpha), colMeans(log(x)))
  exact <- twin_block(m, lambda, FALSE)[1, ]
  expect_equal(sum(exact), total, tolerance = 0.01)
})

test_that("samples of Dirichlet rows give back their parameters", {
  alpha <- c(9, 2, 0.8, 4)
  set.seed(3)
  x <- matrix(stats::rgamma(4 * 1e5, rep(alpha, each = 1e5)), 1e5)
  x <- x / rowSums(x)
  got <- .Call(C_fit_row_, as.double(t(x)), 4L)
  expect_equal(got, alpha, tolerance = 0.02)
  nudged <- (x + 1e-5) / (1 + 4e-5)
  expect_equal(sum(got), twin_total(colMeans(x), colMeans(log(nudged))), tolerance = 1e-8)
})

test_that("structural zeros stay zero, and a row with one component stays a constant", {
  m <- rbind(c(5, 2, 0), c(1, 6, 2), c(0, 0, 4))
  got <- prepare_r(m, c(30, 40, 1))
  expect_gt(got$lambda, 0)
  expect_identical(got$matrix == 0, m == 0)
  expect_identical(got$matrix[3, ], m[3, ])
  expect_equal(got$matrix, twin_block(m, got$lambda / 100, FALSE), tolerance = 1e-6)
  samples <- cbind(0.7, c(0.1, 0.2, 0.3), 0)
  samples <- samples / rowSums(samples)
  expect_identical(.Call(C_fit_row_, as.double(t(samples)), 3L)[3], 0)
})

test_that("study causes expand as the rule says", {
  m <- synthetic_alpha(total = 40)
  map <- c(tetanus = "infection", lri = "pneumonia", sepsis = "infection", preterm = "prematurity",
           diarrhoea = "infection", rest = "other")
  for (fixed in c(FALSE, TRUE)) {
    x <- if (fixed) rows_to_one(m) else m
    got <- matrix(.Call(C_expand_study_causes_, as.double(x), match(map, causes5) - 1L, fixed), length(map))
    expect_equal(got, unname(twin_expand(x, map, fixed)))
    if (fixed) expect_equal(rowSums(got), rep(1, 6))
  }
})

test_that("largest remainders keep the total and give whole numbers", {
  round_to <- function(w, n) .Call(C_round_to_total_, as.double(w), n)
  expect_identical(round_to(c(1, 1, 1), 10), c(4, 3, 3))
  expect_identical(round_to(c(0.5, 0.3, 0.2), 7), c(4, 2, 1))
  expect_identical(round_to(c(0, 1), 5), c(0, 5))
  expect_identical(round_to(c(2, 3), 0), c(0, 0))
  set.seed(4)
  for (i in 1:200) {
    w <- stats::rgamma(6, 0.5)
    n <- sample(0:5000, 1)
    got <- round_to(w, n)
    expect_equal(sum(got), n)
    expect_true(all(abs(got - w / sum(w) * n) < 1))
  }
})
