#include <R_ext/Rdynload.h>
#include <R_ext/Visibility.h>
#include <cpp11.hpp>
#include <cpp11/declarations.hpp>

#include <string>

// The routines that R code calls by .Call, each wrapped so that C++ exceptions become R errors.

cpp11::writable::list constants_();
cpp11::writable::list calibrate_batch_(cpp11::list batch, cpp11::list settings, int threads, SEXP progress);
cpp11::writable::list calibrate_joint_(cpp11::list data, cpp11::list settings, int threads, SEXP progress);
cpp11::writable::list sample_joint_(cpp11::list problem, cpp11::list work);
cpp11::writable::list joint_density_(cpp11::list problem, cpp11::doubles t);
cpp11::writable::list prepare_(cpp11::doubles matrix, cpp11::doubles counts, cpp11::logicals left, bool fixed,
                               bool path_correction);
cpp11::writable::doubles fit_row_(cpp11::doubles samples, int n_causes);
double expected_log_rate_(double a, double b, double shift, double scale, int n_causes);
cpp11::writable::doubles expand_study_causes_(cpp11::doubles matrix, cpp11::integers broad, bool fixed);
cpp11::writable::doubles round_to_total_(cpp11::doubles weights, double total);
cpp11::writable::logicals disagreements_(cpp11::doubles low, cpp11::doubles high, cpp11::doubles ensemble, int n_causes);
cpp11::writable::list sample_problem_(cpp11::list problem, cpp11::list work, std::string stratum, std::string fit,
                                      std::string method);
cpp11::writable::doubles diagnose_(cpp11::doubles chains, int n_chains);
cpp11::writable::doubles draw_matrices_(cpp11::list problem, cpp11::strings algorithms, int draws, cpp11::list key);
cpp11::writable::list sample_country_(cpp11::list problem, cpp11::strings algorithms, cpp11::list work, cpp11::list key);
cpp11::writable::list common_models_(cpp11::list data);
cpp11::writable::doubles common_centre_(cpp11::doubles p0, cpp11::list p, cpp11::list r, int causes, double mix);
cpp11::writable::list calibrate_common_(cpp11::list data, cpp11::list settings, cpp11::list fits, int threads, SEXP progress);
cpp11::writable::list sample_common_(cpp11::doubles matrices, cpp11::doubles counts, cpp11::doubles centres,
                                     cpp11::strings strata, cpp11::list shape, cpp11::list key);

namespace {

template <typename>
using AnySexp = SEXP;

template <auto Function>
struct Routine;

template <typename Result, typename... Arguments, Result (*Function)(Arguments...)>
struct Routine<Function> {
  static SEXP call(AnySexp<Arguments>... arguments) {
    BEGIN_CPP11
    return cpp11::as_sexp(Function(cpp11::as_cpp<cpp11::decay_t<Arguments>>(arguments)...));
    END_CPP11
  }
  static R_CallMethodDef entry(const char* name) {
    return {name, reinterpret_cast<DL_FUNC>(reinterpret_cast<void (*)()>(&call)), static_cast<int>(sizeof...(Arguments))};
  }
};

const R_CallMethodDef routines[] = {Routine<constants_>::entry("constants_"),
                                    Routine<calibrate_batch_>::entry("calibrate_batch_"),
                                    Routine<calibrate_joint_>::entry("calibrate_joint_"),
                                    Routine<sample_joint_>::entry("sample_joint_"),
                                    Routine<joint_density_>::entry("joint_density_"),
                                    Routine<prepare_>::entry("prepare_"),
                                    Routine<fit_row_>::entry("fit_row_"),
                                    Routine<expected_log_rate_>::entry("expected_log_rate_"),
                                    Routine<expand_study_causes_>::entry("expand_study_causes_"),
                                    Routine<round_to_total_>::entry("round_to_total_"),
                                    Routine<disagreements_>::entry("disagreements_"),
                                    Routine<sample_problem_>::entry("sample_problem_"),
                                    Routine<diagnose_>::entry("diagnose_"),
                                    Routine<common_models_>::entry("common_models_"),
                                    Routine<common_centre_>::entry("common_centre_"),
                                    Routine<calibrate_common_>::entry("calibrate_common_"),
                                    Routine<sample_common_>::entry("sample_common_"),
                                    Routine<draw_matrices_>::entry("draw_matrices_"),
                                    Routine<sample_country_>::entry("sample_country_"),
                                    {nullptr, nullptr, 0}};

}  // namespace

extern "C" attribute_visible void R_init_vacal(DllInfo* dll) {
  R_registerRoutines(dll, nullptr, routines, nullptr, nullptr);
  R_useDynamicSymbols(dll, FALSE);
  R_forceSymbols(dll, TRUE);
}
