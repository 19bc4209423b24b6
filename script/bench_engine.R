# Processor seconds (those of a quiet machine) for 4,000 effective draws (bulk) of every result of a stratum: counts of
# the public COMSA-Mozambique data
# (three algorithms, path correction on), the same fractions at 100,000 deaths, and the same posteriors in Stan.
# Effective sizes are of the draws as they are stored, by the R package posterior. Called by script/bench engine.

arguments <- commandArgs(trailingOnly = TRUE)
library(vacal, lib.loc = c(.libPaths(), file.path(getwd(), ".venv", "r-library")))
source("script/stan.R")

counts_of <- function(causes, ...) {
  x <- rbind(...)
  array(x, c(1, dim(x)), list("all", rownames(x), causes))
}
neonate <- counts_of(
  c("congenital_malformation", "pneumonia", "sepsis_meningitis_inf", "ipre", "other", "prematurity"),
  eava = c(44, 168, 267, 268, 29, 164), insilicova = c(1, 148, 363, 327, 62, 289), interva = c(42, 82, 267, 288, 16, 495)
)
child <- counts_of(
  c("malaria", "pneumonia", "diarrhea", "severe_malnutrition", "hiv", "injury", "other", "other_infections", "nn_causes"),
  eava = c(109, 615, 487, 87, 68, 103, 0, 840, 48), insilicova = c(446, 386, 724, 115, 79, 95, 185, 628, 140),
  interva = c(371, 245, 854, 80, 181, 84, 195, 755, 33)
)

scaled_to <- function(counts, deaths) {
  for (k in seq_len(dim(counts)[2])) counts[1, k, ] <- round(deaths * counts[1, k, ] / sum(counts[1, k, ]))
  counts
}

cases <- list(
  list(case = "single", age_group = "neonate", counts = neonate[, "eava", , drop = FALSE]),
  list(case = "neonate_stratum", age_group = "neonate", counts = neonate),
  list(case = "child_stratum", age_group = "child", counts = child),
  list(case = "neonate_stratum_100k", age_group = "neonate", counts = scaled_to(neonate, 1e5)),
  list(case = "child_stratum_100k", age_group = "child", counts = scaled_to(child, 1e5))
)

# The published inventory where it is at hand, else made-up matrices of the same size and certainty.
inventory_file <- function() {
  named <- Sys.getenv("VACAL_INVENTORY", file.path("..", "shared", "data", "CCVA_missmat.rda"))
  if (file.exists(named)) named else NULL
}

matrices_for <- function(age_group, causes, algorithms, file) {
  if (!is.null(file)) {
    e <- new.env()
    load(file, e)
    return(lapply(e$CCVA_missmat[[age_group]][algorithms], function(x) x$asDirich$Mozambique))
  }
  n <- length(causes)
  sapply(algorithms, function(a) {
    set.seed(match(a, c("eava", "insilicova", "interva")))
    rest <- matrix(rgamma(n * n, 1), n, byrow = TRUE)
    m <- 40 * (0.45 * diag(n) + 0.55 * rest / rowSums(rest))
    dimnames(m) <- list(causes, causes)
    m
  }, simplify = FALSE)
}

