# Shared by joint-study, sbc-joint and bench_joint: simulated strata under the joint model and under others.

library(vacal)

causes <- c("congenital", "pneumonia", "sepsis", "intrapartum", "other", "prematurity")

share <- function(x) x / sum(x)
draw_dirichlet <- function(alpha) share(exp(log(rgamma(length(alpha), alpha + 1)) + log(runif(length(alpha))) / alpha))
draw_matrix <- function(alpha) t(apply(alpha, 1, draw_dirichlet))

# Dirichlet parameters of an algorithm that is right about half the time: illustrative, of the size of published ones.
illustrative_alpha <- function(algorithm, names = causes) {
  set.seed(100 + algorithm)
  n <- length(names)
  preference <- share(rgamma(n, 2))
  rates <- 0.5 * diag(n) + 0.5 * matrix(preference, n, n, byrow = TRUE)
  matrix(rates * runif(n, 20, 60), n, dimnames = list(names, names))
}

truths <- c("model", "similar", "unlike", "outlier", "noise", "prior")

# Fractions of the strata (strata x causes) of a truth.
#   model: phi and pi from their priors; similar: phi = 50; unlike: each stratum uniform on the simplex;
#   outlier: similar, but for the last stratum; noise: as model, and every stratum has matrices of its own (tau = 100);
#   prior: as model, and counts scatter as its prior says. In the others they are multinomial.
draw_fractions <- function(truth, n_strata, n_causes) {
  pi <- draw_dirichlet(rep(1, n_causes))
  phi <- if (truth %in% c("similar", "outlier")) 50 else exp(rnorm(1, 3, 1))
  p <- t(replicate(n_strata, draw_dirichlet(if (truth == "unlike") rep(1, n_causes) else phi * pi)))
  if (truth == "outlier") p[n_strata, ] <- draw_dirichlet(rep(1, n_causes))
  list(p = p, pi = pi, phi = phi)
}

# One data set: counts (strata x algorithms x causes), the matrices' Dirichlet parameters, and the truth.
simulate_strata <- function(truth, n_algorithms, n_strata, deaths, names = causes) {
  n <- length(names)
  alphas <- lapply(seq_len(n_algorithms), illustrative_alpha, names)
  names(alphas) <- letters[seq_len(n_algorithms)]
  function(seed) {
    set.seed(seed)
    m <- lapply(alphas, draw_matrix)
    at <- draw_fractions(truth, n_strata, n)
    kappa <- if (truth == "prior") exp(rnorm(n_algorithms, 7, 1.5)) else rep(Inf, n_algorithms)
    deaths <- rep_len(deaths, n_strata)
    counts <- array(0, c(n_strata, n_algorithms, n), list(paste0("s", seq_len(n_strata)), names(alphas), names))
    for (s in seq_len(n_strata)) {
      for (k in seq_len(n_algorithms)) {
        rates <- if (truth == "noise") draw_matrix(100 * m[[k]]) else m[[k]]
        q <- drop(at$p[s, ] %*% rates)
        if (is.finite(kappa[k])) q <- draw_dirichlet(pmax(kappa[k] * q, 1e-6))
        counts[s, k, ] <- rmultinom(1, deaths[s], q)
      }
    }
    c(at, list(counts = counts, alphas = alphas, m = m, kappa = kappa, deaths = deaths))
  }
}

# --name value pairs of the command line over defaults; numbers where the default is one.
read_options <- function(defaults) {
  given <- commandArgs(trailingOnly = TRUE)
  while (length(given) > 0) {
    name <- sub("^--", "", given[1])
    if (!name %in% names(defaults) || length(given) < 2) {
      stop("options: ", paste0("--", names(defaults), " VALUE", collapse = ", "))
    }
    defaults[[name]] <- if (is.numeric(defaults[[name]])) as.numeric(given[2]) else given[2]
    given <- given[-(1:2)]
  }
  defaults
}
