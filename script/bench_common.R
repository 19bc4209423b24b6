# Processor seconds of a child stratum (public COMSA-Mozambique counts, three algorithms and ensemble) by common matrix draws,
# and by separate fits of as many effective draws, in turn in one run; matrices drawn before, as all strata share them.
#   R_LIBS=.venv/r-library Rscript script/bench_common.R [--draws 1000] [--rounds 5] [--deaths 0]     deaths: fractions at
#   that size; path: correction of separate fits

source("script/joint_study.R")
settings <- read_options(list(draws = 1000, rounds = 5, deaths = 0, path = 1))
causes <- c("malaria", "pneumonia", "diarrhea", "severe_malnutrition", "hiv", "injury", "other", "other_infections", "nn_causes")
rows <- rbind(
  eava = c(109, 615, 487, 87, 68, 103, 0, 840, 48), insilicova = c(446, 386, 724, 115, 79, 95, 185, 628, 140),
  interva = c(371, 245, 854, 80, 181, 84, 195, 755, 33)
)
if (settings$deaths > 0) rows <- round(settings$deaths * rows / rowSums(rows))
file <- Sys.getenv("VACAL_INVENTORY", file.path("..", "shared", "data", "CCVA_missmat.rda"))
matrices <- if (file.exists(file)) {
  e <- new.env()
  load(file, e)
  lapply(e$CCVA_missmat$child[rownames(rows)], function(x) x$asDirich$Mozambique[causes, causes])
} else {
  setNames(lapply(1:3, illustrative_alpha, causes), rownames(rows))
}
counts <- array(rows, c(1, dim(rows)), list("all", rownames(rows), causes))
seconds <- function(code) sum(system.time(code)[c("user.self", "sys.self")])
separate <- function() {
  calibrate_batch(counts, matrices, "prior", do_not_calibrate = lapply(matrices, function(m) "other"),
                  path_correction = settings$path == 1, shrinkage = 0,
                  draws = settings$draws, effective_draws = settings$draws)
}
inside <- separate()$calibrated_causes
block <- function(k) {
  at <- if (length(k) > 1) colSums(inside) > 0 else inside[k, ]
  used <- lapply(matrices[k], function(m) m[at, at])
  m <- vacal:::draw_matrices(used, settings$draws, calibrated = inside[k, at, drop = FALSE])
  list(counts = counts[, k, at, drop = FALSE], m = m)
}
blocks <- lapply(list(1, 2, 3, 1:3), block)
centres <- lapply(blocks, function(b) {
  n <- dim(b$counts)[3]
  n * (0.999 * vacal:::sample_common(b$m, b$counts, rep(1, n), seed = 2)$p[1, , ] + 0.001 / n)
})
common <- function() Map(function(b, prior) vacal:::sample_common(b$m, b$counts, prior), blocks, centres)
times <- t(replicate(settings$rounds, c(separate = seconds(separate()), common = seconds(fits <<- common()))))
print(times)
cat(sprintf("median: separate %.3f s, common %.3f s, ratio %.2f; correlation of the inner chains %s\n", median(times[, 1]),
            median(times[, 2]), median(times[, 2]) / median(times[, 1]),
            paste(sprintf("%.2f", vapply(fits, `[[`, 0, "correlation")), collapse = " ")))
