# The adapter to the published package, against a stand-in of the same interface that is built here, and against the
# real one wherever vacalibration 2.2 is installed.

engine_library <- function(version = "2.2") {
  library <- tempfile("library")
  source <- tempfile("standin")
  dir.create(library)
  dir.create(source)
  file.copy(test_path("standin"), source, recursive = TRUE)
  description <- file.path(source, "standin", "DESCRIPTION")
  writeLines(sub("^Version: .*", paste("Version:", version), readLines(description)), description)
  utils::install.packages(file.path(source, "standin"), library, repos = NULL, type = "source", quiet = TRUE,
                          INSTALL_opts = c("--no-docs", "--no-test-load"))
  library
}
has_real <- tryCatch(utils::packageVersion("vacalibration") == "2.2", error = function(e) FALSE)
standin <- engine_library()

with_library <- function(library, code) {
  old <- .libPaths()
  on.exit({
    if (isNamespaceLoaded("vacalibration")) unloadNamespace("vacalibration")
    .libPaths(old)
  })
  if (isNamespaceLoaded("vacalibration")) unloadNamespace("vacalibration")
  .libPaths(c(library, old))
  force(code)
}

mats <- list(a = synthetic_alpha(seed = 1), b = synthetic_alpha(seed = 2))
deaths <- function(names = c("a", "b")) {
  x <- array(0, c(2, length(names), 5), list(c("s1", "s2"), names, causes5))
  for (k in names) x["s1", k, ] <- c(60, 50, 40, 30, 20)
  for (k in names) x["s2", k, ] <- c(80, 40, 50, 35, 15)
  x
}
run <- function(counts = deaths(), matrices = mats, do_not_calibrate = lapply(matrices, function(m) "other"),
                draws = 1000, type = "prior", ...) {
  suppressMessages(calibrate_batch_published(counts, matrices, type, do_not_calibrate = do_not_calibrate,
                                             draws = draws, keep_draws = TRUE, ...))
}

expect_contract <- function(r) {
  own <- calibrate_batch(deaths(), mats, "prior", do_not_calibrate = lapply(mats, function(m) "other"), draws = 1000,
                         effective_draws = 100, keep_draws = TRUE)
  expect_named(r, names(own))
  expect_identical(vapply(r$estimates, typeof, ""), vapply(own$estimates, typeof, ""))
  expect_identical(vapply(r$fits, typeof, ""), vapply(own$fits, typeof, ""))
  for (field in setdiff(names(own), c("estimates", "fits"))) {
    expect_identical(dim(r[[field]]), dim(own[[field]]), label = field)
    expect_identical(dimnames(r[[field]]), dimnames(own[[field]]), label = field)
  }
  same <- c("stratum", "algorithm", "cause", "deaths", "raw", "status", "not_calibrated_reason")
  expect_equal(r$estimates[same], own$estimates[same])
  expect_identical(r$fits[c("stratum", "algorithm", "deaths", "status", "reason")],
                   own$fits[c("stratum", "algorithm", "deaths", "status", "reason")])
  expect_equal(r$matrices_published, own$matrices_published)
  expect_identical(r$calibrated_causes, own$calibrated_causes)
}

test_that("the result has the form of calibrate_batch() and the package's numbers", {
  with_library(standin, {
    r <- run()
    expect_contract(r)
    p <- r$draws[1, , ]
    expect_equal(r$estimates$mean[1:5], unname(colMeans(p)))
    expect_equal(r$estimates$sd[1:4], unname(apply(p[, 1:4], 2, sd)))
    expect_equal(unname(r$quantiles[2, ]), unname(quantile(p[, 2], c(0.025, 0.975))))
    expect_identical(r$estimates$sd[5], NA_real_)
    expect_identical(sum(r$estimates$calibrated_deaths[1:5]), 200L)
    expect_identical(sum(r$estimates$ensemble_deaths[1:5]), 200L)
    expect_equal(r$fits$lambda * 100, round(r$fits$lambda * 100))
    expect_identical(unique(r$fits$sampler), "vacalibration 2.2")
    expect_match(r$fits$sampler_reason[1], "nMCMC 1000, nBurn 5000, nThin 1, nChain 1, adapt_delta 0.9, seed 1")
    expect_identical(r$fits$divergences, rep(3L, 6))
    expect_identical(r$fits$acceptance, rep(NA_real_, 6))
  })
})

