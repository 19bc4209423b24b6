# The joint model in Stan against vacal's sampler, on one small case: Rscript script/stan_joint.R (needs rstan, not a
# dependency of the project; --scatter 0 for multinomial counts). Prints means, standard deviations and their difference
# in Monte-Carlo standard errors.

source("script/joint_study.R")
rstan::rstan_options(boost_lib = Sys.getenv("VACAL_BOOST", "/usr/include"))

program <- "
data { int S; int K; int C; int a[S, K, C]; vector[C] alpha[K, C]; int scatter; }
parameters { simplex[C] m[K, C]; simplex[C] p[S]; simplex[C] pi; real log_phi; vector[K] log_kappa; }
model {
  log_phi ~ normal(3, 1);
  log_kappa ~ normal(7, 1.5);
  for (k in 1:K) for (i in 1:C) m[k, i] ~ dirichlet(alpha[k, i]);
  for (s in 1:S) {
    p[s] ~ dirichlet(exp(log_phi) * pi);
    for (k in 1:K) {
      vector[C] q = rep_vector(0, C);
      for (i in 1:C) q += p[s, i] * m[k, i];
      if (scatter) {
        real n = sum(a[s, k]);
        real w = (exp(log_kappa[k]) + 1) / (exp(log_kappa[k]) + n);
        target += 0.5 * (C - 1) * log(w);
        for (j in 1:C) if (a[s, k, j] > 0) target += w * a[s, k, j] * log(q[j] * n / a[s, k, j]);
      } else {
        a[s, k] ~ multinomial(q);
      }
    }
  }
}"

settings <- read_options(list(strata = 5, algorithms = 2, causes = 4, deaths = 400, seed = 5, iterations = 2000, scatter = 1))
names <- paste0("cause", seq_len(settings$causes))
data <- simulate_strata("similar", settings$algorithms, settings$strata, settings$deaths, names)(settings$seed)
n <- dim(data$counts)
alpha <- aperm(simplify2array(data$alphas), c(3, 1, 2))
given <- list(S = n[1], K = n[2], C = n[3], a = data$counts, alpha = alpha, scatter = settings$scatter)
stan <- rstan::stan(model_code = program, data = given, chains = 4, iter = settings$iterations,
                    seed = 1, refresh = 0, control = list(adapt_delta = 0.95))
summary <- rstan::summary(stan, pars = c("p", "pi", "log_phi", if (settings$scatter) "log_kappa"))$summary
fit <- vacal:::sample_joint(data$counts, data$alphas, scatter = settings$scatter == 1, draws = 4000, effective_draws = 2000)
own <- cbind(matrix(aperm(fit$p, c(1, 3, 2)), nrow = 4000), fit$pi, log(fit$phi), if (settings$scatter) log(fit$kappa))
error <- sqrt(summary[, "sd"]^2 / summary[, "n_eff"] + apply(own, 2, var) / 2000)
out <- data.frame(stan = summary[, "mean"], vacal = colMeans(own), sd_stan = summary[, "sd"], sd_vacal = apply(own, 2, sd),
                  z = (summary[, "mean"] - colMeans(own)) / error, rhat_stan = summary[, "Rhat"])
print(round(out, 4))
cat(sprintf("largest |z| %.2f, standard deviations' ratio from %.3f to %.3f; R-hat of vacal %.4f, largest of Stan %.4f\n",
            max(abs(out$z)), min(out$sd_vacal / out$sd_stan), max(out$sd_vacal / out$sd_stan), fit$rhat, max(out$rhat_stan)))
