#' Calibrate strata with common matrix draws
#'
#' Calibrates the cause-specific mortality fractions (CSMF) of strata of one age group and one country so that their sums
#' hold: draw `d` of every stratum uses draw `d` of the misclassification matrices. `make_baseline()` draws the matrices
#' and the fractions of the country and of its units (provinces, years) from the deaths of all strata; `calibrate_common()`
#' calibrates any batch of strata given that baseline. Given the baseline, strata do not influence each other: a stratum's
#' results are the same, bit for bit, in any batch, order and number of threads, and months later beside new strata.
#'
#' The model of a fit, for each draw `d`: matrices from their posterior given the country's pooled counts (the published
#' method for the country), or as they are where they are fixed; `p_0` given them and the country's counts, prior
#' `Dirichlet(1, .., 1)`; `p_u` of each unit, from large to small, prior `Dirichlet(C r_u)`, where `r_u` is the centre that
#' `p_0` and the units that hold `u` make; `p_s` of each stratum, prior `Dirichlet(m C c_s)`, its centre `c_s` proportional to
#' `p_0` times the product of `p_u / r_u` over the units that hold it. `m` is learned from the strata (1, 2, 4, 8 or 16).
#' All centres are mixed with 0.001 of a uniform distribution. A stratum with more than a fifth of the deaths of a unit (or
#' of the country) is centred on that unit without its own counts. Units that hold the same strata with deaths, one
#' stratum, or all strata, are left out; if only one stratum has deaths, it is `p_0`.
#'
#' The algorithms of an ensemble code the same deaths: their counts are multiplied by `1 / (1 + (K - 1) rho)`, `K` the
#' algorithms with deaths in the stratum or unit, `rho` the share of the counts' variance that is common to them. Shrinkage and
#' path correction do not exist here.
#'
#' Whether intervals hold has been looked at by simulations of moderate size only: see docs/common.md of the project.
#'
#' @inheritParams calibrate_batch
#' @param counts Deaths as in [calibrate_batch()]. For `make_baseline()` those of all strata of the country.
#' @param matrix_type `"prior"` or `"fixed"`.
#' @param units Character matrix, strata x columns, with the columns' names: values such as the province and the year of each
#'   stratum, in the order of `counts`. Each value of a column is a unit. `NULL`: no units.
#' @param fits Which fits to make a baseline for: names of algorithms, or `"ensemble"`. `NULL`: all.
#' @param place Name of country and age group, which keys the random numbers of matrices that nothing is known about.
#' @param baseline What `make_baseline()` returned, for all fits.
#' @param concentration `NULL`: the baseline's `m`; or a number in its place.
#' @param borrow Whether strata without deaths are drawn from their prior, as where weights of one's own give them weight;
#'   otherwise they have no result.
#' @param settings A [calibration_settings()] with `matrix_sharing = "common"`.
#' @param ... In place of `settings`: arguments of [calibration_settings()].
#'
#' @return `make_baseline()`: a list named by fit, each a list: `status` (`"drawn"`; `"not_calibrated"`, `"no_result"` or
#'   `"failed"`, with the `reason`), `algorithms` (members), `causes` (calibrated ones), `calibrated` (members x causes),
#'   `matrices` (draws x members x causes x causes), `country` (draws x causes), `units` (names of those that count), `known`
#'   (names of all), `unit_p` and `unit_r` (units x draws x causes), `country_counts` (members x causes), `unit_counts`
#'   (units x members x causes), `large` (names of
#'   large strata) and `large_counts`, `inside` (by unit the names of the units that hold it), `whole` (name of the only
#'   stratum with deaths, or none), `pooled` (counts of all causes, members together), `common_share` (rho), `concentration`,
#'   `source` of the matrices, and `rhat`, `ess_bulk`, `ess_tail`, `divergences`, `converged` of the chains that drew them.
#'
#'   `calibrate_common()`: a list as that of [calibrate_batch()]. Draws belong together over strata. A fit's diagnostics are
#'   those of the baseline's chains, the effective size at most the number of draws. `common_strata` is a data frame, a row for
#'   each stratum and fit that was drawn: `correlation` (of the inner chains half way with their ends, the largest over
#'   coordinates: what they still remember), `impossible` (draws whose matrices cannot produce the counts), `weight` (of the
#'   counts), `without_own` (centred without its own counts).
#' @inheritSection calibrate_batch Errors
#' @examples
#' causes <- c("infection", "prematurity", "other")
#' strata <- c("north 2023", "north 2024", "south 2023", "south 2024")
#' counts <- array(c(60, 40, 31, 35, 25, 50, 22, 41, 15, 10, 9, 12), c(4, 1, 3), list(strata, "eava", causes))
#' alpha <- matrix(c(16, 2, 2, 3, 15, 2, 4, 4, 12), 3, byrow = TRUE, dimnames = list(causes, causes))
#' units <- cbind(region = c("north", "north", "south", "south"), year = c("2023", "2024", "2023", "2024"))
#' baseline <- make_baseline(counts, list(eava = alpha), "prior", do_not_calibrate = list(eava = "other"), units = units,
#'                           draws = 200)
#' fit <- calibrate_common(counts, list(eava = alpha), "prior", do_not_calibrate = list(eava = "other"), units = units,
#'                         baseline = baseline, draws = 200, keep_draws = TRUE)
#' nation <- apply(fit$draws * rowSums(counts), 2:3, sum) / sum(counts)
#' apply(nation, 2, quantile, c(0.025, 0.975))
#' @export
calibrate_common <- function(counts, matrices, matrix_type, study_causes = NULL, do_not_calibrate, units = NULL, baseline,
                             concentration = NULL, borrow = FALSE, settings = calibration_settings("common", ...), threads = 1,
                             progress = NULL, ...) {
  settings <- take_settings(settings, "common", !missing(settings) && ...length() > 0)
  batch <- prepare_batch(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings,
                         c(check_running(threads, progress), check_common(counts, matrix_type, units)))
  core <- core_settings(settings, batch)
  names <- c(batch$algorithms, if (core$ensemble) "ensemble")
  problems <- check_baseline(baseline, names, settings$draws, batch$labels$causes)
  if (length(problems) > 0) abort_input(problems)
  holding <- units_by_stratum(units, batch$strata)
  inputs <- lapply(names, function(name) {
    common_fit_input(baseline[[name]], name, counts, holding, settings, concentration, borrow)
  })
  result <- .Call(C_calibrate_common_, batch, core, inputs, as.integer(threads), progress)
  named <- name_result(result, batch$labels, settings$quantiles)
  c(named, list(common_strata = inner_rows(as.data.frame(result$common_strata), stats::setNames(inputs, names))))
}

