# From the published package's result of one stratum to fits as calibrate_batch() reports them.

published_fits <- function(x, settings, fits) {
  estimates <- lapply(fits, function(fit) published_fit(x, fit, settings))
  names(estimates) <- fits
  members <- x$used
  weak <- members[vapply(estimates[members], function(e) e$status == "not_calibrated" || e$stalled %in% TRUE, NA)]
  disputed <- published_disagreements(estimates)
  for (fit in fits) {
    e <- estimates[[fit]]
    if (!e$status %in% constants()$with_result) next
    because <- if (e$status == "not_calibrated") character() else if (fit == "ensemble") weak else intersect(fit, weak)
    estimates[[fit]]$because <- if (length(because) > 0) paste(because, collapse = ",") else NA_character_
    estimates[[fit]]$unreliable <- length(because) > 0
    estimates[[fit]]$disagrees <- disputed
  }
  list(estimates = estimates, study = x$output$Mmat_study, used = used_published(x))
}

# One fit; vectors run over the causes.
published_fit <- function(x, fit, settings) {
  causes <- colnames(x$deaths)
  deaths <- if (fit == "ensemble") colSums(x$deaths[x$used, , drop = FALSE]) else x$deaths[fit, ]
  e <- list(
    status = "no_result", reason = NA_character_, counts = unname(deaths), raw = unname(deaths / sum(deaths)),
    mean = NA_real_, sd = NA_real_, low = NA_real_, high = NA_real_,
    quantiles = matrix(NA_real_, length(causes), length(settings$quantiles)), cause_status = "no_result",
    cause_reason = NA_character_, calibrated_deaths = NA_real_, ensemble_deaths = NA_real_, draws = NULL,
    lambda = NA_real_, stalled = NA, noop = NA, unreliable = NA, because = NA_character_, disagrees = NA,
    diagnostics = list(rhat = NA_real_, ess_bulk = NA_real_, ess_tail = NA_real_, divergences = NA_integer_)
  )
  e$raw[is.nan(e$raw)] <- NA_real_
  if (fit != "ensemble" && !fit %in% x$used) return(utils::modifyList(e, list(reason = "no_deaths")))
  if (fit == "ensemble" && length(x$used) < 2) return(utils::modifyList(e, list(reason = "fewer_than_two_members")))
  if (!is.null(x$error)) return(utils::modifyList(e, list(status = "failed", reason = x$error)))
  fill_published(e, x$output, fit, settings)
}

fill_published <- function(e, output, fit, settings) {
  k <- match(fit, dimnames(output$p_calib)[[1]])
  calibrated <- output$calibrated[[k]]
  left <- output$donotcalib_tomodel[k, ] | !calibrated
  p <- array(output$p_calib[k, , ], dim(output$p_calib)[-1])
  e$status <- if (calibrated) "calibrated" else "not_calibrated"
  e$reason <- if (calibrated) NA_character_ else "at_most_one_calibrated_cause"
  e$mean <- ifelse(left, e$raw, colMeans(p))
  e$sd <- ifelse(left, NA_real_, apply(p, 2, stats::sd))
  ends <- apply(p, 2, stats::quantile, constants()$interval)
  e$low <- ifelse(left, NA_real_, ends[1, ])
  e$high <- ifelse(left, NA_real_, ends[2, ])
  values <- matrix(apply(p, 2, stats::quantile, settings$quantiles, names = FALSE), ncol = length(left))
  e$quantiles[!left, ] <- t(values)[!left, ]
  e$cause_status <- unname(ifelse(left, "passed_through", "calibrated"))
  e$cause_reason <- published_reasons(output, fit, left, e$reason)
  e$noop <- max(abs(e$mean - e$raw)) < constants()$noop_below
  e$stalled <- FALSE
  if (settings$keep_draws) e$draws <- p
  if (calibrated) e$diagnostics <- published_diagnostics(output$calib_MCMCout[[k]], which(!left))
  if (fit == "ensemble") return(e)
  if (calibrated) e$lambda <- round(unname(output$lambda_calibpath[k]), 2)
  e$stalled <- calibrated && e$lambda >= 0.985
  e$calibrated_deaths <- unname(output$va_deaths_calib_algo[fit, ])
  if (!is.null(output$va_deaths_calib_ensemble)) e$ensemble_deaths <- unname(output$va_deaths_calib_ensemble[fit, ])
  e
}

