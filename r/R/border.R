#' Calibrate a batch for a caller outside of R
#'
#' Calls [calibrate_batch()] or [calibrate_batch_published()] and tells its caller, who may be another process,
#' all that happens: messages and warnings through `log` at the moment when they are signalled, an error as a
#' value that keeps its text and class. At the end `log` gets one line a stratum that says how its fits went.
#'
#' @param log Function that is called as `log(level, text)`, level `"info"` or `"warning"`.
#' @param engine `"vacal"`, or `"vacalibration"` for the published engine.
#' @param ... Arguments of [calibrate_batch()].
#'
#' @return A list: either `value`, the result of [calibrate_batch()], or `error` (text), `call` (text, where it
#'   happened), `class` (character vector) and `problems` (character vector, all that is wrong with the input;
#'   empty if the input is not to blame).
#' @export
calibrate_batch_for_caller <- function(log, engine = c("vacal", "vacalibration"), ...) {
  calibrate <- switch(match.arg(engine), vacal = calibrate_batch, vacalibration = calibrate_batch_published)
  tryCatch(
    withCallingHandlers(
      {
        value <- calibrate(...)
        for (line in fit_lines(value$fits, dimnames(list(...)[["counts"]])[[1]])) log("info", line)
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
