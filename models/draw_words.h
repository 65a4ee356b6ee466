#pragma once
#include <cstdint>
#include <string>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Where layers find the words that their random draws on a device begin with. They change with every step, and work that was
/// recorded reads them from memory that whoever replays it has filled anew.
class DrawWords {
 public:
  virtual ~DrawWords() = default;
  /// [4] int32 on the device: the words of PhiloxStream(seed, stream, index).
  virtual Tensor words(Context& ctx, std::uint64_t seed, const std::string& stream, std::uint64_t index) = 0;
};

}  // namespace sutura
