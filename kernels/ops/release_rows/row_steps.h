#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/ops/release_rows/release_rows.h"

/// What every implementation of the row steps shares: the same numbers give the same integers.
namespace sutura::row_steps {

inline constexpr std::int64_t kLanes = 64;  ///< sums over a row: value j goes to lane j % 64, lanes are added in a fixed tree
inline constexpr int kRepeats = 4;
/// Rows shorter than this have no direction worth stretching.
inline constexpr double kTinyNorm = 0x1p-100;
/// Adding and subtracting 1.5 * 2^52 rounds to the nearest integer, ties to even, without a rounding instruction.
inline constexpr double kRoundMagic = 0x1.8p52;
/// What a factor that left the row too long is reduced by, beyond the ratio of the norms.
inline constexpr double kMargin = 1.0 - 0x1p-10;

/// Numbers of a row that do not depend on its values.
struct Constants {
  double clip_norm;
  double bound;
  double bound_squared;
  double shrink;    ///< 1 / sqrt(1 + D / (12 B^2)), so that the repeats are rarely needed
  double per_grid;  ///< B / C
};
inline Constants constants(const RowSettings& s, std::int64_t d) {
  const double bound = s.bound, squared = bound * bound;
  return {s.clip_norm, bound, squared, 1.0 / std::sqrt(1.0 + static_cast<double>(d) / (12.0 * squared)), bound / s.clip_norm};
}

}  // namespace sutura::row_steps
