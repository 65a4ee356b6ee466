#pragma once
#include <cstdint>

#include "kernels/ops/release_rows/release_rows.h"
#include "runtime/config/study.h"
#include "runtime/privacy/accountant.h"

namespace sutura {

/// Distance of the two neighbouring means in units of the bound B: replace-one 2, replace-one with non-negative rows
/// sqrt 2, zero-out 1.
double relation_factor(Relation relation);
/// "replace-one", "replace-one-nonnegative", "zero-out".
std::string_view name(Relation relation);

/// The numbers of a row mechanism and what they prove. Claims come from the integers (B, sigma_int), never from the request.
struct RowPlan {
  RowSettings settings;
  Relation relation = Relation::kReplaceOne;
  Regime regime = Regime::kMessageNoise;
  double requested_multiplier = 0.0;  ///< as configured or calibrated
  double noise_multiplier = 0.0;      ///< z = sigma_int / (factor * B) >= requested
  std::uint64_t releases = 1;         ///< planned, of the same record
  double budget_epsilon = 0.0;        ///< the hard budget of any record
  double delta = 0.0;
  double epsilon = 0.0;  ///< of all planned releases, at delta; may exceed the budget where z was configured
  double epsilon_per_release = 0.0;
  DpEvent event() const { return GaussianEvent{noise_multiplier}; }
};

/// The least shift at which a value of B plus eight noise deviations still fits the wire type, so that saturation neither
/// biases rows nor loses them: int8 takes 5 up to B = 2031 and at most 8, int16 takes 0 up to B = 30719.
/// Errors  kConfig where no shift fits (int8 beyond B = 30591).
int wire_shift(DType wire, std::int32_t bound);

/// Calibrates the noise where it is not configured (so that `releases` releases of one record just fit the budget), turns
/// it into the integer bound B = floor(sigma_int / (factor z)) and recomputes the claim from B.
/// Errors  kConfig if the mechanism is not rows, a number is outside its domain, the noise asked for is beyond sigma_int
///         (B < 1), or so small that a row does not fit the wire type.
RowPlan plan_rows(const PrivacyConfig& config, std::uint64_t releases);

}  // namespace sutura
