# Common matrix draws: draw d of every stratum uses draw d of the matrices. Not exported.

# One draw of the causes' fractions for each draw of the matrices and of the prior.
#   matrices: draws x algorithms x causes x VA causes; rows sum to 1 (identity where an algorithm does not calibrate);
#   counts: strata x algorithms x causes, non-negative (they need not be whole), with the strata's names;
#   prior: Dirichlet parameters, strata x draws x causes, or draws x causes or causes for all strata alike;
#   inner: independence steps, rounds of trajectory and independence step, leaps of a trajectory, their length, degrees
#     of freedom of independence proposals.
# Returns p (strata x draws x causes; NaN where a draw's matrix cannot produce the counts), log_likelihood (strata x
# draws: of the counts, their fractions averaged over the prior; an estimate) and, by stratum, `correlation` (of the
# inner chains half way with their ends, largest over coordinates), `acceptance` and `impossible` (draws).
sample_common <- function(matrices, counts, prior, fit = "fit", seed = 1, inner = c(8, 8, 3, 0.6, 16)) {
  n <- dim(counts)
  draws <- dim(matrices)[1]
  if (is.null(dim(prior))) prior <- matrix(prior, draws, n[3], byrow = TRUE)
  if (length(dim(prior)) == 2) prior <- aperm(array(prior, c(dim(prior), n[1])), c(3, 1, 2))
  shape <- list(draws = draws, algorithms = n[2], causes = n[3], inner = as.double(inner))
  names <- if (is.null(dimnames(counts)[[1]])) as.character(seq_len(n[1])) else dimnames(counts)[[1]]
  result <- .Call(
    C_sample_common_, as.double(aperm(matrices, 4:1)), as.double(aperm(counts, 3:1)), as.double(aperm(prior, 3:1)),
    names, shape, list(seed = as.double(seed), stratum = "", fit = fit)
  )
  result$p <- aperm(array(result$p, c(n[3], draws, n[1])), 3:1)
  dimnames(result$p) <- list(names, NULL, dimnames(counts)[[3]])
  result$log_likelihood <- matrix(result$log_likelihood, n[1], byrow = TRUE)
  result
}

# What the core takes of a country: matrices are Dirichlet parameters or rates (fixed), in the block of calibrated causes.
country_problem <- function(counts, matrices, fixed, calibrated) {
  list(counts = as.double(counts), matrices = lapply(matrices, as.double), fixed = as.logical(fixed),
       calibrated = as.logical(calibrated))
}

matrix_array <- function(x, draws, algorithms, causes) aperm(array(x, c(causes, causes, algorithms, draws)), 4:1)

# Draws of the matrices from their own distributions (a cut): draws x algorithms x causes x VA causes. `matrices` is a list
# named by algorithm; draw d of an algorithm depends on seed, country, its name and d only.
draw_matrices <- function(matrices, draws, seed = 1, country = "country", fixed = rep(FALSE, length(matrices)),
                          calibrated = array(TRUE, c(length(matrices), ncol(matrices[[1]])))) {
  n <- ncol(matrices[[1]])
  problem <- country_problem(array(0, dim(calibrated)), matrices, fixed, calibrated)
  key <- list(seed = as.double(seed), stratum = country, fit = "")
  matrix_array(.Call(C_draw_matrices_, problem, names(matrices), as.integer(draws), key), draws, length(matrices), n)
}

# Draws of matrices and fractions given a country's counts (algorithms x causes): m as above, p draws x causes.
sample_country <- function(counts, matrices, draws, effective_draws = draws, budget = 0, seed = 1, country = "country",
                           fit = "fit", fixed = rep(FALSE, nrow(counts)), calibrated = array(TRUE, dim(counts))) {
  work <- list(draws = as.integer(draws), effective_draws = as.double(effective_draws), budget = as.double(budget))
  result <- .Call(C_sample_country_, country_problem(counts, matrices, fixed, calibrated), names(matrices), work,
                  list(seed = as.double(seed), stratum = country, fit = fit))
  result$m <- matrix_array(result$matrices, draws, nrow(counts), ncol(counts))
  result$matrices <- NULL
  result$p <- matrix(result$p, ncol = ncol(counts), byrow = TRUE)
  result
}

