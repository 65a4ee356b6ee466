#pragma once
#include <algorithm>
#include <span>

#include "core/error.h"

namespace sutura {

/// Class weights as a kernel argument: the same in every step of a study, so that a captured graph may freeze them, and no copy
/// to the device has to be kept by anybody.
struct ClassWeights {
  static constexpr std::size_t kMost = 256;  // 2 KiB of the 4 KiB that arguments may take
  double of[kMost] = {};
  int count = 0;  ///< 0: every weight is 1

  ClassWeights() = default;
  /// Errors: kInvalidArgument for more than kMost.
  explicit ClassWeights(std::span<const double> weights) : count(static_cast<int>(weights.size())) {
    require(weights.size() <= kMost, Errc::kInvalidArgument, "a device takes at most 256 class weights");
    std::ranges::copy(weights, of);
  }
};

}  // namespace sutura
