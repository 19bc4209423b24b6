#' Calibrate one set of counts
#'
#' Calibrates the cause-specific mortality fractions (CSMF) that one or several verbal-autopsy algorithms gave to
#' one population, and those of their ensemble. The model, the path correction and the rules for causes that are
#' left out are those of [calibrate_batch()], which does the same for many populations.
#'
#' The ensemble treats the algorithms as independent although they look at the same deaths, which makes its
#' intervals too narrow.
#'
#' @param counts List named by algorithm; each element a vector of deaths (whole numbers) named by cause. A cause
#'   that an algorithm does not name has 0 deaths.
#' @param inventory List of misclassification matrices named by algorithm, in the form that `matrix_type` says (see
#'   [calibrate_batch()]); [select_matrices()] takes them from the published inventory. More algorithms than in
#'   `counts` do no harm.
#' @param seed Whole number that fixes the random numbers. It has no default, so that a result can always be had
#'   again.
#' @param do_not_calibrate Causes that keep their observed fraction: a character vector for all algorithms, or a
#'   list of such named by algorithm.
#' @param ensemble Whether to fit the ensemble as well; needs at least two algorithms.
#' @param ... Of `calibrate()`: other [calibration_settings()] but `quantiles` and `keep_draws`. Of the methods: not used.
#' @inheritParams calibrate_batch
#'
#' @return An object of class `vacal_calibration`, a list with `estimates`, `fits`, `matrices_used`,
#'   `matrices_published`, `calibrated_causes` (as [calibrate_batch()] returns them, without the dimension of the
#'   strata), `draws` (array fits x draws x causes, uncalibrated causes at their observed fraction, `NA` where there
#'   is no result) and `settings`. It has methods for `print()`, `summary()` (a data frame), `plot()` and
#'   `as.matrix()` (the draws of one fit, draws x causes, as package posterior takes them).
#' @inheritSection calibrate_batch Errors
#' @inherit calibrate_batch references
#' @examples
#' causes <- c("infection", "prematurity", "other")
#' alpha <- matrix(c(16, 2, 2, 3, 15, 2, 4, 4, 12), 3, byrow = TRUE, dimnames = list(causes, causes))
#' counts <- list(eava = c(infection = 60, prematurity = 25, other = 15))
#' fit <- calibrate(counts, list(eava = alpha), seed = 1)
#' fit
#' summary(fit, quantiles = c(0.05, 0.5, 0.95))
#' @export
calibrate <- function(counts, inventory, seed, matrix_type = "prior", study_causes = NULL,
                      do_not_calibrate = "other", ensemble = length(counts) > 1, threads = 1, ...) {
  if (missing(seed)) abort_input("seed is missing: give a whole number, so that the result can be had again")
  problems <- check_count_list(counts, inventory)
  if (length(problems) > 0) abort_input(problems)
  if (is.character(do_not_calibrate)) do_not_calibrate <- rapply(counts, function(x) do_not_calibrate, how = "list")
  array <- counts_array(counts, inventory, study_causes)
  settings <- take_settings(
    calibration_settings(..., ensemble = ensemble, seed = seed, quantiles = constants()$interval, keep_draws = TRUE),
    "per_stratum", FALSE
  )
  result <- tryCatch(
    calibrate_batch(array, inventory, matrix_type, study_causes, do_not_calibrate, settings, threads),
    vacal_input_error = function(e) abort_input(sub(" stratum 'all',", "", e$problems), sys.call(-4))
  )
  data <- list(matrix_type = matrix_type, study_causes = study_causes, do_not_calibrate = do_not_calibrate)
  new_calibration(result, c(data, unclass(settings)))
}

check_count_list <- function(counts, inventory) {
  if (!is.list(counts) || length(counts) == 0 || is.null(names(counts))) {
    return("counts must be a list of vectors of deaths, named by algorithm")
  }
  if (!is.list(inventory) || is.null(names(inventory))) {
    return("inventory must be a list of misclassification matrices, named by algorithm")
  }
  lacking <- setdiff(names(counts), names(inventory))
  vectors <- vapply(counts, function(x) is.numeric(x) && length(x) > 0 && !is.null(names(x)), NA)
  c(
    check_names(names(counts), "counts", "algorithm"),
    if (length(lacking) > 0) sprintf("inventory: no matrix for algorithm %s", quoted(lacking)),
    sprintf("counts: algorithm '%s' must be a vector of numbers named by cause", names(counts)[!vectors]),
    unlist(lapply(names(counts)[vectors], function(a) {
      check_names(names(counts[[a]]), sprintf("counts: algorithm '%s'", a), "cause")
    }))
  )
}

# Counts as an array with one stratum; causes in the order of the matrices or of the study-cause map, any unknown
# ones last (for the checks to name).
counts_array <- function(counts, inventory, study_causes) {
  known <- if (is.null(study_causes)) matrix_causes(inventory[[names(counts)[1]]]) else names(study_causes)
  named <- unlist(lapply(counts, names), use.names = FALSE)
  causes <- c(known, named[!canonical(named) %in% canonical(known)])
  causes <- causes[!duplicated(canonical(causes))]
  out <- array(0, c(1, length(counts), length(causes)), list("all", names(counts), causes))
  for (a in names(counts)) out[1, a, match(canonical(names(counts[[a]])), canonical(causes))] <- counts[[a]]
  out
}

new_calibration <- function(result, settings) {
  one <- function(x) array(x, dim(x)[-1], dimnames(x)[-1])
  estimates <- result$estimates[names(result$estimates) != "stratum"]
  estimates <- cbind(estimates, lower = result$quantiles[, 1], upper = result$quantiles[, 2])
  dimnames(result$draws)[[1]] <- result$fits$algorithm
  structure(
    class = "vacal_calibration",
    list(
      estimates = estimates, fits = result$fits[names(result$fits) != "stratum"],
      matrices_used = one(result$matrices_used), matrices_published = result$matrices_published,
      calibrated_causes = result$calibrated_causes, draws = result$draws, settings = settings
    )
  )
}

#' Matrices of one age group and country from the published inventory
#'
#' Takes from the object `CCVA_missmat`, which the R package vacalibration (2.1 and later) carries, what
#' [calibrate()] and [calibrate_batch()] need.
#'
#' @param inventory The object: `[[age group]][[algorithm]][[kind]][[country]]`.
#' @param age_group `"neonate"` (0-27 days) or `"child"` (1-59 months).
#' @param country One of the inventory's countries, or `"other"` for the matrix of all others; never guessed.
#' @param matrix_type `"prior"` (Dirichlet parameters) or `"fixed"` (posterior means).
#' @return List of matrices, causes x causes, named by algorithm.
#' @inheritSection calibrate_batch Errors
#' @export
select_matrices <- function(inventory, age_group, country, matrix_type = "prior") {
  problems <- c(
    check_choice(age_group, "age_group", c("neonate", "child")),
    check_choice(matrix_type, "matrix_type", c("prior", "fixed"))
  )
  if (length(problems) > 0) abort_input(problems)
  if (!is.list(inventory[[age_group]])) abort_input(sprintf("inventory: nothing for age group '%s'", age_group))
  kind <- if (matrix_type == "prior") "asDirich" else "postmean"
  lapply(inventory[[age_group]], function(algorithm) {
    countries <- names(algorithm[[kind]])
    at <- match(canonical(country), canonical(countries))
    if (is.na(at)) abort_input(sprintf("country '%s' is not in the inventory, which has %s", country, quoted(countries)))
    algorithm[[kind]][[at]]
  })
}