# The share rho of an ensemble's count variance that is common to its algorithms because they code the same deaths, at
# the matrices' means (list) and fractions p.
common_share <- function(means, p) {
  q <- lapply(means, function(m) drop(p %*% m))
  between <- Map(function(m, q) sum(drop(p %*% m^2) - q^2), means, q)
  sum(unlist(between)) / sum(vapply(q, function(q) sum(q * (1 - q)), 0))
}

weight_of <- function(rho, algorithms) 1 / (1 + (pmax(algorithms, 1) - 1) * rho)

mean_rates <- function(matrix, inside) {
  out <- diag(ncol(matrix))
  out[inside, inside] <- matrix[inside, inside] / rowSums(matrix[inside, inside, drop = FALSE])
  out
}

# Everything that a stratum's draws need besides its own counts: draws of matrices (m) and of the country's fractions
# (p0), units with their fractions (p) and the centre that the rest makes for them (r), rho, and the concentration.
#   counts: strata x algorithms x causes; matrices: list named by algorithm, Dirichlet parameters (or rates where fixed);
#   units: named list of index vectors of strata (each province, each year);
#   source: "two stages" (matrices given the country's counts) or "cut" (their own distributions);
#   m: draws of the matrices that are used as they are, in place of a source;
#   concentration: multiple of C, or "learned" (never below 1 times C).
common_baseline <- function(counts, matrices, units = list(), draws = 1000, source = "two stages", concentration = 1,
                            same_deaths = TRUE, seed = 1, country = "country", fit = "fit", m = NULL,
                            fixed = rep(FALSE, dim(counts)[2]), calibrated = array(TRUE, dim(counts)[2:3])) {
  b <- list(seed = seed, fit = fit, units = useful_units(units, counts), p = list(), r = list(), multiple = 1, rho = 0)
  pooled <- apply(counts, 2:3, sum)
  if (same_deaths && dim(counts)[2] > 1) b$rho <- learn_common_share(pooled, matrices, seed, country, fixed, calibrated)
  pooled <- weighed(b, array(pooled, c(1, dim(pooled)), list("country", NULL, NULL)))
  if (is.null(m) && source == "two stages" && !all(fixed)) {
    both <- sample_country(array(pooled, dim(pooled)[-1]), matrices, draws, seed = seed, country = country, fit = fit,
                           fixed = fixed, calibrated = calibrated)
    b$m <- both$m
    b$p0 <- both$p
    b[c("rhat", "ess_bulk", "converged")] <- both[c("rhat", "ess_bulk", "converged")]
  } else {
    b$m <- if (is.null(m)) draw_matrices(matrices, draws, seed, country, fixed, calibrated) else m
    b$p0 <- draw_one(b, pooled, rep(1, dim(counts)[3]))
  }
  b <- add_units(b, counts)
  b$multiple <- if (identical(concentration, "learned")) learn_concentration(b, counts) else concentration
  b
}

learn_common_share <- function(pooled, matrices, seed, country, fixed, calibrated) {
  m <- draw_matrices(matrices, 200, seed, country, fixed, calibrated)
  p <- sample_common(m, array(pooled, c(1, dim(pooled))), rep(1, ncol(pooled)), seed = seed)$p
  means <- lapply(seq_along(matrices), function(k) mean_rates(matrices[[k]], calibrated[k, ]))
  common_share(means, colMeans(p[1, , ], na.rm = TRUE))
}

# Counts of strata or units weighed by how many algorithms have deaths in each.
weighed <- function(b, counts) {
  with_deaths <- apply(counts, 1, function(a) sum(rowSums(matrix(a, dim(counts)[2])) > 0))
  counts * weight_of(b$rho, with_deaths)
}

draw_one <- function(b, counts, prior) {
  dimnames(counts)[[1]] <- dimnames(counts)[[1]] %||% "country"
  array(sample_common(b$m, counts, prior, b$fit, b$seed)$p, dim(b$m)[c(1, 3)])
}

`%||%` <- function(a, b) if (is.null(a)) b else a

deaths_of <- function(counts) apply(apply(counts, 1:2, sum), 1, max)

