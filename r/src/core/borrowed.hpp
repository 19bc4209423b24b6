#pragma once

#include "stratum.hpp"

namespace vacal::detail {

// An estimate that was summarised with the country's counts, of a stratum without deaths whose own estimate is `own`.
inline void mark_borrowed(Estimate& filled, const Estimate& own) {
  filled.reason = "no_deaths_borrowed_from_other_strata";
  filled.counts = own.counts;
  filled.raw = own.raw;
  filled.deaths = 0;
  filled.noop = Flag::missing;
}

}  // namespace vacal::detail
