#pragma once
#include <compare>
#include <cstdint>

namespace sutura {

/// Names one release of a run. The same key never gets two noises: a replay returns the journalled bytes.
struct ReleaseKey {
  std::uint16_t edge = 0;
  std::uint64_t step = 0;
  std::uint32_t micro_batch = 0;
  std::uint32_t purpose = 0;  ///< tells legs, training, evaluation and upload apart
  auto operator<=>(const ReleaseKey&) const = default;
};

}  // namespace sutura