# Units of more than one stratum that are neither the whole country nor another unit, largest first.
useful_units <- function(units, counts) {
  units <- lapply(units, function(u) sort(unique(u)))
  units <- units[!duplicated(units) & lengths(units) > 1 & lengths(units) < dim(counts)[1]]
  deaths <- vapply(units, function(u) sum(deaths_of(counts[u, , , drop = FALSE])), 0)
  units[order(-deaths, names(units))]
}

mixed <- function(p, with = 0.001) (1 - with) * p + with / ncol(p)

# Proportional to p0 times p_u / r_u of the units named, by draw; made in logs.
centre_of <- function(p0, p, r, units) {
  x <- log(mixed(p0))
  for (u in units) x <- x + log(mixed(p[[u]])) - log(mixed(r[[u]]))
  x <- exp(x - apply(x, 1, max))
  mixed(x / rowSums(x))
}

unit_counts <- function(counts, at, name) {
  array(apply(counts[at, , , drop = FALSE], 2:3, sum), c(1, dim(counts)[-1]), list(name, NULL, NULL))
}

# Fractions of every unit, from large to small; `without`: a stratum whose own counts are left out.
add_units <- function(b, counts, units = names(b$units), without = NULL) {
  n <- dim(counts)[3]
  for (u in units) {
    holding <- Filter(function(v) v != u && all(b$units[[u]] %in% b$units[[v]]) && length(b$units[[v]]) > length(b$units[[u]]),
                      names(b$units)[seq_len(match(u, names(b$units)) - 1)])
    b$r[[u]] <- centre_of(b$p0, b$p, b$r, holding)
    name <- paste(c(u, if (!is.null(without)) c("without", dimnames(counts)[[1]][without])), collapse = "\r")
    own <- weighed(b, unit_counts(counts, setdiff(b$units[[u]], without), name))
    b$p[[u]] <- draw_one(b, own, n * b$r[[u]])
  }
  b
}

# The centres of all strata: strata x draws x causes. A stratum with more than a fifth of the deaths of a unit, or of the
# country, has that unit's fractions without its own counts.
strata_centres <- function(b, counts, most = 0.2) {
  deaths <- deaths_of(counts)
  out <- array(0, c(dim(counts)[1], dim(b$m)[c(1, 3)]))
  for (s in seq_len(dim(counts)[1])) {
    holding <- names(b$units)[vapply(b$units, function(u) s %in% u, NA)]
    own <- b
    large <- deaths[s] > most * sum(deaths) && dim(counts)[1] > 1
    if (large) {
      rest <- weighed(b, unit_counts(counts, -s, paste("country", "without", dimnames(counts)[[1]][s], sep = "\r")))
      own$p0 <- draw_one(b, rest, rep(1, dim(counts)[3]))
    }
    again <- if (large) holding else Filter(function(u) deaths[s] > most * sum(deaths[b$units[[u]]]), holding)
    if (length(again) > 0) own <- add_units(own, counts, again, without = s)
    out[s, , ] <- centre_of(own$p0, own$p, own$r, holding)
  }
  out
}

# Draws of all strata under a baseline: as sample_common(), with the centres used.
common_strata <- function(b, counts, centres = strata_centres(b, counts), m = b$m) {
  sample_common(m, weighed(b, counts), dim(counts)[3] * b$multiple * centres, b$fit, b$seed)
}

# The multiple of C pseudo-deaths under which the strata's counts are likeliest on average over draws.
learn_concentration <- function(b, counts, centres = strata_centres(b, counts), grid = c(1, 2, 4, 8, 16), most_strata = 100,
                                most_draws = 100) {
  at <- unique(round(seq(1, dim(counts)[1], length.out = min(most_strata, dim(counts)[1]))))
  some <- unique(round(seq(1, dim(b$m)[1], length.out = min(most_draws, dim(b$m)[1]))))
  centres <- centres[at, some, , drop = FALSE]
  counts <- weighed(b, counts[at, , , drop = FALSE])
  fits <- vapply(grid, function(multiple) {
    prior <- dim(counts)[3] * multiple * centres
    fit <- sample_common(b$m[some, , , , drop = FALSE], counts, prior, b$fit, b$seed, c(12, 0, 3, 0.6, 16))
    mean(colSums(fit$log_likelihood))
  }, 0)
  grid[which.max(fits)]
}
