#pragma once
#include <cstdint>

#include "kernels/cuda/chacha.h"
#include "kernels/ops/release_rows/noise_draws.h"

/// Noise and wire format of a range of elements, for .cu files.
namespace sutura::SUTURA_DEVICE {

/// Numbers of a launch, the same for all blocks.
struct Noise {
  ChaChaStream stream;
  std::uint32_t first_block;
  int skip;  ///< draws of the first block that belong to earlier elements
  int shift;
  int whole;  ///< 1: skip is 0, `q` and `wire` are aligned for accesses of eight values
};

/// The keystream of a release.
struct ReleaseKeystream {
  const ChaChaStream& stream;
  __device__ void operator()(std::uint32_t kind, std::uint32_t block, std::uint32_t (&words)[2 * kDraws]) const {
    chacha20_block(stream, stream.nonce[0] | kind, block, words);
  }
};

template <class Wire>
__device__ __forceinline__ std::int32_t to_wire(std::int32_t q, std::int32_t z, int shift) {
  constexpr std::int32_t kTop = sizeof(Wire) == 1 ? 127 : 32767;
  const std::int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
  const std::int32_t y = (q + z + half) >> shift;
  return y < kTop ? (y > -kTop - 1 ? y : -kTop - 1) : kTop;
}

/// Eight values as one store of 8 (int8) or 16 (int16) bytes.
template <class Wire>
__device__ __forceinline__ void store_eight(Wire* to, const std::int32_t (&y)[kDraws]) {
  constexpr unsigned kEach = 4 / sizeof(Wire), kBits = 8 * sizeof(Wire), kMask = (1u << kBits) - 1u;
  std::uint32_t packed[kDraws / kEach] = {};
  SUTURA_UNROLL
  for (unsigned e = 0; e < kDraws; ++e) packed[e / kEach] |= (static_cast<std::uint32_t>(y[e]) & kMask) << (e % kEach * kBits);
  if constexpr (sizeof(Wire) == 1) {
    *reinterpret_cast<uint2*>(to) = uint2{packed[0], packed[1]};
  } else {
    *reinterpret_cast<uint4*>(to) = uint4{packed[0], packed[1], packed[2], packed[3]};
  }
}

/// wire[i] = saturate((q[i] + z[i] + 2^(shift-1)) >> shift) for i in [begin, end), by all threads of a block. A thread makes one
/// keystream block, eight draws. A keystream block that straddles an end of the range is made here and by the neighbour; each
/// writes its own elements only. `tree` is kNoiseTree, in shared memory.
template <class Wire>
__device__ __forceinline__ void noise_share(const Noise& noise, std::int64_t begin, std::int64_t end, const std::uint64_t* tree,
                                            const std::int32_t* q, Wire* wire) {
  const ReleaseKeystream keystream{noise.stream};
  for (std::int64_t b = (begin + noise.skip) / kDraws + threadIdx.x; b * kDraws - noise.skip < end; b += blockDim.x) {
    std::int32_t z[kDraws];
    noise_draws(keystream, noise.first_block + static_cast<std::uint32_t>(b), tree, z);
    const std::int64_t first = b * kDraws - noise.skip;
    if (noise.whole != 0 && first >= begin && first + kDraws <= end) {
      const int4 low = reinterpret_cast<const int4*>(q + first)[0], high = reinterpret_cast<const int4*>(q + first)[1];
      const std::int32_t eight[kDraws] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      SUTURA_UNROLL
      for (int e = 0; e < kDraws; ++e) z[e] = to_wire<Wire>(eight[e], z[e], noise.shift);
      store_eight(wire + first, z);
    } else {
      SUTURA_UNROLL
      for (int e = 0; e < kDraws; ++e)
        if (first + e >= begin && first + e < end)
          wire[first + e] = static_cast<Wire>(to_wire<Wire>(q[first + e], z[e], noise.shift));
    }
  }
}

}  // namespace sutura::SUTURA_DEVICE