peak_megabytes <- function() {
  status <- grep("^VmHWM", readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", status)) / 1024
}

worst_ess <- function(draws, causes, f) {
  min(apply(draws[, causes, drop = FALSE], 2, function(x) f(matrix(x, ncol = 4))))
}

time_engine <- function(case, matrices) {
  causes <- dimnames(case$counts)[[3]]
  seconds <- system.time(r <- calibrate_batch(
    case$counts, matrices, "prior", do_not_calibrate = sapply(names(matrices), function(a) "other", simplify = FALSE),
    ensemble = dim(case$counts)[2] > 1, keep_draws = TRUE
  ))
  fits <- r$fits
  ess <- function(f) {
    sapply(seq_len(nrow(fits)), function(i) {
      free <- r$estimates$status[r$estimates$algorithm == fits$algorithm[i]] == "calibrated"
      worst_ess(r$draws[i, , ], free, f)
    })
  }
  list(result = r, elapsed = seconds[["elapsed"]], seconds = sum(seconds[c("user.self", "sys.self")]),
       bulk = ess(posterior::ess_bulk), tail = ess(posterior::ess_tail))
}

# The problems behind a result: what the samplers saw of counts and matrices.
problems_of <- function(case, matrices, r) {
  algorithms <- names(matrices)
  counts <- matrix(case$counts[1, , ], length(algorithms), dimnames = dimnames(case$counts)[2:3])
  inside <- r$calibrated_causes[algorithms, , drop = FALSE]
  prepared <- sapply(algorithms, function(a) {
    n <- ncol(counts)
    m <- .Call(vacal:::C_prepare_, as.double(matrices[[a]][colnames(counts), colnames(counts)]), as.double(counts[a, ]),
               !inside[a, ], FALSE, TRUE)$matrix
    matrix(m, n)
  }, simplify = FALSE)
  one <- function(chosen, causes) {
    list(
      counts = counts[chosen, causes, drop = FALSE], matrices = lapply(prepared[chosen], function(m) m[causes, causes]),
      calibrated = inside[chosen, causes, drop = FALSE], prior = rep(1, sum(causes))
    )
  }
  singles <- lapply(algorithms, function(a) one(a, inside[a, ]))
  if (length(algorithms) == 1) singles else c(singles, list(one(algorithms, colSums(inside) > 0)))
}

# Seconds that Stan would need for 4,000 effective draws of every result, warm-up included, compilation not.
time_stan <- function(program, problems) {
  sum(sapply(problems, function(x) {
    fit <- run_stan(program, x, iterations = 1000)
    ess <- min(apply(fit$p, 3, posterior::ess_bulk))
    fit$seconds * 4000 / ess
  }))
}

measure <- function(case, program, file) {
  matrices <- matrices_for(case$age_group, dimnames(case$counts)[[3]], dimnames(case$counts)[[2]], file)
  invisible(time_engine(case, matrices)) # the first call also loads code
  e <- time_engine(case, matrices)
  per_4000 <- e$seconds * 4000 / min(e$bulk)
  stan <- if (is.null(program) || grepl("100k", case$case)) NA else time_stan(program, problems_of(case, matrices, e$result))
  list(
    case = case$case, seconds_per_4000_ess = per_4000, seconds = e$seconds, elapsed_seconds = e$elapsed, ess_bulk = e$bulk,
    ess_tail = e$tail, ess_bulk_of_run = e$result$fits$ess_bulk, rhat = e$result$fits$rhat,
    sampler = e$result$fits$sampler, algorithm = e$result$fits$algorithm, converged = e$result$fits$converged,
    evaluations = e$result$fits$evaluations, peak_megabytes = peak_megabytes(), stan_seconds_per_4000_ess = stan,
    ratio_to_stan = stan / per_4000
  )
}

file <- inventory_file()
source_text <- if (is.null(file)) "made-up matrices" else "published inventory (Mozambique)"
cat("matrices: ", source_text, "; one thread; 4,000 draws asked for and stored\n", sep = "")
cat(sprintf("%-22s %12s %9s %9s %9s %9s %8s %12s %9s\n", "case", "s/4000 ESS", "s", "elapsed", "ESS bulk", "ESS tail", "peak MB",
            "Stan s/4000", "ratio"))
program <- if ("--no-stan" %in% arguments) NULL else compile_stan(getwd())
rows <- lapply(cases, function(case) {
  r <- measure(case, program, file)
  cat(sprintf("%-22s %12.3f %9.3f %9.3f %9.0f %9.0f %8.0f %12.1f %9.0f\n", r$case, r$seconds_per_4000_ess, r$seconds,
              r$elapsed_seconds, min(r$ess_bulk), min(r$ess_tail), r$peak_megabytes, r$stan_seconds_per_4000_ess,
              r$ratio_to_stan))
  r
})
at <- match("--json", arguments)
if (!is.na(at)) {
  result <- list(matrices = source_text, rows = rows)
  writeLines(jsonlite::toJSON(result, auto_unbox = TRUE, digits = 6, pretty = TRUE, na = "null"), arguments[at + 1])
}
