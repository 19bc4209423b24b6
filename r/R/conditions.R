# Bad input: one condition that holds every problem found.
abort_input <- function(problems, call = sys.call(-1)) {
  stop(structure(
    class = c("vacal_input_error", "error", "condition"),
    list(message = paste(problems, collapse = "\n"), call = call, problems = problems)
  ))
}

# The published engine is missing, of another version, or failed.
abort_engine <- function(message, call = sys.call(-1)) {
  stop(structure(class = c("vacal_engine_error", "error", "condition"), list(message = message, call = call)))
}

quoted <- function(x) paste0("'", x, "'", collapse = ", ")

# Names are compared without regard to case and outer white space.
canonical <- function(x) tolower(trimws(x))