published_reasons <- function(output, fit, left, reason) {
  asked <- output$donotcalib_study
  learned <- output$donotcalib_tomodel[seq_len(nrow(asked)), , drop = FALSE] & !asked
  at <- if (fit == "ensemble") seq_len(nrow(asked)) else match(fit, dimnames(output$p_calib)[[1]])
  words <- vapply(seq_along(left), function(c) {
    paste(c(if (any(asked[at, c])) "asked_for", if (any(learned[at, c])) "learned"), collapse = ",")
  }, "")
  words[words == ""] <- reason
  ifelse(left, words, NA_character_)
}

# Recomputed from the chain as it ran, on the calibrated causes' renormalised fractions.
published_diagnostics <- function(fit, causes) {
  lacking <- list(rhat = NA_real_, ess_bulk = NA_real_, ess_tail = NA_real_, divergences = NA_integer_)
  divergences <- fit$mcmc.diagnostic["num_divergent"]
  if (length(divergences) == 1) lacking$divergences <- as.integer(divergences)
  if (is.null(fit$stanfit)) return(lacking)
  chains <- as.array(fit$stanfit)  # iterations x chains x parameters
  names <- sprintf("p_calib[%d]", causes)
  if (!all(names %in% dimnames(chains)[[3]])) return(lacking)
  p <- chains[, , names, drop = FALSE]
  total <- apply(p, 1:2, sum)
  d <- vapply(seq_along(names), function(i) diagnose_chains(p[, , i] / total), numeric(3))
  list(rhat = max(d[1, ]), ess_bulk = min(d[2, ]), ess_tail = min(d[3, ]), divergences = lacking$divergences)
}

published_disagreements <- function(estimates) {
  algorithms <- estimates[setdiff(names(estimates), "ensemble")]
  algorithms <- algorithms[vapply(algorithms, function(e) e$status == "calibrated", NA)]
  if (length(algorithms) == 0) return(rep(FALSE, length(estimates[[1]]$counts)))
  ends <- function(end) do.call(rbind, lapply(algorithms, `[[`, end))
  pooled <- estimates$ensemble
  disagreements(ends("low"), ends("high"), if (identical(pooled$status, "calibrated")) pooled$mean else numeric())
}

# Causes on which algorithms disagree, by the rule of the core. low, high: matrices algorithms x causes of the ends of the
# 95% intervals, NA where a cause is not calibrated; ensemble: its means, or numeric().
disagreements <- function(low, high, ensemble) {
  .Call(C_disagreements_, as.double(low), as.double(high), as.double(ensemble), ncol(low))
}

# algorithms x causes x causes: means of the matrices as used, identity outside the calibrated causes.
used_published <- function(x) {
  causes <- colnames(x$deaths)
  used <- array(NA_real_, c(nrow(x$deaths), length(causes), length(causes)))
  if (is.null(x$output)) return(used)
  for (k in seq_along(x$used)) {
    block <- which(!x$output$donotcalib_tomodel[k, ])
    m <- diag(length(causes))
    if (x$output$calibrated[[k]]) {
      part <- x$output$Mmat_tomodel[k, block, block]
      m[block, block] <- part / rowSums(part)
    }
    used[match(x$used[k], rownames(x$deaths)), , ] <- m
  }
  used
}

