#' Calibrate many strata
#'
#' Calibrates the cause-specific mortality fractions (CSMF) of many strata that share an age group and a country,
#' for every algorithm alone and for their ensemble. Strata do not influence each other: a stratum's results are
#' the same, bit for bit, in any batch, order and number of threads.
#'
#' The model is `counts[s, k, ] ~ Multinomial(n, t(M_k) p)`, rows of `M_k` Dirichlet (or fixed),
#' `p ~ Dirichlet(1 + C * shrinkage * p0)` with `p0` the uncalibrated CSMF. Path correction shrinks each matrix
#' towards the identity just as far as is needed for the counts to be possible; it is deterministic here.
#'
#' @param counts Deaths: numeric array, strata x algorithms x causes, with dimnames (unique keys of the strata,
#'   algorithms, causes); 0 where an algorithm has no deaths. Whole numbers.
#' @param matrices List named by algorithm. With `matrix_type = "prior"` a matrix of Dirichlet parameters,
#'   causes x causes (0: structural zero); with `"fixed"` one of rates, rows sum to 1; with `"samples"` an array
#'   samples x causes x causes of rates. Rows are the true cause, columns the cause that the algorithm says; both
#'   have cause names.
#' @param matrix_type `"prior"`, `"fixed"` or `"samples"`.
#' @param study_causes `NULL` when counts are in the causes of the matrices; otherwise a character vector of
#'   those (broad) causes, named by the causes of `counts` (study causes).
#' @param do_not_calibrate List named by algorithm of causes (broad or study) that keep their observed fraction;
#'   names are compared without regard to case.
#' @param settings A [calibration_settings()].
#' @param threads Number of threads; results do not depend on it.
#' @param progress `NULL` or a function that is called as
#'   `progress(stratum, algorithm, done, total)` after each fit: index of the stratum, name, fits done and asked for.
#' @param ... In place of `settings`: the arguments of [calibration_settings()].
#'
#' @return A list:
#' * `estimates`: data frame, one row per stratum, algorithm (and `"ensemble"`) and cause: `stratum` (index),
#'   `algorithm`, `cause`, `deaths`, `raw` (observed fraction), `mean` and `sd` of the calibrated fraction,
#'   `status` (`"calibrated"`, `"passed_through"`: the observed fraction, no `sd`; `"no_result"`),
#'   `not_calibrated_reason` (`"asked_for"`, `"learned"` or that of the fit), `calibrated_deaths` (whole numbers;
#'   `NA` for the ensemble), `ensemble_deaths` (the algorithm's deaths by the ensemble's fractions),
#'   `disagrees` (the algorithms contradict each other on this cause).
#' * `quantiles`: matrix, rows of `estimates` x `quantiles`; `NA` where nothing was calibrated.
#' * `fits`: data frame, one row per stratum and algorithm (and `"ensemble"`): `deaths`, `status` (`"calibrated"`,
#'   `"not_calibrated"`, `"no_result"`, `"failed"`), `reason`, `lambda` (shrinkage by path correction, 0 to 1;
#'   `NA` for the ensemble), the flags `path_correction_stalled`, `estimate_is_noop`, `interval_unreliable`
#'   (`unreliable_because` names the algorithms), `algorithms_disagree`, and the sampler's diagnostics, which are
#'   `NA` where nothing was sampled; `distinct_draws` is the number of different draws of the sampler among those stored:
#'   if it drew fewer than `draws`, some are stored several times.
#' * `matrices_used`: array strata x algorithms x causes x causes, means of the matrices as used (identity outside
#'   the calibrated causes); `NA` where none was used.
#' * `matrices_published`: array algorithms x causes x causes, row-normalised means before any correction.
#' * `calibrated_causes`: logical matrix algorithms x causes.
#' * `draws`: array rows of `fits` x draws x causes, or `NULL`.
#'
#' A stratum that cannot be computed gets status `"failed"` and a reason; the others are not affected.
#'
#' @section Errors: Bad input raises a condition of class `vacal_input_error` before any work; its field `problems`
#'   holds all that was found.
#' @references
#' Pramanik et al. (2025), Annals of Applied Statistics 19(2), \doi{10.1214/24-AOAS2006}.
#' Datta et al. (2021), Biostatistics 22(4), \doi{10.1093/biostatistics/kxaa001}.
#' @examples
#' causes <- c("infection", "prematurity", "other")
#' counts <- array(c(60, 40, 25, 50, 15, 10), c(2, 1, 3), list(c("north", "south"), "eava", causes))
#' alpha <- matrix(c(16, 2, 2, 3, 15, 2, 4, 4, 12), 3, byrow = TRUE, dimnames = list(causes, causes))
#' fit <- calibrate_batch(counts, list(eava = alpha), "prior", do_not_calibrate = list(eava = "other"))
#' fit$estimates
#' @export
calibrate_batch <- function(counts, matrices, matrix_type, study_causes = NULL, do_not_calibrate,
                            settings = calibration_settings(...), threads = 1, progress = NULL, ...) {
  settings <- take_settings(settings, "per_stratum", !missing(settings) && ...length() > 0)
  batch <- prepare_batch(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings,
                         check_running(threads, progress))
  result <- .Call(C_calibrate_batch_, batch, core_settings(settings, batch), as.integer(threads), progress)
  name_result(result, batch$labels, settings$quantiles)
}

