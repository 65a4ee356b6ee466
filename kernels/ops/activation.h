#pragma once
#include <cstdint>

namespace sutura {

/// What an op applies to its result on the way out. ReLU: 0 where the value is at most 0; NaN stays.
enum class Activation : std::uint8_t { kNone, kRelu };

}  // namespace sutura
