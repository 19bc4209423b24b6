causes <- causes5[1:3]
alpha <- list(eava = synthetic_alpha(causes))
counts <- array(c(60, 40, 25, 50, 15, 10), c(2, 1, 3), list(c("north", "south"), "eava", causes))
none_left_out <- list(eava = character())

refused <- function(expr, text) {
  e <- expect_error(expr, class = "vacal_input_error")
  expect_identical(e$problems, text)
}

test_that("settings as one object and one by one give the same result", {
  one_by_one <- calibrate_batch(counts, alpha, "prior", do_not_calibrate = none_left_out, draws = 200, effective_draws = 100,
                                rule = "fixed", seed = 3, quantiles = c(0.1, 0.9))
  together <- calibration_settings(draws = 200, effective_draws = 100, rule = "fixed", seed = 3, quantiles = c(0.1, 0.9))
  expect_identical(calibrate_batch(counts, alpha, "prior", do_not_calibrate = none_left_out, settings = together), one_by_one)
  joint <- function(...) calibrate_joint(counts, alpha, "prior", do_not_calibrate = none_left_out, ...)
  settings <- calibration_settings("joint", draws = 100, effective_draws = 50, budget = 1e4)
  expect_identical(joint(settings = settings), joint(draws = 100, effective_draws = 50, budget = 1e4))
})

test_that("defaults are those of the model, and of the core", {
  batch <- calibration_settings()
  joint <- calibration_settings("joint")
  expect_identical(batch[c("path_correction", "shrinkage", "effective_draws")],
                   list(path_correction = TRUE, shrinkage = 0, effective_draws = 4000))
  expect_identical(joint[c("path_correction", "shrinkage", "effective_draws")],
                   list(path_correction = FALSE, shrinkage = 0, effective_draws = 1000))
  expect_identical(calibration_settings(path_correction = FALSE)$shrinkage, 4)
  expect_identical(batch$quantiles, vacal:::constants()$interval)
  expect_identical(joint$budget, vacal:::constants()$joint_budget)
  expect_null(batch$budget)
})

test_that("every wrong setting is named at once", {
  refused(calibration_settings(rule = "guess", draws = 10, seed = -1, quantiles = 2, keep_draws = NA), c(
    "rule must be one of 'learn', 'fixed', not \"guess\"",
    "draws must be one whole number from 100 to 1e+07, not 10",
    "seed must be one whole number from 0 to 9007199254740992, not -1",
    "quantiles must be probabilities between 0 and 1",
    "keep_draws must be TRUE or FALSE, not NA"
  ))
  refused(calibration_settings("both"), "matrix_sharing must be one of 'per_stratum', 'joint', 'common', not \"both\"")
  refused(calibration_settings(shrinkage = 4), "shrinkage must be 0 with path correction, not 4")
  refused(calibration_settings("joint", shrinkage = 4), "shrinkage does not exist in the joint model: it must be 0")
  refused(calibration_settings("joint", budget = 1), "budget must be one number from 1000 to 1e+12, not 1")
  refused(calibration_settings(budget = 1e6), "budget is a setting of the joint model only: leave it out")
})

test_that("a call names what is wrong with its settings together with all else", {
  call <- function(...) calibrate_batch(counts, alpha, "prior", do_not_calibrate = none_left_out, ...)
  refused(calibrate_batch(-counts, alpha, "prior", do_not_calibrate = none_left_out, draws = 10, threads = 0), c(
    sprintf("counts: stratum '%s', algorithm 'eava', cause '%s': %d is not a non-negative whole number",
            c("north", "south"), rep(causes, each = 2), -as.integer(counts)),
    "draws must be one whole number from 100 to 1e+07, not 10",
    "threads must be one whole number from 1 to 1024, not 0"
  ))
  refused(call(settings = list(draws = 200)), "settings must come from calibration_settings()")
  refused(call(settings = calibration_settings(), draws = 200),
          "settings must be given as one object or one by one, not both")
  refused(call(settings = calibration_settings("joint")),
          "settings are for matrix_sharing 'joint'; this function needs 'per_stratum'")
  refused(calibrate_joint(counts, alpha, "prior", do_not_calibrate = none_left_out, settings = calibration_settings()),
          "settings are for matrix_sharing 'per_stratum'; this function needs 'joint'")
  refused(calibrate(list(eava = c(infection = 5)), alpha, seed = 1, draws = 10), c(
    "draws must be one whole number from 100 to 1e+07, not 10"
  ))
  expect_error(call(drawn = 200), "unused argument")
})

test_that("printed settings show each", {
  expect_output(print(calibration_settings(seed = 7)),
                "matrix_sharing = \"per_stratum\".*seed = 7.*quantiles = c\\(0.025, 0.975\\)")
})