# All strata in the form of calibrate_batch().
join_published <- function(strata, batch, settings, fits) {
  labels <- unname(batch$labels)
  all <- unlist(lapply(strata, `[[`, "estimates"), recursive = FALSE)
  n <- length(labels[[3]])
  spread <- function(field) unlist(lapply(all, function(e) rep_len(e[[field]], n)), use.names = FALSE)
  each <- function(field) unlist(lapply(all, `[[`, field), use.names = FALSE)
  diagnostic <- function(field) unlist(lapply(all, function(e) e$diagnostics[[field]]), use.names = FALSE)
  deaths <- vapply(all, function(e) sum(e$counts), 0, USE.NAMES = FALSE)
  index <- rep(seq_along(strata), each = length(fits))
  sampled <- each("status") == "calibrated"
  estimates <- data.frame(
    stratum = rep(index, each = n), algorithm = rep(rep(fits, length(strata)), each = n),
    cause = rep(labels[[3]], length(all)), deaths = as.integer(spread("counts")), raw = spread("raw"),
    mean = spread("mean"), sd = spread("sd"), status = spread("cause_status"),
    not_calibrated_reason = spread("cause_reason"), calibrated_deaths = as.integer(spread("calibrated_deaths")),
    ensemble_deaths = as.integer(spread("ensemble_deaths")), disagrees = spread("disagrees")
  )
  list(
    estimates = estimates,
    quantiles = matrix(unlist(lapply(all, function(e) t(e$quantiles))), ncol = length(settings$quantiles), byrow = TRUE,
                       dimnames = list(NULL, as.character(settings$quantiles))),
    fits = data.frame(
      stratum = index, algorithm = rep(fits, length(strata)), deaths = as.integer(deaths), status = each("status"),
      reason = each("reason"), lambda = each("lambda"), path_correction_stalled = each("stalled"),
      estimate_is_noop = each("noop"), interval_unreliable = each("unreliable"), unreliable_because = each("because"),
      algorithms_disagree = vapply(all, function(e) any(e$disagrees), NA, USE.NAMES = FALSE),
      sampler = ifelse(sampled, paste(published_engine, published_version), NA_character_),
      sampler_reason = ifelse(sampled, published_options(settings), NA_character_),
      rhat = diagnostic("rhat"), ess_bulk = diagnostic("ess_bulk"), ess_tail = diagnostic("ess_tail"),
      divergences = diagnostic("divergences"), acceptance = NA_real_, evaluations = NA_real_,
      distinct_draws = ifelse(sampled, as.integer(settings$draws), NA_integer_),
      converged = ifelse(sampled, diagnostic("rhat") <= 1.01 & diagnostic("ess_bulk") >= 400, NA)
    ),
    matrices_used = stack_arrays(lapply(strata, `[[`, "used"), labels[c(1, 2, 3, 3)]),
    matrices_published = published_means(strata, labels), calibrated_causes = published_causes(all, labels),
    draws = if (settings$keep_draws) published_draws(all, settings$draws, labels[[3]])
  )
}

published_options <- function(settings) {
  sprintf("engine asked for: nMCMC %d, nBurn %d, nThin 1, nChain 1, adapt_delta 0.9, seed %s",
          as.integer(settings$draws), as.integer(published_warmup), format(settings$seed, digits = 16))
}

stack_arrays <- function(arrays, labels) {
  out <- array(NA_real_, lengths(labels), labels)
  for (s in seq_along(arrays)) out[s, , , ] <- arrays[[s]]
  out
}

# Row-normalised matrices before correction, of the first stratum in which the algorithm was run.
published_means <- function(strata, labels) {
  out <- array(NA_real_, lengths(labels[c(2, 3, 3)]), labels[c(2, 3, 3)])
  for (stratum in rev(strata)) for (a in dimnames(stratum$study)[[1]]) {
    m <- stratum$study[a, , ]
    out[a, , ] <- m / rowSums(m)
  }
  out
}

published_causes <- function(all, labels) {
  out <- array(NA, lengths(labels[2:3]), labels[2:3])
  for (i in rev(seq_along(all))) {
    a <- names(all)[i]
    if (a != "ensemble" && all[[i]]$status %in% constants()$with_result) {
      out[a, ] <- all[[i]]$cause_status == "calibrated"
    }
  }
  out
}

published_draws <- function(all, draws, causes) {
  out <- array(NA_real_, c(length(all), draws, length(causes)), list(NULL, NULL, causes))
  for (i in seq_along(all)) if (!is.null(all[[i]]$draws)) out[i, , ] <- all[[i]]$draws
  out
}
