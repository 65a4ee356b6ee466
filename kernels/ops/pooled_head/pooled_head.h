#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/loss_sum.h"
#include "kernels/tensor.h"

namespace sutura {

enum class HeadLoss { kCrossEntropy, kBinaryCrossEntropy };

/// The largest head that pooled_head() takes.
inline constexpr std::int64_t kHeadMostClasses = 64, kHeadMostChannels = 2048;

/// What pooled_head() leaves behind. x is overwritten, weight and bias are added to.
struct HeadGradients {
  Tensor& x;       ///< [N, H, W, C], x's type
  Tensor& weight;  ///< [K, C] float32
  Tensor& bias;    ///< [K] float32; undefined where there is no bias
};

/// The end of an image network in a training step, forward and backward at once: pooled[n,c] = mean over positions of x[n,h,w,c];
/// logits = pooled * weight^T + bias; the loss of logits and labels times `scale`, added to `sum`; all gradients of that.
/// Shapes   x: [N, H, W, C], H, W >= 1, 1 <= C <= 2048, float32 or bfloat16 where the backend computes in it; weight: [K, C]
///          float32, K <= 64, K = 1 for binary cross entropy; bias: [K] float32 or undefined; labels: [N] int32; logits: [N, K]
///          float32, overwritten; class_weights: [K] ([2] for binary cross entropy) or empty. Nothing aliases.
/// Numbers  As global_avg_pool, linear and the loss one after the other; on devices sums in float32, also of bfloat16 x, and the
///          loss in double. Nothing is rounded to bfloat16 but grad x. Does not wait.
/// Errors   kShapeMismatch; kInvalidArgument. A label outside the classes as softmax_cross_entropy_into().
void pooled_head(Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
                 double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients grads, LossSum& sum);

}  // namespace sutura
