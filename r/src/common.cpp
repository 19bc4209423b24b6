#include <cpp11.hpp>

#include <string>
#include <vector>

#include "core/common_sampler.hpp"
#include "core/summarise.hpp"

// Common matrix draws, for studies and tests.

namespace {

using namespace cpp11::literals;
namespace writable = cpp11::writable;

writable::doubles to_r(const std::vector<double>& x) { return writable::doubles(x.begin(), x.end()); }

vacal::Key read_key(const cpp11::list& key) {
  return {static_cast<std::uint64_t>(cpp11::as_cpp<double>(key["seed"])),
          vacal::hash_text(cpp11::as_cpp<std::string>(key["stratum"])),
          vacal::hash_text(cpp11::as_cpp<std::string>(key["fit"]))};
}

}  // namespace

// matrices: draws x algorithms x causes x VA causes, row-major, as is centres: strata x draws x causes; counts: strata x
// algorithms x causes, row-major. Several strata, each with the key of its name.
cpp11::writable::list sample_common_(cpp11::doubles matrices, cpp11::doubles counts, cpp11::doubles centres,
                                     cpp11::strings strata, cpp11::list shape, cpp11::list key) {
  const int draws = cpp11::as_cpp<int>(shape["draws"]), k = cpp11::as_cpp<int>(shape["algorithms"]);
  const int n = cpp11::as_cpp<int>(shape["causes"]);
  const cpp11::doubles inner(shape["inner"]);
  const vacal::common::InnerWork work{static_cast<int>(inner[0]), static_cast<int>(inner[1]), static_cast<int>(inner[2]), inner[3], inner[4]};
  const std::vector<double> m(matrices.begin(), matrices.end());
  const vacal::common::MatrixDraws common(m.data(), draws, k, n);
  vacal::Key own = read_key(key);
  writable::doubles p, correlation, acceptance;
  writable::integers impossible;
  p.reserve(strata.size() * draws * n);
  for (R_xlen_t s = 0; s < strata.size(); ++s) {
    cpp11::check_user_interrupt();
    own.stratum = vacal::hash_text(std::string(strata[s]));
    const std::vector<double> a(counts.begin() + s * k * n, counts.begin() + (s + 1) * k * n);
    const std::vector<double> prior(centres.begin() + s * draws * n, centres.begin() + (s + 1) * draws * n);
    const vacal::common::CommonFit fit = vacal::common::sample_common(common, a, prior, work, own);
    for (const double x : fit.p) p.push_back(x);
    correlation.push_back(fit.correlation);
    acceptance.push_back(fit.acceptance);
    impossible.push_back(fit.impossible);
  }
  return {"p"_nm = p, "correlation"_nm = correlation, "acceptance"_nm = acceptance, "impossible"_nm = impossible};
}
