#' vacal: calibration of verbal-autopsy cause-of-death fractions
#'
#' [calibrate()] calibrates one set of counts; [calibrate_batch()] many strata at once. See `vignette("vacal")`.
#'
#' @useDynLib vacal, .registration = TRUE, .fixes = "C_"
#' @keywords internal
"_PACKAGE"
