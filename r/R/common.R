# Common matrix draws: draw d of every stratum uses draw d of the matrices. Not exported.

# One draw of the causes' fractions for each draw of the matrices and of the prior.
#   matrices: draws x algorithms x causes x VA causes; rows sum to 1 (identity where an algorithm does not calibrate);
#   counts: strata x algorithms x causes, non-negative (they need not be whole), with the strata's names;
#   prior: Dirichlet parameters, strata x draws x causes, or draws x causes or causes for all strata alike.
# Returns p (strata x draws x causes; NaN where a draw's matrix cannot produce the counts) and, by stratum, `correlation`
# (of the inner chains half way with their ends, largest over coordinates), `acceptance` and `impossible` (draws).
sample_common <- function(matrices, counts, prior, fit = "fit", seed = 1, inner = c(12, 6, 3, 0.75, 16)) {
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
  result
}
