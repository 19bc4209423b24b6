# Checks at the edge. Each returns the problems it found, as sentences that name the argument, where and the value.

at_most <- function(problems, n = 20) {
  if (length(problems) <= n) return(problems)
  c(problems[seq_len(n)], sprintf("... and %d more", length(problems) - n))
}

check_number <- function(x, name, lower, upper = Inf, whole = FALSE) {
  ok <- is.numeric(x) && length(x) == 1 && is.finite(x) && x >= lower && x <= upper && (!whole || x == round(x))
  if (ok) return(character())
  kind <- if (whole) "one whole number" else "one number"
  range <- if (is.finite(upper)) paste("from", format(lower), "to", format(upper, digits = 16)) else paste("of at least", lower)
  sprintf("%s must be %s %s, not %s", name, kind, range, deparse1(x))
}

check_flag <- function(x, name) {
  if (is.logical(x) && length(x) == 1 && !is.na(x)) return(character())
  sprintf("%s must be TRUE or FALSE, not %s", name, deparse1(x))
}

check_choice <- function(x, name, choices) {
  if (is.character(x) && length(x) == 1 && x %in% choices) return(character())
  sprintf("%s must be one of %s, not %s", name, quoted(choices), deparse1(x))
}

check_names <- function(x, name, what) {
  if (is.null(x) || anyNA(x) || any(trimws(x) == "")) return(sprintf("%s: every %s needs a name", name, what))
  twice <- unique(x[duplicated(canonical(x))])
  if (length(twice) > 0) sprintf("%s: %s %s occurs more than once", name, what, quoted(twice)) else character()
}

check_n_causes <- function(n, where) {
  most <- constants()$most_causes
  if (n > most) sprintf("%s: at most %d causes can be calibrated, not %d: merge some", where, most, n)
}

check_counts <- function(counts) {
  if (!is.numeric(counts) || length(dim(counts)) != 3 || length(counts) == 0 || length(dimnames(counts)) != 3) {
    return("counts must be a numeric array strata x algorithms x causes with dimnames, not empty")
  }
  labels <- dimnames(counts)
  problems <- c(
    if (is.null(labels[[1]]) || anyNA(labels[[1]]) || anyDuplicated(labels[[1]])) {
      "counts: every stratum needs a name of its own"
    },
    check_names(labels[[2]], "counts", "algorithm"), check_names(labels[[3]], "counts", "cause"),
    if ("ensemble" %in% canonical(labels[[2]])) "counts: an algorithm cannot be called 'ensemble'",
    check_n_causes(length(labels[[3]]), "counts")
  )
  if (length(problems) > 0) return(problems)
  off <- which(!is.finite(counts) | counts < 0 | counts != round(counts) | counts > 2^31 - 1, arr.ind = TRUE)
  at_most(sprintf(
    "counts: stratum '%s', algorithm '%s', cause '%s': %s is not a non-negative whole number",
    labels[[1]][off[, 1]], labels[[2]][off[, 2]], labels[[3]][off[, 3]], vapply(counts[off], format, "")
  ))
}

# matrix: causes x causes, or samples x causes x causes with type "samples".
check_matrix <- function(matrix, algorithm, type) {
  where <- sprintf("matrices: algorithm '%s'", algorithm)
  n_dim <- if (type == "samples") 3 else 2
  d <- dim(matrix)
  if (!is.numeric(matrix) || length(d) != n_dim || d[n_dim] != d[n_dim - 1] || d[n_dim] < 2 || length(matrix) == 0) {
    shape <- if (type == "samples") "samples x causes x causes" else "causes x causes"
    return(sprintf("%s: must be a numeric array %s with at least two causes", where, shape))
  }
  labels <- utils::tail(dimnames(matrix), 2)
  if (length(labels) != 2 || is.null(labels[[1]]) || !identical(labels[[1]], labels[[2]])) {
    return(sprintf("%s: rows and columns must have the same cause names in the same order", where))
  }
  problems <- c(check_names(labels[[1]], where, "cause"), check_n_causes(length(labels[[1]]), where))
  if (any(!is.finite(matrix) | matrix < 0)) {
    return(c(problems, sprintf("%s: values must be finite and not negative", where)))
  }
  c(problems, check_rows(matrix, where, type, labels[[1]]))
}