test_that("the published package itself fulfils the same form", {
  skip_if_not(has_real, "vacalibration 2.2 is not installed")
  expect_contract(run())
})

test_that("effective sizes come from the chain in order, not from permuted draws", {
  skip_if_not_installed("posterior")
  with_library(standin, {
    r <- run(deaths()["s1", "a", , drop = FALSE], mats["a"], quantiles = 0.5)
    raw <- getExportedValue("vacalibration", "vacalibration")
    set.seed(1)
    out <- suppressMessages(raw(
      list(a = deaths()["s1", "a", ]), missmat = mats["a"], donotcalib = list(a = "other"), ensemble = FALSE,
      nMCMC = 1000
    ))
    chain <- as.array(out$calib_MCMCout$a$stanfit)[, 1, 1:4]
    ess <- apply(chain / rowSums(chain), 2, posterior::ess_bulk)
    expect_equal(r$fits$ess_bulk, min(ess))
    expect_identical(dim(r$quantiles), c(5L, 1L))
  })
})

test_that("an algorithm without deaths stays out, and a zero count is flagged as stalled", {
  with_library(standin, {
    x <- deaths()
    x["s1", "b", ] <- 0
    x["s2", "a", "infection"] <- 0
    r <- run(x)
    expect_identical(r$fits$status, c("calibrated", "no_result", "no_result", "calibrated", "calibrated", "calibrated"))
    expect_identical(r$fits$reason[2:3], c("no_deaths", "fewer_than_two_members"))
    expect_identical(r$fits$path_correction_stalled, c(FALSE, NA, NA, TRUE, FALSE, FALSE))
    expect_identical(r$fits$unreliable_because, c(NA, NA, NA, "a", NA, "a"))
    expect_true(all(is.na(r$draws[2:3, , ])))
  })
})

test_that("an algorithm with one cause left is passed through", {
  with_library(standin, {
    r <- run(do_not_calibrate = list(a = causes5[-1], b = "other"))
    expect_identical(r$fits$status[1], "not_calibrated")
    expect_identical(r$fits$reason[1], "at_most_one_calibrated_cause")
    expect_identical(r$estimates$status[1:5], rep("passed_through", 5))
    expect_identical(r$fits$unreliable_because[3], "a")
    expect_equal(r$matrices_used[1, 1, , ], diag(5), ignore_attr = TRUE)
  })
})

test_that("messages before an empty stop() become the reason of the failed stratum, and the others go on", {
  with_library(standin, {
    x <- deaths(c("a", "broken"))
    x["s2", "broken", ] <- 0
    seen <- character()
    r <- withCallingHandlers(
      calibrate_batch_published(x, list(a = mats$a, broken = mats$b), "prior", draws = 200,
                                do_not_calibrate = list(a = "other", broken = "other")),
      message = function(m) {
        seen <<- c(seen, conditionMessage(m))
        invokeRestart("muffleMessage")
      }
    )
    expect_identical(r$fits$status, c("failed", "failed", "failed", "calibrated", "no_result", "no_result"))
    expect_match(r$fits$reason[1], "vacalibration: .*must be a named vector of death counts with causes as names.")
    expect_match(seen, "VA-Calibration complete", all = FALSE)
    expect_identical(unique(r$estimates$status[1:15]), "no_result")
  })
})

test_that("a field that is missing fails by its name", {
  with_library(standin, {
    r <- run(deaths("lacking"), list(lacking = mats$a))
    expect_identical(unique(r$fits$reason), "vacalibration: the field 'donotcalib_tomodel' of its result is not as expected")
  })
})

test_that("the same stratum gives the same result, and R's generator is left alone", {
  with_library(standin, {
    set.seed(42)
    before <- .Random.seed
    all <- run()
    expect_identical(.Random.seed, before)
    expect_identical(run(deaths()["s2", , , drop = FALSE])$draws, all$draws[4:6, , ])
  })
})

test_that("another version, or none, is refused by name", {
  with_library(engine_library("2.1"), {
    expect_error(run(), "the R package vacalibration is of version 2.1; only 2.2 is known here",
                 class = "vacal_engine_error")
  })
  skip_if(has_real, "vacalibration is installed")
  expect_error(run(), "the R package vacalibration 2.2 is not installed", class = "vacal_engine_error")
})

test_that("bad input is refused before the package is looked for", {
  expect_error(run(deaths() - 100), "is not a non-negative whole number", class = "vacal_input_error")
})
