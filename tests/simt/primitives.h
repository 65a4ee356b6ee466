#pragma once
#include <cstdint>

#include "kernels/cuda/stream.h"

/// Every primitive of kernels/cuda/simt.h in a kernel of its own, for every device: what a GPU does is what the executor must do.
#define SUTURA_PRIMITIVES(X)                                                                                                   \
  X(kShuffle)                                                                                                                  \
  X(kShuffleXor) X(kShuffleDown) X(kShuffleWide) X(kBallot) X(kWarpSync) X(kBlockSync) X(kBlockAny) X(kAtomicAdd) X(kAtomicOr) \
      X(kCopy) X(kLoadMatrix) X(kLoadMatrixTransposed) X(kMmaBf16) X(kMmaTf32) X(kToTf32) X(kExactDouble) X(kExactFloat)       \
          X(kFused) X(kCountOnes) X(kRotateLeft)

namespace sutura::testing {

#define SUTURA_NAME(name) name,
enum class Primitive { SUTURA_PRIMITIVES(SUTURA_NAME) };
#undef SUTURA_NAME

constexpr unsigned kPrimitiveThreads = 64, kWords = 16;  // two warps; what a thread reads and writes, in 32-bit words

}  // namespace sutura::testing

#define SUTURA_DECLARE(device)                                                                          \
  namespace sutura::device {                                                                            \
  /** One block. Thread t reads in[t * kWords ...] and writes out[t * kWords ...]. */                   \
  void apply(testing::Primitive primitive, const std::uint32_t* in, std::uint32_t* out, Stream stream); \
  }
SUTURA_DECLARE(simt)
SUTURA_DECLARE(native)
#undef SUTURA_DECLARE
