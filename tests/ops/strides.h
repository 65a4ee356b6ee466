#pragma once
#include <cstdint>

namespace sutura::testing {

/// The launches that strides_test.cpp goes beyond. It is compiled for the CPU too, where there are no launches:
/// tests/simt/ops/strides_bounds.cpp refuses to compile where these are not the kernels' own numbers
/// (but for the threads of a pool's block, which its .cu file keeps to itself).
constexpr std::int64_t kStrideBlocks = 1056, kStrideThreads = 256;
constexpr std::int64_t kStrideSets = kStrideThreads / 32;  ///< of a block of a norm, one a warp
constexpr std::int64_t kStrideWarpValues = 256;            ///< a longer set takes a block

}  // namespace sutura::testing
