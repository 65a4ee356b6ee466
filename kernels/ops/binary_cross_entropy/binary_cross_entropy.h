#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/loss_sum.h"
#include "kernels/tensor.h"

namespace sutura {

/// scale * sum_n w[t] * (max(z, 0) - z * t + log(1 + exp(-|z|))) with z = logits[n], t = labels[n] and w = class_weights
/// (empty: all 1); grad_logits[n] = scale * w[t] * (sigmoid(z) - t).
/// Shapes   logits, grad_logits: [N, 1] float32; labels: [N] int32, each 0 or 1. N >= 0; class_weights: [2] or empty.
///          grad_logits may alias logits.
/// Numbers  Computed in double, rows added by a fixed tree; the same bits on both CPU backends, on a device as
///          softmax_cross_entropy; no overflow at any z. NaN stays in its row of the gradient and makes the sum NaN.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, a label that is not 0 or 1, a weight that is not finite and >
///          0): then nothing has been written.
double binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                        Tensor& grad_logits, std::span<const double> class_weights = {});

/// The same, added to `sum` without a wait; as softmax_cross_entropy_into.
void binary_cross_entropy_with_logits_into(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                           Tensor& grad_logits, std::span<const double> class_weights, LossSum& sum);

}  // namespace sutura
