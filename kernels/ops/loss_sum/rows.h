#pragma once
#include "kernels/cuda/double_sum.h"
#include "kernels/loss_sum.h"

/// For .cu files: the last step of every loss, by one block.
namespace sutura::SUTURA_DEVICE {

/// sum += {scale * losses, broken, 0} of `records` records, in a fixed order. All threads of the block (32 * kWarps) call it.
template <unsigned kWarps>
__device__ __forceinline__ void add_rows(std::int64_t records, const double* losses, const double* broken, double scale,
                                         double* sum, double (&loss_warps)[kWarps], double (&broken_warps)[kWarps]) {
  double loss = 0.0, flags = 0.0;
  for (std::int64_t i = threadIdx.x; i < records; i += 32 * kWarps) {
    loss += losses[i];
    flags += broken[i];
  }
  loss = block_sum_double(loss, loss_warps);
  flags = block_sum_double(flags, broken_warps);
  if (threadIdx.x != 0) return;
  sum[LossSum::kLoss] += scale * loss;
  sum[LossSum::kNotFinite] += flags;
}

/// One record's softmax cross entropy by one warp. z: [classes]; share: e^(z - top) sums' reciprocal, for gradients.
struct SoftmaxRow {
  double top, share, loss;
};
/// The larger, or NaN where either is.
__device__ __forceinline__ double top_of(double a, double b) { return a != a ? a : b > a || b != b ? b : a; }

/// logit(c) reads a logit as double; all lanes get the same bits. The loss is before weight and scale.
template <class Logit>
__device__ __forceinline__ SoftmaxRow softmax_row(std::int64_t classes, std::int64_t label, Logit logit) {
  const double own = logit(label);
  double top = -INFINITY;
  for (std::int64_t c = lane_id(); c < classes; c += 32) top = top_of(top, logit(c));
  SUTURA_UNROLL
  for (unsigned mask = 16; mask > 0; mask /= 2) top = top_of(top, warp_shuffle_xor(top, mask));
  double sum = 0.0;
  for (std::int64_t c = lane_id(); c < classes; c += 32) sum += exp(logit(c) - top);
  sum = warp_sum_double(sum);
  return {top, 1.0 / sum, log(sum) - (own - top)};
}

/// log(1 + e^u) with u = -z or z by label, and sigmoid(z): no difference of infinities at infinite logits, no overflow, and full
/// relative accuracy for large negative z.
struct BinaryRow {
  double loss, probability;
};
__device__ __forceinline__ BinaryRow binary_row(double z, bool one) {
  const double u = one ? -z : z;
  const double e = exp(z < 0.0 ? z : -z);
  return {(u < 0.0 ? 0.0 : u) + log1p(exp(u < 0.0 ? u : -u)), (z < 0.0 ? e : 1.0) / (1.0 + e)};
}

}  // namespace sutura::SUTURA_DEVICE
