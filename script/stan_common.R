# p given its matrices, in Stan against vacal's inner chains, for a few matrices drawn from their distributions and prior
# centres: Rscript script/stan_common.R (needs rstan, not a dependency of the project).

source("script/joint_study.R")
rstan::rstan_options(boost_lib = Sys.getenv("VACAL_BOOST", "/usr/include"))

program <- rstan::stan_model(model_code = "
data { int K; int C; vector[C] a[K]; matrix[C, C] m[K]; vector[C] prior; }
parameters { simplex[C] p; }
model {
  p ~ dirichlet(prior);
  for (k in 1:K) target += dot_product(a[k], log(m[k]' * p));
}")

alphas <- lapply(1:3, illustrative_alpha)
worst <- 0
for (case in 1:6) {
  set.seed(case)
  K <- c(1, 3)[1 + case %% 2]
  m <- lapply(alphas[seq_len(K)], draw_matrix)
  prior <- list(rep(1, 6), 6 * draw_dirichlet(rep(2, 6)), 24 * draw_dirichlet(rep(2, 6)))[[1 + case %% 3]]
  p <- draw_dirichlet(rep(1, 6))
  deaths <- c(30, 300)[1 + (case > 3)]
  counts <- 0.63 * t(vapply(m, function(x) as.numeric(rmultinom(1, deaths, p %*% x)), p))
  data <- list(K = K, C = 6, a = counts, m = aperm(simplify2array(m), c(3, 1, 2)), prior = prior)
  fit <- rstan::sampling(program, data, chains = 2, iter = 6000, warmup = 1000, refresh = 0, seed = case, cores = 1,
                         control = list(adapt_delta = 0.95))
  stan <- rstan::summary(fit, pars = "p")$summary
  all <- aperm(array(unlist(m), c(6, 6, K, 8000)), c(4, 3, 1, 2))
  own <- vacal:::sample_common(all, array(counts, c(1, dim(counts))), prior)$p[1, , ]
  z <- (colMeans(own) - stan[, "mean"]) / sqrt(stan[, "se_mean"]^2 + apply(own, 2, var) / 8000)
  ratio <- apply(own, 2, sd) / stan[, "sd"]
  worst <- max(worst, abs(z))
  cat(sprintf("K %d, %d deaths, prior sum %.0f: largest |z| of means %.1f, sd ratio %.2f to %.2f\n",
              K, deaths, sum(prior), max(abs(z)), min(ratio), max(ratio)))
}
if (worst > 4.5) quit(status = 1)
