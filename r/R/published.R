published_engine <- "vacalibration"
published_version <- "2.2"
published_warmup <- 5000

#' Calibrate many strata with the published package
#'
#' The same as [calibrate_batch()], computed by the CRAN package vacalibration 2.2 itself, which must be in the R
#' library; no other version is accepted. It samples with Stan, one chain of `draws` iterations after 5,000 of
#' warm-up, thinned by 1, `adapt_delta` 0.9 (with `draws = 5000`: its defaults), one stratum after another.
#'
#' This adapter has been verified against a stand-in with the same interface only, unless the tests of this package
#' were run where vacalibration 2.2 is installed.
#'
#' @details What differs from [calibrate_batch()]:
#' * Path correction in the published package is a simulation; R's random numbers are seeded for it with `seed` and
#'   the stratum's key, and left as they were. The same `seed` is Stan's.
#' * `effective_draws` is not known to it: `rhat`, `ess_bulk` and `ess_tail` are recomputed from its chain in order,
#'   and `converged` means R-hat of at most 1.01 and a bulk effective size of at least 400.
#' * `acceptance` and `evaluations` are `NA`; `sampler_reason` holds version and options.
#' * `threads` has no effect. A stratum fails as a whole, with the package's messages as the reason.
#' @inheritParams calibrate_batch
#' @return As [calibrate_batch()].
#' @section Errors: `vacal_input_error` as [calibrate_batch()]; `vacal_engine_error` if the package is missing or is
#'   of another version.
#' @export
calibrate_batch_published <- function(counts, matrices, matrix_type, study_causes = NULL, do_not_calibrate,
                                      settings = calibration_settings(...), threads = 1, progress = NULL, ...) {
  settings <- take_settings(settings, "per_stratum", !missing(settings) && ...length() > 0)
  batch <- prepare_batch(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings,
                         check_running(threads, progress))
  run <- find_published()
  input <- published_input(batch, matrices, study_causes, settings)
  ensemble <- settings$ensemble && length(batch$algorithms) > 1
  fits <- c(batch$algorithms, if (ensemble) "ensemble")
  total <- length(batch$strata) * length(fits)
  strata <- lapply(seq_along(batch$strata), function(s) {
    deaths <- array(counts[s, , ], dim(counts)[-1], dimnames(counts)[-1])
    one <- published_stratum(run, deaths, batch$strata[s], input, settings, fits)
    if (!is.null(progress)) {
      for (k in seq_along(fits)) progress(s, fits[k], (s - 1L) * length(fits) + k, total)
    }
    one
  })
  join_published(strata, batch, settings, fits)
}

find_published <- function() {
  if (!requireNamespace(published_engine, quietly = TRUE)) {
    abort_engine(sprintf("the R package %s %s is not installed; engine 'vacal' needs nothing", published_engine,
                         published_version), sys.call(-1))
  }
  version <- as.character(utils::packageVersion(published_engine))
  if (version != published_version) {
    abort_engine(sprintf("the R package %s is of version %s; only %s is known here", published_engine, version,
                         published_version), sys.call(-1))
  }
  getExportedValue(published_engine, "vacalibration")
}

# The arguments that all strata share, in the package's terms: names must match exactly there.
published_input <- function(batch, matrices, study_causes, settings) {
  causes <- batch$labels$causes
  broad <- matrix_causes(matrices[[batch$labels$algorithms[1]]])
  in_counts <- if (is.null(study_causes)) causes else broad
  named <- lapply(matrices[batch$labels$algorithms], function(m) {
    at <- match(canonical(in_counts), canonical(matrix_causes(m)))
    m <- if (length(dim(m)) == 3) m[, at, at, drop = FALSE] else m[at, at, drop = FALSE]
    labels <- list(in_counts, in_counts)
    dimnames(m) <- if (length(dim(m)) == 3) c(list(NULL), labels) else labels
    m
  })
  list(
    missmat = named, missmat_type = batch$matrix_type,
    studycause_map = if (!is.null(study_causes)) stats::setNames(broad[batch$broad + 1L], causes),
    donotcalib = lapply(batch$asked_for, function(asked) causes[asked]),
    donotcalib_type = settings$rule, nocalib.threshold = settings$threshold
  )
}