# Checks everything, then brings all inputs into one order: plain vectors for the core. settings: as take_settings()
# returns them; problems: what else was found.
prepare_batch <- function(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings, problems,
                          call = sys.call(-1)) {
  shape <- c(check_counts(counts), check_choice(matrix_type, "matrix_type", c("prior", "fixed", "samples")))
  labels <- dimnames(counts)
  if (length(labels) == 3) names(labels) <- c("strata", "algorithms", "causes")
  problems <- c(
    shape, settings$problems, problems,
    if (length(shape) == 0) check_matrices(matrices, labels$algorithms, matrix_type)
  )
  if (length(problems) > 0) abort_input(problems, call)
  broad <- matrix_causes(matrices[[labels$algorithms[1]]])
  problems <- c(
    check_causes(labels$causes, broad, study_causes),
    check_do_not_calibrate(do_not_calibrate, labels$algorithms, c(broad, labels$causes))
  )
  if (length(problems) > 0) abort_input(problems, call)

  broad_of <- study_causes[match(canonical(labels$causes), canonical(names(study_causes)))]
  if (is.null(study_causes)) broad_of <- broad <- labels$causes
  list(
    labels = labels, strata = enc2utf8(labels$strata), algorithms = enc2utf8(labels$algorithms),
    counts = as.double(counts), matrix_type = matrix_type, n_broad = length(broad),
    broad = if (is.null(study_causes)) integer() else match(canonical(broad_of), canonical(broad)) - 1L,
    threshold = if (settings$rule == "learn") as.double(settings$threshold) else NA_real_,
    matrices = lapply(matrices[labels$algorithms], order_matrix, broad),
    asked_for = lapply(do_not_calibrate[labels$algorithms], function(named) {
      canonical(labels$causes) %in% canonical(named) | canonical(broad_of) %in% canonical(named)
    })
  )
}

matrix_causes <- function(matrix) utils::tail(dimnames(matrix), 1)[[1]]

# The matrix (or samples) with rows and columns in the order of `causes`, as doubles.
order_matrix <- function(matrix, causes) {
  at <- match(canonical(causes), canonical(matrix_causes(matrix)))
  matrix <- if (length(dim(matrix)) == 3) matrix[, at, at, drop = FALSE] else matrix[at, at, drop = FALSE]
  as.double(matrix)
}

core_settings <- function(settings, batch) {
  list(
    path_correction = settings$path_correction, shrinkage = as.double(settings$shrinkage),
    ensemble = settings$ensemble && length(batch$algorithms) > 1, draws = as.integer(settings$draws),
    effective_draws = as.double(settings$effective_draws %||% settings$draws), seed = as.double(settings$seed),
    quantiles = as.double(settings$quantiles), keep_draws = settings$keep_draws
  )
}

# Dimensions and names on what the core returns.
name_result <- function(result, labels, quantiles) {
  labels <- unname(labels)
  n <- lengths(labels)
  estimates <- as.data.frame(result$estimates)
  estimates$cause <- labels[[3]][estimates$cause]
  for (column in c("deaths", "calibrated_deaths", "ensemble_deaths")) {
    estimates[[column]] <- as.integer(estimates[[column]])
  }
  fits <- as.data.frame(result$fits)
  fits$deaths <- as.integer(fits$deaths)
  list(
    estimates = estimates,
    quantiles = matrix(result$quantiles, ncol = length(quantiles), dimnames = list(NULL, as.character(quantiles))),
    fits = fits,
    matrices_used = array(result$matrices_used, n[c(1, 2, 3, 3)], labels[c(1, 2, 3, 3)]),
    matrices_published = array(result$matrices_published, n[c(2, 3, 3)], labels[c(2, 3, 3)]),
    calibrated_causes = array(result$calibrated_causes, n[2:3], labels[2:3]),
    draws = if (!is.null(result$draws)) {
      array(result$draws, c(nrow(fits), length(result$draws) / nrow(fits) / n[3], n[3]), list(NULL, NULL, labels[[3]]))
    }
  )
}