#' @rdname calibrate_common
#' @export
make_baseline <- function(counts, matrices, matrix_type, study_causes = NULL, do_not_calibrate, units = NULL, fits = NULL,
                          place = "country", settings = calibration_settings("common", ...), progress = NULL, ...) {
  settings <- take_settings(settings, "common", !missing(settings) && ...length() > 0)
  batch <- prepare_batch(counts, matrices, matrix_type, study_causes, do_not_calibrate, settings,
                         c(check_running(1, progress), check_common(counts, matrix_type, units)))
  models <- .Call(C_common_models_, batch)
  all <- c(batch$algorithms, if (core_settings(settings, batch)$ensemble) "ensemble")
  unknown <- setdiff(fits, all)
  if (length(unknown) > 0) abort_input(sprintf("fits: %s is none of %s", quoted(unknown), quoted(all)))
  fits <- if (is.null(fits)) all else fits
  out <- lapply(seq_along(fits), function(f) {
    made <- baseline_of(fits[f], counts, models, batch, units_at(units), settings, place)
    if (!is.null(progress)) progress(NA_integer_, fits[f], f, length(fits))
    made
  })
  stats::setNames(out, fits)
}

check_common <- function(counts, matrix_type, units) {
  shape <- is.null(units) || (is.character(units) && is.matrix(units) && nrow(units) == dim(counts)[1] && !anyNA(units) &&
                                !is.null(colnames(units)))
  c(
    if (identical(matrix_type, "samples")) {
      "matrix_type: common matrix draws do not take samples yet: give Dirichlet parameters ('prior'), or rates ('fixed')"
    },
    if (!shape) "units must be a character matrix with a row for each stratum and column names, without missing values"
  )
}

