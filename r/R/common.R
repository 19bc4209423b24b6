# Common matrix draws: draw d of every stratum uses draw d of the matrices. The parts behind make_baseline() and
# calibrate_common(); not exported.

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
  q <- lapply(means, function(m) colSums(p * m))
  between <- Map(function(m, q) sum(colSums(p * m^2) - q^2), means, q)
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
# Also kept: counts of the country, of units and of large strata (more than a fifth of a unit's deaths), from which the
# centres of large strata are made, and for each unit those that hold it. `impossible`: why there is nothing to draw from.
common_baseline <- function(counts, matrices, units = list(), draws = 1000, source = "two stages", concentration = 1,
                            same_deaths = TRUE, seed = 1, country = "country", fit = "fit", m = NULL,
                            fixed = rep(FALSE, dim(counts)[2]), calibrated = array(TRUE, dim(counts)[2:3])) {
  dimnames(counts)[[1]] <- dimnames(counts)[[1]] %||% as.character(seq_len(dim(counts)[1]))
  b <- list(seed = seed, fit = fit, calibrated = calibrated, p = list(), r = list(), multiple = 1, rho = 0)
  b <- c(b, known_counts(useful_units(units, counts), counts))
  first <- first_look(b, matrices, country, fixed)
  if (anyNA(first)) return(c(b, impossible = "the matrices cannot produce the deaths of all strata together"))
  if (same_deaths && dim(counts)[2] > 1) {
    b$rho <- common_share(lapply(seq_along(matrices), function(k) mean_rates(matrices[[k]], calibrated[k, ])), colMeans(first))
  }
  b <- c(b, list(source = if (!is.null(m)) "given" else if (all(fixed)) "fixed" else source))
  if (b$source == "two stages") {
    both <- sample_country(array(weighed(b, b$counts$country), dim(counts)[-1]), matrices, draws, seed = seed, country = country,
                           fit = fit, fixed = fixed, calibrated = calibrated)
    b$m <- both$m
    b$p0 <- both$p
    quality <- c("rhat", "ess_bulk", "ess_tail", "divergences", "converged")
    b[quality] <- both[quality]
  } else {
    b$m <- if (is.null(m)) draw_matrices(matrices, draws, seed, country, fixed, calibrated) else m
    b$p0 <- draw_one(b, b$counts$country, rep(1, dim(counts)[3]))
  }
  if (anyNA(b$p0)) return(c(b, impossible = "some draws of the matrices cannot produce the deaths of all strata together"))
  for (u in names(b$inside)) b <- add_unit(b, u)
  b$multiple <- if (identical(concentration, "learned")) learn_concentration(b, counts) else concentration
  b
}

# The country's fractions where matrices have their own distributions, unweighed; NaN where they cannot produce the counts.
first_look <- function(b, matrices, country, fixed) {
  m <- draw_matrices(matrices, 200, b$seed, country, fixed, b$calibrated)
  sample_common(m, taking_part(b, b$counts$country), rep(1, dim(m)[3]), seed = b$seed)$p[1, , ]
}

# Units by name, large to small: the names of their strata (units), of the units that hold them (inside), and the counts.
known_counts <- function(units, counts, most = 0.2) {
  sums <- lapply(names(units), function(u) pooled_counts(counts, units[[u]], u))
  country <- pooled_counts(counts, seq_len(dim(counts)[1]), "country")
  deaths <- deaths_of(counts)
  limit <- rep(most * deaths_of(country), dim(counts)[1])
  for (u in seq_along(units)) limit[units[[u]]] <- pmin(limit[units[[u]]], most * deaths_of(sums[[u]]))
  inside <- lapply(seq_along(units), function(u) {
    bigger <- vapply(units[seq_len(u - 1)], function(v) length(v) > length(units[[u]]) && all(units[[u]] %in% v), NA)
    names(units)[seq_len(u - 1)][as.logical(bigger)]
  })
  list(
    units = lapply(units, function(at) dimnames(counts)[[1]][at]), inside = stats::setNames(inside, names(units)),
    counts = list(country = country, units = stats::setNames(sums, names(units)),
                  large = counts[deaths > limit & sum(deaths > 0) > 1, , , drop = FALSE])
  )
}

pooled_counts <- function(counts, at, name) {
  array(apply(counts[at, , , drop = FALSE], 2:3, sum), c(1, dim(counts)[-1]), list(name, NULL, NULL))
}

# Counts in which an algorithm takes part: it has deaths in a cause that it calibrates, or calibrates none at all.
taking_part <- function(b, counts) {
  n <- dim(counts)
  for (k in seq_len(n[2])) {
    inside <- if (any(b$calibrated[k, ])) b$calibrated[k, ] else rep(TRUE, n[3])
    counts[rowSums(matrix(counts[, k, inside], n[1])) == 0, k, ] <- 0
  }
  counts
}

# Those counts, weighed by how many algorithms take part in each stratum or unit.
weighed <- function(b, counts) {
  counts <- taking_part(b, counts)
  with_deaths <- apply(counts, 1, function(a) sum(rowSums(matrix(a, dim(counts)[2])) > 0))
  counts * weight_of(b$rho, with_deaths)
}

