#include "runtime/privacy/statement.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/error.h"

namespace sutura {
namespace {

std::string short_number(double v) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", v);
  return buffer;
}

std::string pair_distance(Relation relation) {
  switch (relation) {
    case Relation::kReplaceOne: return "2B";
    case Relation::kReplaceOneNonnegative: return "sqrt(2)B";
    case Relation::kZeroOut: return "B";
  }
  return "?";
}

std::string mechanism(const RowPlan& plan) {
  return "unit record, relation " + std::string(name(plan.relation)) + " (pair distance " + pair_distance(plan.relation) +
         "), B=" + std::to_string(plan.settings.bound) + ", sigma_int=" + std::to_string(kNoiseSigma);
}

std::string noise(double epsilon, std::int64_t row_elements, std::uint64_t releases) {
  const double log2 = std::ceil(implementation_delta_log2(epsilon, row_elements, releases));
  // The bound grows with e^epsilon: from some epsilon on it says nothing.
  if (!(log2 < 0.0)) return "noise ChaCha20 (computational), at so large an epsilon without a bound on implementation delta";
  return "noise ChaCha20 (computational), implementation delta 2^" + std::to_string(static_cast<int>(log2));
}

std::string labels(const PrivacyConfig& config) {
  return config.labels == LabelPolicy::kPublic ? "labels public by declared policy and not covered" : "no labels cross";
}

std::string claim(double epsilon, double delta) {
  std::string text = "(";  // grown in place: GCC 12 warns of an overlap in "(" + a temporary
  text += rounded_up(epsilon);
  text += ", ";
  text += short_number(delta);
  return text + ")";
}

/// Independent releases of the parts of one record, by all parties: one Gaussian with more releases.
std::string whole_record(const RowPlan& plan, int parties) {
  const double all = gaussian_epsilon(plan.noise_multiplier, static_cast<double>(plan.releases) * parties, plan.delta);
  return " " + std::to_string(parties) + " parties release parts of the same record: for the whole record the claim is " +
         claim(all, plan.delta) + ".";
}

std::string unit(const DataConfig& data) {
  const bool grouped = (data.table && !data.table->group.empty()) || (data.arrays && !data.arrays->train_groups.empty());
  return grouped ? " Unit record, not patient: a patient's records are released one by one." : "";
}

}  // namespace

double implementation_delta_log2(double epsilon, std::int64_t row_elements, std::uint64_t releases) {
  const double log2_one_plus = epsilon > 30 ? epsilon / std::log(2.0) + 1e-9 : std::log2(1 + std::exp(epsilon));
  const double bound = log2_one_plus + std::log2(static_cast<double>(std::max<std::int64_t>(1, row_elements))) +
                       std::log2(static_cast<double>(std::max<std::uint64_t>(1, releases))) - 116;
  return std::max(-60.0, bound);
}

std::string rounded_up(double value) {
  if (!std::isfinite(value)) return "infinite";
  const double unit = value >= 0.1 || value <= 0 ? 1e-3 : std::pow(10.0, std::floor(std::log10(value)) - 2);
  char buffer[64];
  double up = std::ceil(value / unit) * unit;
  for (int digits = 3;; ++digits) {
    std::snprintf(buffer, sizeof buffer, "%.*f", digits, up);
    if (unit * std::pow(10.0, digits) > 0.5) break;
  }
  if (std::strtod(buffer, nullptr) < value) std::snprintf(buffer, sizeof buffer, "%.17g", up + unit);
  return buffer;
}

std::string privacy_statement(const StudyConfig& study, const RowPlan* plan, std::int64_t row_elements, int releasing_parties,
                              NoiseSource source) {
  const PrivacyConfig& config = study.privacy;
  const std::string stamp =
      source == NoiseSource::kTestSeed ? "NOT PRIVATE: the noise is a repeatable test sequence, so nothing below holds. " : "";
  if (config.mechanism == Mechanism::kNone) return stamp + "No guarantee: " + config.because;
  require(plan != nullptr, Errc::kInternal, "a privacy statement needs the plan of its mechanism");
  const bool parts = releasing_parties > 1;
  if (config.regime == Regime::kMessageNoise) {
    return stamp + "Regime R0 message-noise, " + mechanism(*plan) +
           ". Per-message local noise level: given the front's weights and the scaling, one released row is " +
           claim(plan->epsilon_per_release, plan->delta) + "-indistinguishable in " +
           (parts ? "this party's part of its own record" : "its own record") + "; " + labels(config) + "; " +
           noise(plan->epsilon_per_release, row_elements, 1) +
           ". No training guarantee: the front learns from raw records, so later rows depend on earlier records too, and no "
           "(epsilon, delta) is claimed for the training transcript." +
           unit(study.data);
  }
  return stamp + "Regime R1 release-once, " + mechanism(*plan) + ", releases<=" + std::to_string(plan->releases) + ": " +
         claim(plan->epsilon, plan->delta) + "-DP of " + (parts ? "this party's part of the record" : "the record") +
         "'s features for the transcript seen by the server and all other parties, " + labels(config) + ", " +
         noise(plan->epsilon, row_elements, plan->releases) +
         ". It rests on a frozen front with public weights and on settings fixed before private data was touched." +
         (parts ? whole_record(*plan, releasing_parties) : "") + unit(study.data);
}

std::string privacy_statement(const PrivacyConfig& config, const RowPlan* plan, std::int64_t row_elements, NoiseSource source) {
  StudyConfig study;
  study.privacy = config;
  return privacy_statement(study, plan, row_elements, 1, source);
}

}  // namespace sutura
