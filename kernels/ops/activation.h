#pragma once
#include <cstdint>

namespace sutura {

/// What a fused product applies to its result before it is stored.
enum class Activation : std::uint8_t { kNone, kRelu };

}  // namespace sutura