draw_one <- function(b, counts, prior) {
  dimnames(counts)[[1]] <- paste("unit", dimnames(counts)[[1]], sep = "\r")
  array(sample_common(b$m, weighed(b, counts), prior, b$fit, b$seed)$p, dim(b$m)[c(1, 3)])
}

`%||%` <- function(a, b) if (is.null(a)) b else a

deaths_of <- function(counts) apply(apply(counts, 1:2, sum), 1, max)

# Units of more than one stratum with deaths that are neither the whole country nor another unit, largest first.
useful_units <- function(units, counts) {
  with_deaths <- which(deaths_of(counts) > 0)
  units <- lapply(units, function(u) intersect(sort(unique(u)), with_deaths))
  units <- units[!duplicated(units) & lengths(units) > 1 & lengths(units) < length(with_deaths)]
  deaths <- vapply(units, function(u) sum(deaths_of(counts[u, , , drop = FALSE])), 0)
  units[order(-lengths(units), -deaths, as.character(names(units)), method = "radix")]
}

# Proportional to p0 times p_u / r_u of the units named, by draw; all are mixed with 0.001 of a uniform distribution.
centre_of <- function(p0, p, r, units, mix = 0.001) {
  rows <- function(x) as.double(t(x))
  matrix(.Call(C_common_centre_, rows(p0), lapply(p[units], rows), lapply(r[units], rows), ncol(p0), mix), nrow(p0), byrow = TRUE)
}

# The unit's centre and fractions; `without`: a large stratum whose own counts are left out.
add_unit <- function(b, u, without = NULL) {
  b$r[[u]] <- centre_of(b$p0, b$p, b$r, b$inside[[u]])
  b$p[[u]] <- draw_one(b, counts_without(b, b$counts$units[[u]], without), ncol(b$p0) * b$r[[u]])
  b
}

counts_without <- function(b, counts, without) {
  if (is.null(without)) return(counts)
  name <- paste(dimnames(counts)[[1]], "without", without, sep = "\r")
  array(as.double(counts) - as.double(b$counts$large[without, , ]), dim(counts), list(name, NULL, NULL))
}

# Of each stratum the names of the units that hold it.
holding_units <- function(b, strata) {
  out <- stats::setNames(rep(list(character()), length(strata)), strata)
  for (u in names(b$units)) for (s in intersect(b$units[[u]], strata)) out[[s]] <- c(out[[s]], u)
  out
}

# The centres of all strata: strata x draws x causes. One with more than a fifth of the deaths of a unit, or of the country,
# when the baseline was made has that unit's fractions without its own counts.
strata_centres <- function(b, strata, holding = holding_units(b, strata), most = 0.2) {
  large <- dimnames(b$counts$large)[[1]]
  out <- array(0, c(length(strata), dim(b$m)[c(1, 3)]), list(strata, NULL, NULL))
  for (s in strata) {
    own <- b
    if (s %in% large) {
      deaths <- deaths_of(b$counts$large[s, , , drop = FALSE])
      of_country <- deaths > most * deaths_of(b$counts$country)
      if (of_country) own$p0 <- draw_one(b, counts_without(b, b$counts$country, s), rep(1, ncol(b$p0)))
      again <- Filter(function(u) of_country || deaths > most * deaths_of(b$counts$units[[u]]), holding[[s]])
      for (u in names(b$inside)[names(b$inside) %in% again]) own <- add_unit(own, u, without = s)
    }
    out[s, , ] <- centre_of(own$p0, own$p, own$r, holding[[s]])
  }
  out
}

# Draws of all strata under a baseline: as sample_common(), with the centres used.
common_strata <- function(b, counts, centres = strata_centres(b, dimnames(counts)[[1]]), m = b$m) {
  sample_common(m, weighed(b, counts), dim(counts)[3] * b$multiple * centres, b$fit, b$seed)
}

# The multiple of C pseudo-deaths under which the strata's counts are likeliest on average over draws; of many strata and
# draws an even selection decides.
learn_concentration <- function(b, counts, grid = c(1, 2, 4, 8, 16), most_strata = 100, most_draws = 100) {
  at <- unique(round(seq(1, dim(counts)[1], length.out = min(most_strata, dim(counts)[1]))))
  some <- unique(round(seq(1, dim(b$m)[1], length.out = min(most_draws, dim(b$m)[1]))))
  few <- of_draws(b, some)
  centres <- strata_centres(few, dimnames(counts)[[1]][at])
  counts <- weighed(b, counts[at, , , drop = FALSE])
  fits <- vapply(grid, function(multiple) {
    prior <- dim(counts)[3] * multiple * centres
    mean(colSums(sample_common(few$m, counts, prior, b$fit, b$seed, c(12, 0, 3, 0.6, 16))$log_likelihood))
  }, 0)
  grid[which.max(fits)]
}

# A baseline of some of its draws.
of_draws <- function(b, some) {
  b$m <- b$m[some, , , , drop = FALSE]
  b$p0 <- b$p0[some, , drop = FALSE]
  for (u in names(b$p)) {
    b$p[[u]] <- b$p[[u]][some, , drop = FALSE]
    b$r[[u]] <- b$r[[u]][some, , drop = FALSE]
  }
  b
}
