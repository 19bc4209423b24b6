autoregressive <- function(n, n_chains, rho) {
  sapply(seq_len(n_chains), function(i) as.numeric(stats::filter(stats::rnorm(n), rho, "recursive")))
}

expect_posterior <- function(x) {
  ours <- diagnose_chains(x)
  expect_equal(ours[["rhat"]], posterior::rhat(x), tolerance = 1e-10)
  expect_equal(ours[["ess_bulk"]], suppressWarnings(posterior::ess_bulk(x)), tolerance = 1e-8)
  expect_equal(ours[["ess_tail"]], suppressWarnings(posterior::ess_tail(x)), tolerance = 1e-8)
}

test_that("R-hat and effective sizes equal those of the R package posterior", {
  skip_if_not_installed("posterior")
  set.seed(1)
  for (rho in c(-0.6, 0, 0.5, 0.95)) {
    for (n in c(20, 201, 1000)) expect_posterior(autoregressive(n, 4, rho))
  }
  expect_posterior(autoregressive(500, 2, 0.3) + rep(c(0, 1), each = 500)) # chains that disagree
  expect_posterior(round(autoregressive(300, 4, 0.2), 1)) # ties
  expect_posterior(exp(5 * autoregressive(400, 3, 0.2))) # a heavy tail
})

test_that("diagnostics of a constant are not a number", {
  expect_true(all(is.nan(diagnose_chains(matrix(1, 50, 2)))))
})
