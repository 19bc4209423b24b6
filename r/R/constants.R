# Limits and thresholds of the C++ core, which R uses and does not repeat.
constants <- function() .Call(C_constants_)
