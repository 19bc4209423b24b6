#pragma once

#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

// A small test runner: every TEST adds itself to the list that main() runs; a check that fails names what it saw.
namespace checks {

struct Test {
  std::string behaviour;
  void (*run)();
};

inline std::vector<Test>& all() {
  static std::vector<Test> tests;
  return tests;
}

inline int& failures() {
  static int count = 0;
  return count;
}

struct Registered {
  Registered(const char* behaviour, void (*run)()) { all().push_back({behaviour, run}); }
};

inline void expect(bool holds, const std::string& what) {
  if (holds) return;
  ++failures();
  std::printf("  FAILED: %s\n", what.c_str());
}

inline void expect_near(double found, double wanted, double tolerance, const std::string& what) {
  char text[120];
  std::snprintf(text, sizeof text, ": found %.12g, wanted %.12g (within %.3g)", found, wanted, tolerance);
  expect(std::fabs(found - wanted) <= tolerance, what + text);
}

// What an error of this type says, or "" where none is thrown.
template <class Error, class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

inline int run_all() {
  int failed = 0;
  for (const Test& test : all()) {
    const int before = failures();
    test.run();
    const bool fine = failures() == before;
    failed += !fine;
    std::printf("%-6s %s\n", fine ? "ok" : "FAILED", test.behaviour.c_str());
  }
  std::printf("%zu tests, %d failed\n", all().size(), failed);
  return failed > 0;
}

}  // namespace checks

#define CHECKS_JOIN_(a, b) a##b
#define CHECKS_JOIN(a, b) CHECKS_JOIN_(a, b)
#define TEST(behaviour)                                                                                        \
  static void CHECKS_JOIN(test_, __LINE__)();                                                                  \
  static const checks::Registered CHECKS_JOIN(registered_, __LINE__)(behaviour, CHECKS_JOIN(test_, __LINE__)); \
  static void CHECKS_JOIN(test_, __LINE__)()
