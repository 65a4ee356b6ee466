#include "runtime/privacy/row_plan.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/error.h"

namespace sutura {

double relation_factor(Relation relation) {
  switch (relation) {
    case Relation::kReplaceOne: return 2.0;
    case Relation::kReplaceOneNonnegative: return std::numbers::sqrt2;
    case Relation::kZeroOut: return 1.0;
  }
  throw Error(Errc::kInternal, "unknown neighbouring relation");
}

std::string_view name(Relation relation) {
  switch (relation) {
    case Relation::kReplaceOne: return "replace-one";
    case Relation::kReplaceOneNonnegative: return "replace-one-nonnegative";
    case Relation::kZeroOut: return "zero-out";
  }
  return "unknown";
}

int wire_shift(DType wire, std::int32_t bound) {
  const std::int64_t top = wire == DType::kInt8 ? 127 : 32767;
  const std::int64_t reach = std::int64_t{bound} + 8 * std::int64_t{kNoiseSigma};
  for (int shift = 0; shift <= 8; ++shift)
    if ((reach + ((std::int64_t{1} << shift) >> 1)) >> shift <= top) return shift;
  throw Error(Errc::kConfig, "a released value of up to " + std::to_string(reach) + " (B and 8 noise deviations) does not fit " +
                                 std::string(name(wire)) +
                                 (wire == DType::kInt8 ? ": set privacy.wire to int16, or ask for more noise"
                                                       : ": ask for more noise"));
}

RowPlan plan_rows(const PrivacyConfig& config, std::uint64_t releases) {
  require(config.mechanism == Mechanism::kRows, Errc::kConfig, "privacy.mechanism is not rows: there is nothing to plan");
  require(std::isfinite(config.epsilon) && config.epsilon > 0, Errc::kConfig, "privacy.epsilon must be > 0");
  require(config.delta > 0 && config.delta < 1, Errc::kConfig, "privacy.delta must lie between 0 and 1");
  require(std::isfinite(config.clip_norm) && config.clip_norm > 0, Errc::kConfig, "privacy.clip_norm must be > 0");
  require(config.wire == DType::kInt8 || config.wire == DType::kInt16, Errc::kConfig, "privacy.wire must be int8 or int16");
  require(releases >= 1, Errc::kConfig, "a guarded edge releases at least once");
  RowPlan plan;
  plan.relation = config.relation;
  plan.regime = config.regime;
  plan.releases = releases;
  plan.budget_epsilon = config.epsilon;
  plan.delta = config.delta;
  if (config.noise_multiplier) {
    plan.requested_multiplier = *config.noise_multiplier;
    require(std::isfinite(plan.requested_multiplier) && plan.requested_multiplier > 0, Errc::kConfig,
            "privacy.noise_multiplier must be > 0");
  } else {
    plan.requested_multiplier = gaussian_noise_multiplier(config.epsilon, static_cast<double>(releases), config.delta);
  }
  const double factor = relation_factor(config.relation);
  const double bound = std::floor(kNoiseSigma / (factor * plan.requested_multiplier));
  require(
      bound >= 1, Errc::kConfig,
      "the noise asked for is larger than the noise table reaches (sigma 256 at bound 1): raise epsilon or plan fewer releases");
  plan.settings.clip_norm = config.clip_norm;
  plan.settings.bound = static_cast<std::int32_t>(std::min(bound, 1048576.0));
  plan.settings.sign =
      config.relation == Relation::kReplaceOneNonnegative ? RowSettings::Sign::kNonnegative : RowSettings::Sign::kSigned;
  plan.settings.fit = config.scale_to_norm ? RowSettings::Fit::kScaleToNorm : RowSettings::Fit::kClip;
  plan.settings.wire = config.wire;
  plan.settings.shift = wire_shift(config.wire, plan.settings.bound);
  plan.noise_multiplier = kNoiseSigma / (factor * plan.settings.bound);
  plan.epsilon = gaussian_epsilon(plan.noise_multiplier, static_cast<double>(releases), plan.delta);
  plan.epsilon_per_release = gaussian_epsilon(plan.noise_multiplier, 1.0, plan.delta);
  return plan;
}

}  // namespace sutura
