#include "checks.hpp"

int main() { return checks::run_all(); }