check_baseline <- function(baseline, fits, draws, causes) {
  lacking <- setdiff(fits, names(baseline))
  if (length(lacking) > 0) return(sprintf("baseline: nothing for %s", quoted(lacking)))
  drawn <- Filter(function(b) b$status == "drawn", baseline[fits])
  there <- vapply(drawn, function(b) dim(b$matrices)[1], 0L)
  foreign <- setdiff(unlist(lapply(drawn, `[[`, "causes")), causes)
  c(
    if (any(there != draws)) sprintf("baseline: it has %d draws, not %s", there[there != draws][1], format(draws)),
    if (length(foreign) > 0) sprintf("baseline: it has cause %s, which counts have not", quoted(foreign))
  )
}

# Named list of index vectors: a unit for each value of each column.
units_at <- function(units) {
  columns <- lapply(colnames(units), function(column) {
    at <- split(seq_len(nrow(units)), factor(units[, column], levels = unique(units[, column])))
    stats::setNames(at, paste(column, names(at), sep = "="))
  })
  do.call(c, columns)
}

units_by_stratum <- function(units, strata) {
  if (is.null(units)) return(stats::setNames(rep(list(character()), length(strata)), strata))
  named <- lapply(seq_along(strata), function(s) paste(colnames(units), units[s, ], sep = "="))
  stats::setNames(named, strata)
}

# One fit's baseline, see `make_baseline()`.
baseline_of <- function(fit, counts, models, batch, units, settings, place) {
  sums <- matrix(apply(counts, 2:3, sum), dim(counts)[2])
  standing <- vapply(seq_along(models), function(k) standing_of(sums[k, ], models[[k]]$calibrated), "")
  at <- if (fit == "ensemble") which(standing %in% c("calibrated", "too_few_causes")) else match(fit, batch$algorithms)
  inside <- do.call(rbind, lapply(models[at], function(m) m$calibrated & sum(m$calibrated) > 1))
  none <- function(status, reason) list(status = status, reason = reason, algorithms = batch$algorithms[at])
  if (fit == "ensemble" && length(at) < 2) return(none("no_result", "fewer_than_two_members"))
  if (fit != "ensemble" && standing[at] == "no_deaths") return(none("no_result", "no_deaths"))
  if (!any(inside)) return(none("not_calibrated", "too_few_causes"))
  if (fit != "ensemble" && standing[at] != "calibrated") return(none("not_calibrated", standing[at]))
  causes <- which(colSums(inside) > 0)
  n <- dim(counts)[3]
  blocks <- lapply(models[at], function(m) matrix(m$matrix, n, byrow = TRUE)[causes, causes])
  b <- common_baseline(
    counts[, at, causes, drop = FALSE], stats::setNames(blocks, batch$algorithms[at]), units %||% list(), settings$draws,
    concentration = "learned", seed = settings$seed, country = place, fit = fit,
    fixed = vapply(models[at], `[[`, NA, "fixed"), calibrated = inside[, causes, drop = FALSE]
  )
  if (!is.null(b$impossible)) return(none("failed", b$impossible))
  with_deaths <- dimnames(counts)[[1]][deaths_of(counts[, at, causes, drop = FALSE]) > 0]
  plain_baseline(b, as.character(names(units)), batch$algorithms[at], dimnames(counts)[[3]][causes],
                 colSums(sums[at, , drop = FALSE]), with_deaths)
}

# As the core's prepare_member() has it.
standing_of <- function(counts, calibrated) {
  if (sum(counts) == 0) return("no_deaths")
  if (sum(calibrated) < 2) return("too_few_causes")
  if (sum(counts[calibrated]) == 0) "no_deaths_in_calibrated_causes" else "calibrated"
}

