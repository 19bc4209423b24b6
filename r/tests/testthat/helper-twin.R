# A slow, plain-R twin of the preparation, written from the rules alone, and small problems to use it on.

causes5 <- c("infection", "pneumonia", "prematurity", "asphyxia", "other")

# Misclassification by base accuracy and preference: Dirichlet parameters with totals that differ by row.
synthetic_alpha <- function(causes = causes5, accuracy = 0.6, total = 30, seed = 1) {
  set.seed(seed)
  n <- length(causes)
  preference <- stats::rgamma(n, 2)
  m <- accuracy * diag(n) + (1 - accuracy) * matrix(preference / sum(preference), n, n, byrow = TRUE)
  m <- m * stats::runif(n, 0.7, 1.3) * total
  dimnames(m) <- list(causes, causes)
  m
}

rows_to_one <- function(m) m / rowSums(m)

counts_of <- function(..., causes = causes5, stratum = "s1") {
  values <- list(...)
  array(unlist(values), c(length(causes), length(values), 1), list(causes, names(values), stratum)) |> aperm(3:1)
}

none <- function(matrices) lapply(matrices, function(m) character())

# q must be solved by p in the simplex; pseudo-inverse where singular.
twin_solve <- function(m, q) {
  tryCatch(solve(t(m), q), error = function(e) {
    s <- svd(t(m))
    keep <- s$d > sqrt(.Machine$double.eps) * s$d[1]
    drop(s$v[, keep, drop = FALSE] %*% ((t(s$u[, keep, drop = FALSE]) %*% q) / s$d[keep]))
  })
}

twin_lambda <- function(block, q, fixed) {
  m <- rows_to_one(block)
  most <- if (fixed) 100L else 99L
  for (k in most:0) {
    p <- twin_solve(k / 100 * diag(nrow(m)) + (1 - k / 100) * m, q)
    p[abs(p) < 1e-12] <- 0
    if (any(p < 0) || any(p > 1 + 1e-12)) return(min(k + 1L, most))
  }
  0L
}

# E[log x] of x = lambda [i = j] + (1 - lambda) Beta(a, b), nudged: adaptive quadrature over the log-odds.
twin_expected_log <- function(a, b, shift, scale, n) {
  f <- function(t) {
    log_density <- a * stats::plogis(t, log.p = TRUE) + b * stats::plogis(-t, log.p = TRUE) - lbeta(a, b)
    exp(log_density) * log((shift + scale * stats::plogis(t) + 1e-5) / (1 + n * 1e-5))
  }
  centre <- digamma(a) - digamma(b)
  reach <- pmin(40 * sqrt(trigamma(a) + trigamma(b)), 700)
  area <- function(from, to) stats::integrate(f, from, to, rel.tol = 1e-10, subdivisions = 10000L)$value
  area(max(centre - reach, -700), centre) + area(centre, min(centre + reach, 700))
}

twin_total <- function(mean, expected_log) {
  keep <- mean > 0
  score <- function(log_s) {
    s <- exp(log_s)
    digamma(s) - sum(mean[keep] * digamma(s * mean[keep])) + sum(mean[keep] * expected_log[keep])
  }
  exp(stats::uniroot(score, log(c(1e-3, 1e8)), tol = 1e-12)$root)
}

twin_block <- function(block, lambda, fixed) {
  n <- nrow(block)
  m <- rows_to_one(block)
  mean <- lambda * diag(n) + (1 - lambda) * m
  if (fixed) return(mean)
  if (lambda == 0) return(block)
  out <- block
  for (i in seq_len(n)) {
    if (sum(block[i, ] > 0) < 2) next
    logs <- vapply(seq_len(n), function(j) {
      if (block[i, j] == 0) return(0)
      twin_expected_log(block[i, j], sum(block[i, -j]), lambda * (i == j), 1 - lambda, n)
    }, 0)
    mean[i, block[i, ] == 0] <- 0
    out[i, ] <- mean[i, ] * twin_total(mean[i, ], logs)
  }
  out
}

# Matrix as used (block in place, identity elsewhere) and lambda in hundredths.
twin_prepare <- function(matrix, counts, left, fixed, path_correction) {
  n <- length(counts)
  out <- diag(n)
  if (sum(counts) == 0 || sum(!left) < 2 || sum(counts[!left]) == 0) return(list(lambda = -1L, matrix = out))
  block <- matrix[!left, !left]
  q <- counts[!left] / sum(counts[!left])
  lambda <- if (path_correction) twin_lambda(block, q, fixed) else 0L
  out[!left, !left] <- twin_block(block, lambda / 100, fixed)
  list(lambda = lambda, matrix = out)
}

# Study causes, by the words of the rule: restrict, take means and totals, copy, then split shared columns.
twin_expand <- function(m, map, fixed) {
  eps <- if (fixed) 0 else 0.001
  m <- m[rownames(m) %in% map, colnames(m) %in% map]
  total <- rowSums(m)
  out <- rows_to_one(m)[map, map]
  for (b in unique(map)) {
    own <- map == b
    g <- sum(own)
    if (g == 1) next
    block <- out[own, own]
    out[own, own] <- block * ifelse(diag(g) == 1, 1 - eps, eps / (g - 1))
    out[!own, own] <- out[!own, own] / g
  }
  dimnames(out) <- list(names(map), names(map))
  if (fixed) out else out * total[map]
}
