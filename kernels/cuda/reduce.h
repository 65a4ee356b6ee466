#pragma once
#include "kernels/cuda/simt.h"

/// Sums over a warp and over a block in an order that depends on nothing but the number of threads: the same bits every time.
namespace sutura::SUTURA_DEVICE {

/// Two sums that travel together.
struct Pair {
  float a, b;
};
__device__ __forceinline__ Pair operator+(const Pair& u, const Pair& v) { return {u.a + v.a, u.b + v.b}; }

/// Count, mean and sum of squared deviations of a set of values: unlike sums of squares these do not cancel when the mean is
/// large against the deviation. Merged as in Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
struct Moments {
  float count, mean, squares;
};
__device__ __forceinline__ Moments operator+(const Moments& u, const Moments& v) {
  if (u.count == 0.0f) return v;
  if (v.count == 0.0f) return u;
  const float count = u.count + v.count;
  const float part = v.count / count, delta = v.mean - u.mean;
  return {count, u.mean + delta * part, u.squares + v.squares + delta * delta * (u.count * part)};
}
/// Of kCount values: exact mean of a few, then the deviations from it.
template <int kCount>
__device__ __forceinline__ Moments moments_of(const float (&v)[kCount]) {
  float sum = 0.0f, squares = 0.0f;
  SUTURA_UNROLL
  for (int k = 0; k < kCount; ++k) sum += v[k];
  const float mean = sum * (1.0f / kCount);
  SUTURA_UNROLL
  for (int k = 0; k < kCount; ++k) squares += (v[k] - mean) * (v[k] - mean);
  return {static_cast<float>(kCount), mean, squares};
}

__device__ __forceinline__ float from_below(float v, unsigned delta) { return warp_shuffle_down(v, delta); }
__device__ __forceinline__ Pair from_below(const Pair& v, unsigned delta) {
  return {from_below(v.a, delta), from_below(v.b, delta)};
}
__device__ __forceinline__ Moments from_below(const Moments& v, unsigned delta) {
  return {from_below(v.count, delta), from_below(v.mean, delta), from_below(v.squares, delta)};
}

/// The sum over the warp, in lane 0; a tree. All lanes call it.
template <class T>
__device__ __forceinline__ T warp_total(T v) {
  SUTURA_UNROLL
  for (unsigned delta = 16; delta > 0; delta /= 2) v = v + from_below(v, delta);
  return v;
}

/// The sum over the threads of a block, or of each warp (kThreads = 32), in all of them. `shared`: kThreads / 32 elements for a
/// block, one a warp for warps. The barriers at both ends let the next call use the same memory.
template <int kThreads, class T>
__device__ __forceinline__ T set_total(T v, T* shared) {
  const unsigned warp = threadIdx.x / 32;
  v = warp_total(v);
  if constexpr (kThreads == 32) {
    if (lane_id() == 0) shared[warp] = v;
    warp_sync();
    v = shared[warp];
    warp_sync();
  } else {
    if (lane_id() == 0) shared[warp] = v;
    block_sync();
    v = shared[0];
    for (int w = 1; w < kThreads / 32; ++w) v = v + shared[w];
    block_sync();
  }
  return v;
}

}  // namespace sutura::SUTURA_DEVICE
