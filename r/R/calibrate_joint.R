#' Calibrate strata that share their misclassification matrices
#'
#' Calibrates the cause-specific mortality fractions (CSMF) of all strata of one age group and one country in one
#' model, for every algorithm alone and for their ensemble. All strata share one unknown matrix for each algorithm,
#' and the fractions of the strata are drawn towards each other as far as the data ask for. Sums over strata, and
#' differences between strata, taken draw by draw, then have intervals that hold; those of [calibrate_batch()] take
#' the error of the matrix, which all strata share, for noise that averages out.
#'
#' The model is
#' `counts[s, k, ] ~ Dirichlet-multinomial(n, kappa_k t(M_k) p_s)`, rows of `M_k` Dirichlet, the same for all strata,
#' `log(kappa_k) ~ Normal(7, 1.5)` (matrices of single strata scatter about `M_k`; the likelihood is the double multinomial
#' of the same mean and variance; multinomial counts where `M_k` is fixed),
#' `p_s ~ Dirichlet(phi * pi)`, `pi ~ Dirichlet(1, .., 1)`, `log(phi) ~ Normal(3, 1)`,
#' all over the calibrated causes. Other causes keep the stratum's observed fraction. Path correction, where it is
#' asked for, is decided once for each algorithm, from the counts of all strata together; the evidence for the
#' intervals is for `path_correction = FALSE`.
#'
#' Four chains of the No-U-Turn sampler run from dispersed starts until R-hat is at most 1.01 for all strata together
#' (weighted by deaths) and 1.02 for the worst stratum, and the bulk effective sample size at least
#' `effective_draws` for every fraction of both, or until the budget is spent. With an R-hat above 1.02 nothing is
#' published: every stratum has status `"failed"` and the reason.
#'
#' @inheritParams calibrate_batch
#' @param threads Number of threads, of which up to four are used; results do not depend on it.
#' @param progress `NULL` or a function that is called as `progress(NA, algorithm, done, total, line = NA)` after
#'   each fit, and during a fit with a line of text that says how far it is: whenever the quality of the draws
#'   is measured, and every 15 seconds. `function(..., line) if (!is.na(line)) message(line)` shows it.
#' @param settings A [calibration_settings()] with `matrix_sharing = "joint"`.
#' @param ... In place of `settings`: the other arguments of [calibration_settings()].
#'
#' @return A list as that of [calibrate_batch()]. Draws belong together over strata: draw `d` of every row of `fits` of
#'   one algorithm is one draw from the joint posterior. `fits` has the diagnostics of the stratum's own fractions. A
#'   stratum without deaths has an estimate from the others, with the reason `"no_deaths_borrowed_from_other_strata"`.
#'   In addition:
#' * `joint_fits`: data frame, one row per fit (algorithm or `"ensemble"`): `converged`, `published`, `reason`, R-hat and
#'   effective sizes for all strata together (`_nation`) and worst over strata (`_strata`), `divergences` among the
#'   `transitions` of all chains, `acceptance`, `relabelled` (share of draws at which causes changed places, see the
#'   documentation of the joint model), `evaluations`, `budget`, and mean and 95% interval of `phi`.
#' * `misfit`: data frame, one row per fit, stratum and algorithm with deaths: `scatter` (posterior mean of the factor by
#'   which the variance of counts exceeds that of multinomial ones, as matrices differ between strata; 1: they do not),
#'   posterior-predictive `p_value` of Pearson's statistic relative to it, `misfit` (`p_value` below 0.005: the counts are
#'   not what this model produces), `causes` (VA causes more than 3 standard deviations from what is expected, separated
#'   by commas) and `cause_numbers` (their places among the causes of `counts`: a name may hold a comma).
#'
#' @inheritSection calibrate_batch Errors
#' @references
#' Pramanik et al. (2025), Annals of Applied Statistics 19(2), \doi{10.1214/24-AOAS2006}, for one stratum.
#' Efron (1986), Journal of the American Statistical Association 81(395), for the double multinomial.
#' Vehtari et al. (2021), Bayesian Analysis 16(2), \doi{10.1214/20-BA1221}, for R-hat and effective sizes.
#' @examples
#' causes <- c("infection", "prematurity", "other")
#' counts <- array(c(60, 40, 50, 25, 50, 30, 15, 10, 12), c(3, 1, 3), list(c("north", "south", "west"), "eava", causes))
#' alpha <- matrix(c(16, 2, 2, 3, 15, 2, 4, 4, 12), 3, byrow = TRUE, dimnames = list(causes, causes))
#' fit <- calibrate_joint(counts, list(eava = alpha), "prior", do_not_calibrate = list(eava = "other"),
#'                        draws = 400, effective_draws = 100)
#' fit$estimates
#' @export
calibrate_joint <- function(counts, matrices, matrix_type, study_causes = NULL, do_not_calibrate,
                            settings = calibration_settings(matrix_sharing = "joint", ...), threads = 1,
                            progress = NULL, ...) {
  settings <- take_settings(settings, "joint", !missing(settings) && ...length() > 0)
  batch <- prepare_batch(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings,
                         c(check_running(threads, progress), check_size(counts)))
  work <- c(core_settings(settings, batch), list(budget = as.double(settings$budget)))
  result <- .Call(C_calibrate_joint_, batch, work, as.integer(threads), progress)
  named <- name_result(result, batch$labels, settings$quantiles)
  misfit <- as.data.frame(result$misfit)
  misfit$cause_numbers <- misfit$causes
  misfit$causes <- vapply(strsplit(misfit$causes, ","), function(at) {
    if (anyNA(at)) NA_character_ else paste(batch$labels$causes[as.integer(at)], collapse = ",")
  }, "")
  c(named, list(joint_fits = as.data.frame(result$joint_fits), misfit = misfit))
}

