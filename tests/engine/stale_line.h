#pragma once
#include <cstdint>
#include <vector>

#include "models/network.h"
#include "tests/equivalence/straight_line.h"

namespace sutura::testing {

/// Which weights a segment's backward uses.
enum class BackwardWeights { kOfItsForward, kNewest };

struct StaleResult {
  std::vector<double> losses;               ///< of each step
  std::vector<std::vector<float>> weights;  ///< per segment, flat
};

/// Delayed gradients straight from the formula, for a chain of segments at one site: step k runs forward in segment g on
/// the weights after max(0, k - delays[g]) updates, and its gradient makes update k. No plan, no messages, no executor.
StaleResult train_stale(const std::vector<Network>& segments, const std::vector<std::int64_t>& delays, const SiteData& site,
                        const OracleSchedule& s, BackwardWeights backward = BackwardWeights::kOfItsForward);

}  // namespace sutura::testing