# known: names of all units, also of those that do not count; with_deaths: names of the strata with deaths.
plain_baseline <- function(b, known, algorithms, causes, pooled, with_deaths) {
  stack <- function(x, shape) {
    out <- array(0, c(length(x), shape))
    for (u in seq_along(x)) out[cbind(u, as.matrix(expand.grid(lapply(shape, seq_len))))] <- as.double(x[[u]])
    out
  }
  draws <- dim(b$m)[1]
  list(
    status = "drawn", reason = "", algorithms = algorithms, causes = causes, calibrated = unname(b$calibrated), matrices = b$m,
    country = b$p0, known = known, units = as.character(names(b$inside)),
    unit_p = stack(b$p[names(b$inside)], c(draws, length(causes))),
    unit_r = stack(b$r[names(b$inside)], c(draws, length(causes))),
    country_counts = matrix(b$counts$country, length(algorithms)),
    unit_counts = stack(b$counts$units[names(b$inside)], c(length(algorithms), length(causes))),
    large = dimnames(b$counts$large)[[1]] %||% character(), large_counts = unname(b$counts$large), inside = b$inside,
    whole = if (length(with_deaths) == 1) with_deaths else character(), pooled = pooled, common_share = b$rho,
    concentration = b$multiple, source = b$source, rhat = b$rhat %||% NA_real_, ess_bulk = min(b$ess_bulk %||% draws, draws),
    ess_tail = min(b$ess_tail %||% draws, draws), divergences = b$divergences %||% 0L, converged = b$converged %||% TRUE
  )
}

# And back: what strata_centres() and weighed() need.
full_baseline <- function(plain, fit, seed) {
  k <- length(plain$algorithms)
  n <- length(plain$causes)
  by_unit <- function(f) stats::setNames(lapply(seq_along(plain$units), f), plain$units)
  one <- function(x, name) array(x, c(1, k, n), list(name, NULL, NULL))
  list(
    seed = seed, fit = fit, calibrated = plain$calibrated, m = plain$matrices, p0 = plain$country,
    p = by_unit(function(u) matrix(plain$unit_p[u, , ], ncol = n)),
    r = by_unit(function(u) matrix(plain$unit_r[u, , ], ncol = n)),
    inside = stats::setNames(plain$inside, plain$units), rho = plain$common_share, multiple = plain$concentration,
    counts = list(
      country = one(plain$country_counts, "country"), units = by_unit(function(u) one(plain$unit_counts[u, , ], plain$units[u])),
      large = array(plain$large_counts, c(length(plain$large), k, n), list(plain$large, NULL, NULL))
    )
  )
}

# What the core needs of one fit for a batch of strata.
common_fit_input <- function(plain, fit, counts, holding, settings, concentration, borrow) {
  if (plain$status != "drawn") {
    none <- "the baseline has no draws of this fit, which had too few deaths then: make a new one"
    return(list(drawn = FALSE, reason = switch(plain$status, failed = plain$reason, no_result = none, "")))
  }
  b <- full_baseline(plain, fit, settings$seed)
  own <- counts[, plain$algorithms, plain$causes, drop = FALSE]
  own <- array(own, dim(own), list(dimnames(counts)[[1]], NULL, NULL))
  taken <- taking_part(b, own)
  as_before <- apply(own, 1, function(a) all(a == plain$country_counts))
  weights <- weighed(b, own)
  centres <- strata_centres(b, names(holding), lapply(holding, intersect, x = names(b$p)))
  list(
    drawn = TRUE, reason = "", causes = match(plain$causes, dimnames(counts)[[3]]), members = length(plain$algorithms),
    m = as.double(aperm(b$m, 4:1)), counts = as.double(aperm(weights, 3:1)),
    prior = length(plain$causes) * (concentration %||% b$multiple) * as.double(aperm(centres, 3:1)),
    given = as.double(t(b$p0)), takes_given = names(holding) %in% plain$whole & as_before,
    pooled = as.double(plain$pooled), borrow = borrow,
    source = plain$source, rhat = plain$rhat, ess_bulk = plain$ess_bulk, ess_tail = plain$ess_tail,
    divergences = plain$divergences, converged = plain$converged,
    weight = weight_of(b$rho, apply(taken, 1, function(a) sum(rowSums(matrix(a, dim(own)[2])) > 0))),
    large = names(holding) %in% plain$large
  )
}

inner_rows <- function(rows, inputs) {
  pick <- function(name) {
    unlist(Map(function(fit, s) inputs[[fit]][[name]][s], rows$algorithm, rows$stratum), use.names = FALSE)
  }
  rows$weight <- as.double(pick("weight"))
  rows$without_own <- as.logical(pick("large"))
  rows
}
