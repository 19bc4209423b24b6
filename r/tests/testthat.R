library(testthat)
library(vacal)

test_check("vacal")