# One fit can hold so much.
check_size <- function(counts) {
  most <- constants()$joint_size
  if (length(dim(counts)) != 3 || prod(dim(counts)[c(1, 3)]) <= most) return(character())
  sprintf(paste("counts: %d strata of %d causes are more than the joint model takes (strata x causes <= %d);",
                "fit groups of strata, by region, say: each group then has matrices of its own"),
          dim(counts)[1], dim(counts)[3], most)
}

# Direct calls of the joint sampler and its density, for tests and studies; not exported. counts: strata x algorithms x
# causes; matrices: list of causes x causes; calibrated: algorithms x causes; scatter: whether counts scatter more than
# multinomial ones.
joint_problem <- function(counts, matrices, fixed = rep(FALSE, dim(counts)[2]),
                          calibrated = array(TRUE, dim(counts)[2:3]), scatter = TRUE) {
  list(
    counts = as.double(counts), matrices = lapply(matrices, as.double), fixed = as.logical(fixed),
    calibrated = as.logical(calibrated), scatter = scatter
  )
}

# Draws as arrays: p draws x strata x causes, m draws x algorithms x causes x causes, pi draws x causes, kappa
# draws x algorithms, phi.
sample_joint <- function(counts, matrices, ..., draws = 4000, effective_draws = 1000, budget = 0, rhat = 1.01, seed = 1,
                         threads = 1) {
  work <- list(
    draws = as.integer(draws), effective_draws = as.double(effective_draws), budget = as.double(budget),
    rhat = as.double(rhat), seed = as.double(seed), threads = as.integer(threads)
  )
  result <- .Call(C_sample_joint_, joint_problem(counts, matrices, ...), work)
  n <- dim(counts)
  result$p <- aperm(array(result$p, c(n[3], n[1], draws)), 3:1)
  result$m <- aperm(array(result$m, c(n[3], n[3], n[2], draws)), 4:1)
  result$pi <- matrix(result$pi, ncol = n[3], byrow = TRUE)
  result$kappa <- matrix(result$kappa, nrow = draws, byrow = TRUE)
  result
}

joint_density <- function(counts, matrices, ..., t = numeric()) {
  .Call(C_joint_density_, joint_problem(counts, matrices, ...), as.double(t))
}