# One stratum: deaths is algorithms x causes. Returns a list of fits (algorithms, then the ensemble).
published_stratum <- function(run, deaths, stratum, input, settings, fits) {
  used <- rownames(deaths)[rowSums(deaths) > 0]
  ensemble <- "ensemble" %in% fits && length(used) > 1
  out <- list(output = NULL, error = NULL, used = used, deaths = deaths)
  if (length(used) == 0) return(published_fits(out, settings, fits))
  arguments <- c(
    list(va_data = sapply(used, function(a) deaths[a, ], simplify = FALSE)),
    input[c("missmat_type", "studycause_map", "donotcalib_type", "nocalib.threshold")],
    list(
      missmat = input$missmat[used], donotcalib = input$donotcalib[used],
      path_correction = settings$path_correction, ensemble = ensemble, pshrink_strength = settings$shrinkage,
      nMCMC = settings$draws, nBurn = published_warmup, nThin = 1, nChain = 1, nCore = 1, seed = settings$seed,
      verbose = TRUE, saveoutput = FALSE
    )
  )
  result <- catch_published(function() {
    output <- with_seed(paste(settings$seed, stratum), do.call(run, arguments))
    assert_published(output, c(used, if (ensemble) "ensemble"), colnames(deaths), settings$draws)
  })
  published_fits(utils::modifyList(out, result), settings, fits)
}

# R's generator seeded by a text while `expr` is evaluated, and left as it was.
with_seed <- function(text, expr) {
  old <- get0(".Random.seed", globalenv(), inherits = FALSE)
  on.exit(restore_seed(old))
  set.seed(Reduce(function(h, c) (h * 31 + c) %% 2147483647, utf8ToInt(text), 7), "Mersenne-Twister", "Inversion",
           "Rejection")
  expr
}

restore_seed <- function(old) {
  where <- globalenv()
  if (is.null(old)) rm(list = ".Random.seed", envir = where) else assign(".Random.seed", old, envir = where)
}

# Most of the package's errors are messages followed by an empty stop(): the last messages are the reason.
catch_published <- function(f) {
  said <- character()
  tryCatch(
    list(output = withCallingHandlers(f(), message = function(m) said <<- c(said, trimws(conditionMessage(m))))),
    error = function(e) {
      text <- trimws(conditionMessage(e))
      if (text == "") text <- paste(utils::tail(said[said != ""], 5), collapse = " ")
      list(error = paste0(published_engine, ": ", if (text == "") "failed without a message" else text))
    }
  )
}

# Every field that is used, with its dimensions.
assert_published <- function(output, fits, causes, draws) {
  algorithms <- setdiff(fits, "ensemble")
  k <- length(algorithms)
  n <- length(causes)
  need <- function(ok, field) {
    if (!isTRUE(ok)) stop(sprintf("the field '%s' of its result is not as expected", field), call. = FALSE)
  }
  need(is.list(output) && identical(as.character(output$causes), causes), "causes")
  need(identical(dim(output$p_calib), c(length(fits), as.integer(draws), n)), "p_calib")
  need(identical(dimnames(output$p_calib)[[1]], fits) && identical(dimnames(output$p_calib)[[3]], causes), "p_calib")
  deaths <- c("va_deaths_calib_algo", if ("ensemble" %in% fits) "va_deaths_calib_ensemble")
  for (field in deaths) need(identical(dimnames(output[[field]]), list(algorithms, causes)), field)
  for (field in c("Mmat_study", "Mmat_tomodel")) need(identical(dim(output[[field]]), c(k, n, n)), field)
  need(is.logical(output$donotcalib_study) && identical(dim(output$donotcalib_study), c(k, n)), "donotcalib_study")
  need(is.logical(output$donotcalib_tomodel) && identical(dim(output$donotcalib_tomodel), c(length(fits), n)),
       "donotcalib_tomodel")
  need(is.logical(output$calibrated) && length(output$calibrated) == length(fits), "calibrated")
  need(length(output$lambda_calibpath) == k, "lambda_calibpath")
  need(identical(names(output$calib_MCMCout), fits), "calib_MCMCout")
  output
}
