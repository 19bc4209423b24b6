// The model as written: one population, K algorithms, C causes. For comparison only; nothing here is tuned.
data {
  int<lower=1> K;
  int<lower=2> C;
  int<lower=0> counts[K, C];
  vector<lower=0>[C] alpha[K, C];          // Dirichlet parameters of the rows of every matrix
  int<lower=0, upper=1> calibrated[K, C];  // the block in which a matrix holds; the identity elsewhere
  vector<lower=0>[C] prior;
}
transformed data {
  vector[C] inside[K];
  vector<lower=0>[C] filled[K, C];  // components outside the block are given 1 and divided out
  for (k in 1:K) {
    inside[k] = to_vector(calibrated[k]);
    for (i in 1:C) {
      filled[k, i] = calibrated[k, i] ? inside[k] .* alpha[k, i] + (1 - inside[k]) : rep_vector(1, C);
    }
  }
}
parameters {
  simplex[C] p;
  simplex[C] full[K, C];
}
model {
  p ~ dirichlet(prior);
  for (k in 1:K) {
    vector[C] q = p .* (1 - inside[k]);
    for (i in 1:C) {
      full[k, i] ~ dirichlet(filled[k, i]);
      if (calibrated[k, i]) {
        vector[C] share = full[k, i] .* inside[k];
        q += p[i] * share / sum(share);
      }
    }
    counts[k] ~ multinomial(q);
  }
}
