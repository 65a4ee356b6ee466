#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/loss_sum.h"
#include "kernels/tensor.h"

namespace sutura {

/// scale * sum_n -w[t] * log softmax(logits[n])[t] with t = labels[n] and w = class_weights (empty: all 1), and
/// grad_logits[n,c] = scale * w[t] * (softmax(logits[n])[c] - [c == t]).
/// Shapes   logits, grad_logits: [N, C] float32, C >= 1; labels: [N] int32 in [0, C). N >= 0; class_weights: [C] or
///          empty. grad_logits may alias logits.
/// Numbers  Computed in double by row (maximum subtracted: no overflow), rows added by a fixed tree; the same bits on
///          both CPU backends. A device's exp and log are other functions, within 1 ulp, and its trees are other trees: the sum
///          is within 1e-13 of the sum of 1 + |row's terms|, a gradient within 1 float ulp. A row with NaN or +inf gives NaN in
///          that row's gradient and in the sum.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, a label outside [0, C), a weight that is not finite and > 0): then
///          nothing has been written.
double softmax_cross_entropy(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                             std::span<const double> class_weights = {});

/// The same, added to `sum` without a wait. On a device labels are checked there: one outside the classes counts in
/// sum's bad labels, and nothing else is written; logits may be bfloat16, and grad_logits of their type. There at most
/// 256 class weights.
void softmax_cross_entropy_into(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                                std::span<const double> class_weights, LossSum& sum);

}  // namespace sutura
