#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// scale * sum_n (max(z, 0) - z * t + log(1 + exp(-|z|))) with z = logits[n], t = labels[n]; grad_logits[n] = scale *
/// (sigmoid(z) - t).
/// Shapes   logits, grad_logits: [N, 1] float32; labels: [N] int32, each 0 or 1. N >= 0. grad_logits may alias logits.
/// Numbers  Computed in double, rows added by a fixed tree; the same bits on every backend; no overflow at any z. NaN
///          stays in its row of the gradient and makes the sum NaN.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, a label that is not 0 or 1): then nothing has been
///          written.
double binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                        Tensor& grad_logits);

}  // namespace sutura
