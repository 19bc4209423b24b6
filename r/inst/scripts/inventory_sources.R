# Prints where R looks for packages: the repositories it is set up for, then the libraries of installed packages.
# One a line: the word "repository" or "library", a tab, the address or folder.
repos <- getOption("repos")
repos <- unname(repos)[nzchar(repos)]
if (length(repos) == 0) repos <- "@CRAN@"
repos[repos == "@CRAN@"] <- utils::getCRANmirrors(local.only = TRUE)$URL[1]
cat(paste0("repository\t", unique(sub("/+$", "", repos)), "\n"), sep = "")
cat(paste0("library\t", .libPaths(), "\n"), sep = "")
