#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

#include "joint_label_sum.hpp"
#include "joint_lanes.hpp"
#include "joint_model.hpp"
#include "joint_shared.hpp"
#include "layout.hpp"
#include "math.hpp"
#include "rng.hpp"

namespace vacal::joint {

// Log-density and gradient of the joint model: first the shared coordinates (SharedCoordinates), then C for every stratum
// (StrataLanes); the prior of the matrices is summed over the labels of the causes (LabelSum). Every function may be called
// at any point and in any order: nothing is kept but where Newton's method starts.
class JointPosterior {
 public:
  explicit JointPosterior(const JointProblem& problem)
      : JointPosterior(problem, std::make_shared<const Layout>(make_layout(problem.pooled))) {}

  int dimension() const { return shared_.size() + n_strata() * c_; }
  int dense() const { return shared_.size(); }
  int n_strata() const { return strata_.n_strata(); }
  int n_causes() const { return c_; }
  int n_algorithms() const { return k_; }

  double evaluate(const double* t, double* gradient) {
    shared_.place(t, at_);
    double value = at_.log_prior + labels_.evaluate(at_.log_rate, by_log_rate_);
    if (!(at_.point.phi < largest_phi)) return -std::numeric_limits<double>::infinity();
    if (!strata_.evaluate(at_.point, t + dense(), modes_, value, gradient + dense(), by_)) {
      modes_.forget();
      return -std::numeric_limits<double>::infinity();
    }
    shared_.pull_back(t, at_, by_, by_log_rate_, gradient);
    return value;
  }

  // phi, pi, M and the p_s at t, with the causes in the places that the labels say.
  JointPoint point(const double* t, const std::vector<int>& labels) {
    shared_.place(t, at_);
    const SharedPoint& shared = at_.point;
    JointPoint out;
    out.phi = shared.phi;
    out.kappa = shared.kappa;
    out.pi.resize(c_);
    out.m = shared.m;
    for (int i = 0; i < c_; ++i) {
      out.pi[labels[i]] = shared.b[i] / shared.phi;
      for (int k = 0; k < k_; ++k) {
        std::copy(&shared.m[(k * c_ + i) * c_], &shared.m[(k * c_ + i) * c_] + c_, &out.m[(k * c_ + labels[i]) * c_]);
      }
    }
    out.p = relabelled_strata(strata_.logs(shared, t + dense(), modes_), labels);
    for (int s = 0; s < n_strata(); ++s) to_shares(&out.p[s * c_]);
    return out;
  }

  // A point to start from: the shared coordinates by SharedCoordinates::start, every stratum at random given these.
  std::vector<double> start(Rng& rng) const {
    std::vector<double> t(padded(dimension()), 0.0);
    shared_.start(rng, t.data());
    for (int i = dense(); i < dimension(); ++i) t[i] = rng.normal();
    return t;
  }

  // A relabelling of the causes given all else at t: the cause that every slot stands for.
  std::vector<int> draw_labels(const double* t, Rng& rng) {
    shared_.place(t, at_);
    return labels_.draw(at_.log_rate, rng);
  }

  // The matrices and pi at t, on the scale of square roots: tells the images of a mode apart.
  std::vector<double> signature(const double* t) {
    shared_.place(t, at_);
    std::vector<double> out;
    for (double m : at_.point.m) out.push_back(std::sqrt(m));
    for (double b : at_.point.b) out.push_back(std::sqrt(b / at_.point.phi));
    return out;
  }

  // The relabelling at t that comes closest to a signature.
  std::vector<int> closest_labels(const double* t, const std::vector<double>& reference) {
    return labels_.closest(signature(t), reference);
  }

  // The coordinates with every slot moved to the place of the cause that it stands for.
  std::vector<double> relabelled(const double* t, const std::vector<int>& labels) {
    std::vector<double> out(t, t + dimension());
    out.resize(padded(dimension()), 0.0);
    shared_.place(t, at_);
    const std::vector<double> x = relabelled_strata(strata_.logs(at_.point, t + dense(), modes_), labels);
    shared_.relabel(at_, labels, out.data());
    modes_.relabel(labels);
    shared_.place(out.data(), at_);
    strata_.coordinates(at_.point, x, modes_, out.data() + dense());
    return out;
  }

 private:
  JointPosterior(const JointProblem& problem, const std::shared_ptr<const Layout>& layout)
      : JointPosterior(problem, layout, problem.scatter ? find_scatter(*layout) : std::vector<Scatter>()) {}

  JointPosterior(const JointProblem& problem, const std::shared_ptr<const Layout>& layout, const std::vector<Scatter>& scattered)
      : c_(layout->n_causes), k_(static_cast<int>(layout->counts.size())),
        shared_(layout, scattered, deaths_that_tell(problem, k_)), labels_(*layout), strata_(problem.counts, c_, scattered),
        at_(shared_.state()), by_(strata_.gradient()), by_log_rate_(layout->size(), 0.0), modes_(strata_.modes()) {}

  // The strata together pin what every algorithm should find at pi, sum_i pi_i M_ij: the better, the more deaths they have
  // and the more alike they are (here: as if phi were 20). In deaths of one algorithm; sets the scale of coordinates only.
  static double deaths_that_tell(const JointProblem& problem, int n_algorithms) {
    constexpr double guessed_phi = 20;  // about exp(mean_log_phi)
    const int c = problem.pooled.n_causes;
    double deaths = 0;
    for (const std::vector<double>& counts : problem.counts) {
      double n = 0;
      for (int k = 0; k < n_algorithms; ++k) {
        double own = 0;
        for (int j = k * c; j < (k + 1) * c; ++j) own += counts[j];
        n += own / n_algorithms;
      }
      deaths += n / (1 + n / guessed_phi);
    }
    return deaths;
  }

  std::vector<double> relabelled_strata(const std::vector<double>& x, const std::vector<int>& labels) const {
    std::vector<double> out(x.size());
    for (std::size_t at = 0; at < x.size(); at += c_) {
      for (int i = 0; i < c_; ++i) out[at + labels[i]] = x[at + i];
    }
    return out;
  }

  void to_shares(double* p) const {
    const double top = *std::max_element(p, p + c_);
    double sum = 0;
    for (int i = 0; i < c_; ++i) sum += p[i] = exp_of(p[i] - top);
    for (int i = 0; i < c_; ++i) p[i] /= sum;
  }

  int c_, k_;
  SharedCoordinates shared_;
  LabelSum labels_;
  StrataLanes strata_;
  SharedState at_;  // room for the point at hand, as the two below
  SharedGradient by_;
  std::vector<double> by_log_rate_;
  Modes modes_;
};

}  // namespace vacal::joint
