#' Settings of a calibration
#'
#' One checked object that holds how counts are calibrated. [calibrate_batch()], [calibrate_joint()],
#' [calibrate_batch_published()] and [calibrate()] take these settings by name as well, and make the object themselves:
#' `calibrate_batch(..., draws = 1000)` is `calibrate_batch(..., settings = calibration_settings(draws = 1000))`. The
#' object is for calls that share their settings.
#'
#' @param matrix_sharing `"per_stratum"`; `"joint"` for [calibrate_joint()], in whose model all strata share one matrix
#'   for each algorithm; or `"common"` for [calibrate_common()]. Some defaults depend on it.
#' @param rule `"learn"`: causes whose misclassification rates vary by at most `threshold` over the true causes
#'   keep their observed fraction, too; `"fixed"`: only those of `do_not_calibrate`.
#' @param threshold Largest difference between rates in a column that counts as no information.
#' @param path_correction Whether to shrink the matrices. The evidence for the intervals of the joint model is for `FALSE`,
#'   its default there. Common matrix draws have none.
#' @param shrinkage Strength of the prior's pull towards the uncalibrated CSMF; must be 0 with path correction, in the
#'   joint model, and with common matrix draws.
#' @param ensemble Whether to fit the ensemble as well; needs at least two algorithms.
#' @param draws Number of equally weighted posterior draws that every result rests on: 4,000, and 2,000 for `"common"`.
#' @param effective_draws Bulk effective sample size to reach: of every fraction of a stratum, and in the joint model of all
#'   strata together as well. That of the tails must reach 0.4 of it (joint model: half). `NULL` for `"common"`: `draws` says it.
#' @param seed Whole number; with the stratum's key and the algorithm's name it fixes the random numbers.
#' @param quantiles Probabilities of the posterior quantiles to report (type 7).
#' @param keep_draws Whether to return the draws.
#' @param budget Joint model: density evaluations that each fit may take at most. `NULL` elsewhere.
#'
#' @return An object of class `vacal_settings`: a list of all settings, with a method for `print()`.
#' @inheritSection calibrate_batch Errors
#' @examples
#' calibration_settings(draws = 1000, seed = 7)
#' calibration_settings("joint")
#' @export
calibration_settings <- function(matrix_sharing = "per_stratum", rule = "learn", threshold = 0.1,
                                 path_correction = identical(matrix_sharing, "per_stratum"),
                                 shrinkage = if (identical(matrix_sharing, "per_stratum") && !isTRUE(path_correction)) 4 else 0,
                                 ensemble = TRUE, draws = if (identical(matrix_sharing, "common")) 2000 else 4000,
                                 effective_draws = switch(paste(matrix_sharing)[1], joint = 1000, common = NULL, 4000), seed = 1,
                                 quantiles = c(0.025, 0.975), keep_draws = FALSE,
                                 budget = if (identical(matrix_sharing, "joint")) 5e6) {
  settings <- list(
    matrix_sharing = matrix_sharing, rule = rule, threshold = threshold, path_correction = path_correction,
    shrinkage = shrinkage, ensemble = ensemble, draws = draws, effective_draws = effective_draws, seed = seed,
    quantiles = quantiles, keep_draws = keep_draws, budget = budget
  )
  problems <- check_settings(settings)
  if (length(problems) > 0) abort_input(problems)
  structure(settings, class = "vacal_settings")
}

#' @describeIn calibration_settings Prints a line for each setting.
#' @param x A `vacal_settings`.
#' @param ... Not used.
#' @export
print.vacal_settings <- function(x, ...) {
  shown <- Filter(Negate(is.null), unclass(x))
  cat(sprintf("%s = %s\n", names(shown), vapply(shown, deparse1, "")), sep = "")
  invisible(x)
}

check_settings <- function(s) {
  joint <- identical(s$matrix_sharing, "joint")
  common <- identical(s$matrix_sharing, "common")
  quantiles_ok <- is.numeric(s$quantiles) && length(s$quantiles) > 0 && all(is.finite(s$quantiles)) &&
    all(s$quantiles >= 0 & s$quantiles <= 1)
  problems <- c(
    check_choice(s$matrix_sharing, "matrix_sharing", c("per_stratum", "joint", "common")),
    check_choice(s$rule, "rule", c("learn", "fixed")),
    check_number(s$threshold, "threshold", 0, 1),
    check_flag(s$path_correction, "path_correction"),
    check_number(s$shrinkage, "shrinkage", 0),
    check_flag(s$ensemble, "ensemble"),
    check_number(s$draws, "draws", 100, 1e7, whole = TRUE),
    if (!common) check_number(s$effective_draws, "effective_draws", 1, 1e7),
    if (common && !is.null(s$effective_draws)) "effective_draws does not exist with common matrix draws: set draws",
    if (common && isTRUE(s$path_correction)) "path_correction does not exist with common matrix draws: it must be FALSE",
    check_number(s$seed, "seed", 0, 2^53, whole = TRUE),
    if (!quantiles_ok) "quantiles must be probabilities between 0 and 1",
    check_flag(s$keep_draws, "keep_draws"),
    if (joint) check_number(s$budget, "budget", 1000, 1e12),
    if (!joint && !is.null(s$budget)) "budget is a setting of the joint model only: leave it out"
  )
  if (length(problems) > 0 || s$shrinkage == 0) return(problems)
  if (joint) return("shrinkage does not exist in the joint model: it must be 0")
  if (common) return("shrinkage does not exist with common matrix draws: it must be 0")
  if (s$path_correction) sprintf("shrinkage must be 0 with path correction, not %s", format(s$shrinkage))
}

# Evaluates the argument `settings` of a calibration, and returns it or what is wrong with it, as the condition. again:
# whether settings were also given one by one.
take_settings <- function(settings, matrix_sharing, again) {
  tryCatch(
    {
      if (inherits(settings, "vacal_input_error")) stop(settings)
      if (!inherits(settings, "vacal_settings")) abort_input("settings must come from calibration_settings()")
      if (again) abort_input("settings must be given as one object or one by one, not both")
      if (settings$matrix_sharing != matrix_sharing) {
        abort_input(sprintf("settings are for matrix_sharing '%s'; this function needs '%s'", settings$matrix_sharing,
                            matrix_sharing))
      }
      settings
    },
    vacal_input_error = identity
  )
}
