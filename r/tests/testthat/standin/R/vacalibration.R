# Answers in the form of the published package's function of this name. The draws are Dirichlet(deaths + 1); nothing
# is calibrated. An algorithm named "broken" fails as the published package does; "lacking" leaves a field out.

vacalibration <- function(va_data = NULL, age_group = NULL, country = NULL, missmat_type = "prior",
                          studycause_map = NULL, missmat = NULL, donotcalib = NULL, donotcalib_type = "learn",
                          nocalib.threshold = 0.1, path_correction = TRUE, ensemble = NULL, pshrink_strength = NULL,
                          nMCMC = 5000, nBurn = 5000, nThin = 1, nChain = 1, nCore = 1, adapt_delta_stan = 0.9,
                          refresh_stan = NULL, seed = 1, verbose = TRUE, saveoutput = FALSE) {
  if (verbose) message("* Preparing VA data for calibration")
  if ("broken" %in% names(va_data)) {
    message("'va_data' for broken algorithm must be a named vector of death counts with causes as names.")
    stop("")
  }
  stopifnot(identical(names(missmat), names(va_data)), identical(names(donotcalib), names(va_data)))
  deaths <- do.call(rbind, va_data)
  causes <- colnames(deaths)
  algorithms <- rownames(deaths)
  study <- array(NA_real_, c(nrow(deaths), ncol(deaths), ncol(deaths)), list(algorithms, causes, causes))
  for (a in algorithms) {
    m <- if (missmat_type == "samples") apply(missmat[[a]], 2:3, mean) else missmat[[a]]
    at <- if (is.null(studycause_map)) causes else studycause_map[causes]
    study[a, , ] <- m[at, at]
  }
  asked <- t(sapply(algorithms, function(a) causes %in% donotcalib[[a]]))
  left <- asked
  if (donotcalib_type == "learn") {
    for (a in algorithms) {
      m <- study[a, , ] / rowSums(study[a, , ])
      left[a, ] <- asked[a, ] | apply(m, 2, function(v) diff(range(v)) <= nocalib.threshold)
    }
  }
  lambda <- if (path_correction) 0.1 + 0.01 * stats::runif(length(algorithms)) else rep(0, length(algorithms))
  lambda[rowSums(deaths == 0 & !left) > 0] <- 0.99
  if (ensemble) {
    deaths_all <- rbind(deaths, ensemble = colSums(deaths))
    left <- rbind(left, ensemble = apply(left, 2, all))
  } else {
    deaths_all <- deaths
  }
  set.seed(seed)
  fits <- lapply(rownames(deaths_all), function(f) standin_fit(deaths_all[f, ], left[f, ], nMCMC))
  names(fits) <- rownames(deaths_all)
  p <- array(NA_real_, c(length(fits), nMCMC, ncol(deaths)), list(names(fits), NULL, causes))
  for (f in names(fits)) p[f, , ] <- fits[[f]]$p_calib
  calibrated <- rowSums(!left) > 1
  algo <- deaths
  for (a in algorithms) algo[a, ] <- share_out(deaths[a, ], colMeans(p[a, , ]), left[a, ])
  tomodel <- study
  tomodel[!calibrated[algorithms], , ] <- NA
  out <- list(
    calib_MCMCout = fits, p_uncalib = deaths_all / rowSums(deaths_all), p_calib = p, va_deaths_uncalib = deaths,
    va_deaths_calib_algo = algo, Mmat_input = study, Mmat_study = study, Mmat_tomodel = tomodel,
    donotcalib_study = asked, donotcalib_tomodel = left, calibrated = unname(calibrated),
    lambda_calibpath = ifelse(calibrated[algorithms], lambda, NA), K = length(algorithms), nCause = length(causes),
    causes = causes, input = list(nBurn = nBurn, nThin = nThin, nChain = nChain, seed = seed)
  )
  if (ensemble) {
    out$va_deaths_calib_ensemble <- algo
    for (a in algorithms) {
      out$va_deaths_calib_ensemble[a, ] <- share_out(deaths[a, ], colMeans(p["ensemble", , ]), left["ensemble", ])
    }
  }
  if ("lacking" %in% algorithms) out$donotcalib_tomodel <- NULL
  if (verbose) message("* VA-Calibration complete")
  out
}

share_out <- function(deaths, mean, left) {
  out <- deaths
  w <- mean[!left] / sum(mean[!left]) * sum(deaths[!left])
  out[!left] <- floor(w)
  missing <- sum(deaths[!left]) - sum(floor(w))
  first <- which(!left)[seq_len(missing)]
  out[first] <- out[first] + 1
  out
}

# Draws of the calibrated causes, an autocorrelated chain behind them, and diagnostics, named as in the published one.
standin_fit <- function(deaths, left, n) {
  p <- matrix(deaths / sum(deaths), n, length(deaths), byrow = TRUE, dimnames = list(NULL, names(deaths)))
  if (sum(!left) < 2) return(list(p_calib = p))
  all <- matrix(stats::rgamma(n * length(deaths), rep(deaths + 1, each = n)), n)
  all <- all / rowSums(all)
  inside <- all[, !left, drop = FALSE]
  p[, !left] <- inside / rowSums(inside) * sum(deaths[!left]) / sum(deaths)
  chain <- array(all, c(n, 1, length(deaths)), list(NULL, "chain:1", sprintf("p_calib[%d]", seq_along(deaths))))
  list(
    stanfit = structure(list(chain = chain), class = "standin_fit"), p_calib = p[sample.int(n), ],
    mcmc.diagnostic = c(max_Rhat = 1, min_ess_bulk = 1, num_divergent = 3, num_max_treedepth = 0)
  )
}

as.array.standin_fit <- function(x, ...) x$chain
