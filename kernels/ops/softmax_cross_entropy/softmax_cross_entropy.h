#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// scale * sum_n -log softmax(logits[n])[labels[n]], and grad_logits[n,c] = scale * (softmax(logits[n])[c] - [c ==
/// labels[n]]).
/// Shapes   logits, grad_logits: [N, C] float32, C >= 1; labels: [N] int32 in [0, C). N >= 0. grad_logits may alias
///          logits.
/// Numbers  Computed in double by row (maximum subtracted: no overflow), rows added by a fixed tree; the same bits on
///          every backend. A row with NaN or +inf gives NaN in that row's gradient and in the sum.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, a label outside [0, C)): then nothing has been written.
double softmax_cross_entropy(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits);

}  // namespace sutura
