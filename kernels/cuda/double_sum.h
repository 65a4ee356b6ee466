#pragma once
#include "kernels/cuda/simt.h"

/// Sums in double in an order that depends on nothing but the lengths. For .cu files.
namespace sutura::SUTURA_DEVICE {

/// The sum over the warp's lanes, the same bits in every lane: a butterfly adds the same pairs on both sides.
__device__ __forceinline__ double warp_sum_double(double v) {
  SUTURA_UNROLL
  for (unsigned mask = 16; mask > 0; mask /= 2) v += warp_shuffle_xor(v, mask);
  return v;
}

/// The sum over the block's threads, in every thread. `shared` may be used again after a block_sync().
template <unsigned kWarps>
__device__ __forceinline__ double block_sum_double(double v, double (&shared)[kWarps]) {
  v = warp_sum_double(v);
  if (lane_id() == 0) shared[threadIdx.x / 32] = v;
  block_sync();
  double sum = 0.0;
  for (unsigned w = 0; w < kWarps; ++w) sum += shared[w];
  return sum;
}

__device__ __forceinline__ bool finite(double v) { return v - v == 0.0; }

}  // namespace sutura::SUTURA_DEVICE
