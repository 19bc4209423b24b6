#' Calibrate a batch for a caller outside of R
#'
#' Calls [calibrate_batch()], [calibrate_joint()], [calibrate_common()] or [calibrate_batch_published()] and tells its caller,
#' who may be another process, all that happens: messages and warnings through `log` at the moment when they are signalled,
#' an error as a value that keeps its text and class. At the end `log` gets one line a stratum that says how its fits
#' went; of the joint model one line a fit, and one for each stratum that does not fit; of baselines one line a fit.
#'
#' @param log Function that is called as `log(level, text)`, level `"info"` or `"warning"`.
#' @param engine `"vacal"`, or `"vacalibration"` for the published engine.
#' @param matrix_sharing `"per_stratum"`, `"joint"` for [calibrate_joint()], or `"common"` for [calibrate_common()] or, without
#'   a `baseline` among the arguments, for [make_baseline()].
#' @param ... Arguments of the function that is called.
#'
#' @return A list: either `value`, the result of the function called, or `error` (text), `call` (text, where it
#'   happened), `class` (character vector) and `problems` (character vector, all that is wrong with the input;
#'   empty if the input is not to blame).
#' @export
calibrate_batch_for_caller <- function(log, engine = c("vacal", "vacalibration"),
                                       matrix_sharing = c("per_stratum", "joint", "common"), ...) {
  alone <- switch(match.arg(engine), vacal = calibrate_batch, vacalibration = calibrate_batch_published)
  given <- if (is.null(list(...)[["baseline"]])) make_baseline else calibrate_common
  calibrate <- switch(match.arg(matrix_sharing), per_stratum = alone, joint = calibrate_joint, common = given)
  tryCatch(
    withCallingHandlers(
      {
        value <- calibrate(...)
        strata <- dimnames(list(...)[["counts"]])[[1]]
        lines <- if (!is.null(value$joint_fits)) {
          joint_lines(value, strata)
        } else if (is.null(value$fits)) {
          baseline_lines(value)
        } else {
          fit_lines(value$fits, strata)
        }
        for (line in lines) log("info", line)
        list(value = value)
      },
      message = function(m) {
        log("info", conditionMessage(m))
        invokeRestart("muffleMessage")
      },
      warning = function(w) {
        log("warning", conditionMessage(w))
        invokeRestart("muffleWarning")
      }
    ),
    error = function(e) {
      call <- conditionCall(e)
      list(
        error = conditionMessage(e),
        call = if (is.null(call)) "" else paste(deparse(call[[1]], nlines = 1L), collapse = ""),
        class = class(e),
        problems = if (inherits(e, "vacal_input_error")) as.character(e[["problems"]]) else character()
      )
    }
  )
}

# One line a stratum: for each fit its status or sampler, lambda and effective size.
fit_lines <- function(fits, strata) {
  lambda <- ifelse(is.na(fits$lambda), "", sprintf(", lambda %.2f", fits$lambda))
  drawn <- sprintf("%s%s, %.0f effective draws", fits$sampler, lambda, fits$ess_bulk)
  said <- ifelse(fits$status == "calibrated" & !is.na(fits$ess_bulk), drawn, gsub("_", " ", fits$status))
  each <- split(sprintf("%s: %s", fits$algorithm, said), fits$stratum)
  sprintf("%s - %s", strata[as.integer(names(each))], vapply(each, paste, "", collapse = "; "))
}

# Of the joint model: one line a fit, then one for each stratum and algorithm that do not fit.
joint_lines <- function(value, strata) {
  fits <- value$joint_fits
  odd <- value$misfit[value$misfit$misfit, ]
  c(
    sprintf("%s: %s, R-hat %.3f (worst stratum %.3f), %.0f effective draws (worst stratum %.0f)", fits$algorithm,
            ifelse(fits$published, "all strata in one fit", paste("not published,", fits$reason)), fits$rhat_nation,
            fits$rhat_strata, fits$ess_bulk_nation, fits$ess_bulk_strata),
    sprintf("%s - %s: the deaths of %s do not fit (%s)", strata[odd$stratum], odd$fit, odd$algorithm,
            ifelse(is.na(odd$causes), "no single cause", gsub(",", ", ", odd$causes)))
  )
}

# Of baselines: one line a fit.
baseline_lines <- function(value) {
  vapply(names(value), function(fit) {
    b <- value[[fit]]
    if (b$status != "drawn") return(sprintf("baseline of %s: %s", fit, gsub("_", " ", b$reason)))
    chains <- if (is.na(b$rhat)) "" else sprintf(", R-hat %.3f, %.0f effective draws", b$rhat, b$ess_bulk)
    sprintf("baseline of %s: %d draws, %d units, concentration %g%s", fit, dim(b$matrices)[1], length(b$units),
            b$concentration, chains)
  }, "", USE.NAMES = FALSE)
}