check_rows <- function(matrix, where, type, causes) {
  if (type == "prior") {
    return(sprintf(
      "%s: cause '%s': the Dirichlet alpha of the diagonal must be above 0", where, causes[diag(matrix) <= 0]
    ))
  }
  margin <- if (type == "samples") 1:2 else 1
  sums <- apply(matrix, margin, sum)
  off <- abs(sums - 1) > 1e-6
  by_cause <- if (type == "samples") apply(off, 2, any) else off
  problems <- sprintf("%s: rates in row '%s' must sum to 1", where, causes[by_cause])
  if (type == "samples") {
    zero <- vapply(seq_along(causes), function(i) all(matrix[, i, i] == 0), NA)
    problems <- c(problems, sprintf("%s: row '%s' has 0 on the diagonal in every sample", where, causes[zero]))
  }
  problems
}

check_matrices <- function(matrices, algorithms, type) {
  if (!is.list(matrices) || is.null(names(matrices))) return("matrices must be a list named by algorithm")
  lacking <- setdiff(algorithms, names(matrices))
  if (length(lacking) > 0) return(sprintf("matrices: none for algorithm %s", quoted(lacking)))
  problems <- unlist(lapply(algorithms, function(a) check_matrix(matrices[[a]], a, type)))
  if (length(problems) > 0) return(problems)
  causes <- lapply(matrices[algorithms], function(m) sort(canonical(utils::tail(dimnames(m), 1)[[1]])))
  other <- algorithms[!vapply(causes, identical, NA, causes[[1]])]
  if (length(other) == 0) return(character())
  sprintf("matrices: algorithm %s has other causes than '%s'", quoted(other), algorithms[1])
}

# Every counted cause must be in the matrix, or map to a cause that is.
check_causes <- function(causes, broad, study_causes) {
  if (is.null(study_causes)) {
    unknown <- causes[!canonical(causes) %in% canonical(broad)]
    lacking <- broad[!canonical(broad) %in% canonical(causes)]
    return(c(
      if (length(unknown) > 0) {
        sprintf("counts: cause %s is not in the matrices; they have %s", quoted(unknown), quoted(broad))
      },
      if (length(lacking) > 0) {
        sprintf("counts: cause %s of the matrices is missing; give 0 deaths where there are none", quoted(lacking))
      }
    ))
  }
  if (!is.character(study_causes) || is.null(names(study_causes))) {
    return("study_causes must be a character vector of broad causes named by study cause")
  }
  unmapped <- causes[!canonical(causes) %in% canonical(names(study_causes))]
  wrong <- unique(study_causes[!canonical(study_causes) %in% canonical(broad)])
  c(
    check_names(names(study_causes), "study_causes", "study cause"),
    if (length(unmapped) > 0) sprintf("study_causes: study cause %s has no broad cause", quoted(unmapped)),
    if (length(wrong) > 0) sprintf("study_causes: %s is no cause of the matrices; they have %s", quoted(wrong), quoted(broad))
  )
}

check_do_not_calibrate <- function(do_not_calibrate, algorithms, known) {
  if (!is.list(do_not_calibrate) || is.null(names(do_not_calibrate))) {
    return("do_not_calibrate must be a list of cause names, named by algorithm")
  }
  lacking <- setdiff(algorithms, names(do_not_calibrate))
  strangers <- setdiff(names(do_not_calibrate), algorithms)
  named <- unlist(do_not_calibrate, use.names = FALSE)
  if (!is.null(named) && !is.character(named)) return("do_not_calibrate: causes must be given by name")
  unknown <- unique(named[!canonical(named) %in% c(canonical(known), "other")])
  c(
    if (length(lacking) > 0) sprintf("do_not_calibrate: nothing said for algorithm %s", quoted(lacking)),
    if (length(strangers) > 0) sprintf("do_not_calibrate: %s is no algorithm of counts", quoted(strangers)),
    if (length(unknown) > 0) sprintf("do_not_calibrate: %s is no known cause", quoted(unknown))
  )
}

# What decides how long a call takes and what it tells meanwhile, but no result.
check_running <- function(threads, progress) {
  c(
    check_number(threads, "threads", 1, 1024, whole = TRUE),
    if (!is.null(progress) && !is.function(progress)) "progress must be a function or NULL"
  )
}
