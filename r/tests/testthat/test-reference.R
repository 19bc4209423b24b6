# Figures of the published package, version 2.2, on public counts: posterior means agree within Monte-Carlo error and
# what a step of lambda moves (0.015), interval ends within 0.02. Needs the published inventory, which is not ours to
# carry: a folder with CCVA_missmat.rda and reference.json, named by VACAL_REFERENCE_DATA.
folder <- Sys.getenv("VACAL_REFERENCE_DATA")

reference_case <- function(case, inventory) {
  algorithms <- names(case$deaths_uncalibrated)
  causes <- names(case$deaths_uncalibrated[[1]])
  counts <- array(0, c(1, length(algorithms), length(causes)), list("all", algorithms, causes))
  for (a in algorithms) counts[1, a, ] <- unlist(case$deaths_uncalibrated[[a]])[causes]
  request <- case$request
  calibrate_batch(
    counts, select_matrices(inventory, request$age_group, request$country, request$missmat_type),
    request$missmat_type,
    study_causes = unlist(request$study_cause_map),
    do_not_calibrate = sapply(algorithms, function(a) request$do_not_calibrate, simplify = FALSE)
  )
}

test_that("five published cases are met: fractions, intervals, lambda, causes left out, deaths", {
  skip_if(folder == "", "VACAL_REFERENCE_DATA does not name a folder with the published inventory")
  skip_if_not_installed("jsonlite")
  e <- new.env()
  load(file.path(folder, "CCVA_missmat.rda"), e)
  cases <- jsonlite::fromJSON(file.path(folder, "reference.json"))
  expect_length(cases, 5)
  for (name in names(cases)) {
    case <- cases[[name]]
    r <- reference_case(case, e$CCVA_missmat)
    causes <- names(case$deaths_uncalibrated[[1]])
    for (a in names(case$calibrated)) {
      rows <- r$estimates$algorithm == a
      published <- lapply(case$calibrated[[a]], function(x) unlist(x)[causes])
      expect_lt(max(abs(r$estimates$mean[rows] - published$mean)), 0.015, label = paste(name, a))
      calibrated <- r$estimates$status[rows] == "calibrated"
      expect_identical(causes[!calibrated], intersect(causes, case$not_calibrated[[a]]), label = paste(name, a))
      off <- abs(r$quantiles[rows, ] - cbind(published$lower95, published$upper95))
      expect_lt(max(off[calibrated, ]), 0.02, label = paste(name, a))
      if (a == "ensemble") next
      expect_lt(abs(r$fits$lambda[r$fits$algorithm == a] - case$lambda[[a]]), 0.025, label = paste(name, a))
      n <- sum(counts <- unlist(case$deaths_uncalibrated[[a]]))
      expect_lt(max(abs(r$estimates$calibrated_deaths[rows] - unlist(case$deaths_calibrated[[a]])[causes])), 0.015 * n + 1)
      together <- case$deaths_calibrated_ensemble[[a]]
      if (is.null(together)) next
      expect_lt(max(abs(r$estimates$ensemble_deaths[rows] - unlist(together)[causes])), 0.015 * n + 1)
    }
  }
})
