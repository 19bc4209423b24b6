#include <cpp11.hpp>

#include "core/joint.hpp"
#include "core/stratum.hpp"

// What R, and callers of R, must not write down a second time.
cpp11::writable::list constants_() {
  using namespace cpp11::literals;
  return {"most_causes"_nm = vacal::most_causes,
          "noop_below"_nm = vacal::noop_below,
          "interval"_nm = cpp11::writable::doubles({vacal::interval_low, vacal::interval_high}),
          "with_result"_nm = cpp11::writable::strings({vacal::calibrated_status, vacal::not_calibrated_status}),
          "misfit_below"_nm = vacal::joint::misfit_below,
          "misfit_residual"_nm = vacal::joint::misfit_residual,
          "joint_size"_nm = vacal::joint::most_in_joint,
          "joint_chains"_nm = vacal::joint::n_chains,
          "joint_budget"_nm = static_cast<double>(vacal::joint::default_budget),
          "rhat_nation"_nm = vacal::joint::rhat_nation,
          "rhat_published"_nm = vacal::joint::rhat_published};
}
