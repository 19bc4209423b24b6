# Writes a made-up inventory with the nesting of the published one: Rscript make_inventory.R FILE OBJECT
# Cell (i, j) of age group a, algorithm k, country c is 10 [i = j] + i + 2 j + 3 k + 4 c (all counted from 1).
arguments <- commandArgs(trailingOnly = TRUE)
causes <- list(
  neonate = c("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity"),
  child = c("malaria", "pneumonia", "diarrhea", "severe_malnutrition", "hiv", "injury", "other",
            "other_infections", "nn_causes")
)
countries <- c("Mozambique", "Sierra Leone", "other")

alphas <- function(names, k, c) {
  n <- length(names)
  m <- outer(seq_len(n), seq_len(n), function(i, j) 10 * (i == j) + i + 2 * j) + 3 * k + 4 * c
  dimnames(m) <- list(names, names)
  m
}

of_algorithm <- function(names, k) {
  by_country <- lapply(seq_along(countries), function(c) alphas(names, k, c))
  names(by_country) <- countries
  summary <- lapply(by_country, function(m) {
    array(m, c(1, dim(m)), dimnames = list(`1` = "mean", ` ` = rownames(m), ` ` = colnames(m)))
  })
  samples <- lapply(by_country, function(m) {
    aperm(array(c(m / rowSums(m), diag(nrow(m))), c(dim(m), 2), dimnames = c(dimnames(m), list(NULL))), c(3, 1, 2))
  })
  list(postsumm = summary, postmean = lapply(by_country, function(m) m / rowSums(m)), asDirich = by_country,
       postsamples = samples)
}

inventory <- lapply(causes, function(names) {
  list(eava = of_algorithm(names, 1), insilicova = of_algorithm(names, 2))
})
inventory$version <- "20990101"
assign(arguments[2], inventory)
save(list = arguments[2], file = arguments[1])
