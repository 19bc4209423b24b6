#pragma once

#include <cstdio>
#include <string>

// How far a joint fit is, for people who wait for it.
namespace vacal::joint {

struct JointStatus {
  bool warm_up = true;
  int done = 0, expected = 0;       // transitions of a chain; expected: of the warm-up, at least, or by the last check
  int checks = 0;                   // times that the quality of the draws was measured; what follows is of the last one
  double rhat = 0;                  // worst of nation and strata
  double effective = 0, asked = 0;  // smallest bulk effective size of nation and strata (or twice that of the tails)
};

inline std::string with_commas(double x) {
  char digits[40];
  std::snprintf(digits, sizeof digits, "%.0f", x);
  std::string text(digits);
  for (int at = static_cast<int>(text.size()) - 3; at > 0; at -= 3) text.insert(at, ",");
  return text;
}

// Such as "500 of about 1,200 transitions, R-hat 1.012, effective size 410 of 1,000".
inline std::string words(const JointStatus& now) {
  const std::string done = with_commas(now.done), expected = with_commas(now.expected);
  if (now.warm_up) return "warm-up, " + done + " of " + expected + " transitions";
  if (now.checks == 0) return done + " of at least " + expected + " transitions";
  char rhat[40];
  std::snprintf(rhat, sizeof rhat, "%.3f", now.rhat);
  const std::string of = now.expected > now.done ? " of about " + expected : "";
  return done + of + " transitions, R-hat " + rhat + ", effective size " + with_commas(now.effective) + " of " +
         with_commas(now.asked);
}

}  // namespace vacal::joint
