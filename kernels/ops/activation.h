#pragma once
#include <cstdint>

namespace sutura {

/// What a fused op applies to its result before it is stored. ReLU: 0 where the value is at most 0; NaN stays.
enum class Activation : std::uint8_t { kNone, kRelu };

}  // namespace sutura
