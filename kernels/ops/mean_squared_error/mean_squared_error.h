#pragma once
#include "kernels/context.h"
#include "kernels/loss_sum.h"
#include "kernels/tensor.h"

namespace sutura {

/// scale * sum_n mean_d (y[n,d] - target[n,d])^2, and grad_y = scale * 2 / D * (y - target).
/// Shapes   y, grad_y: [N, D] float32, D >= 1; target: [N, D], or [N] where D = 1, float32. N >= 0. grad_y may alias y.
/// Numbers  Computed in double, added by a fixed tree (row, then rows); the same bits on both CPU backends, on a device
///          the sum within 1e-13 of itself (another tree). NaN stays in its element of the gradient and makes the sum NaN.
/// Errors   kShapeMismatch, kInvalidArgument (type, undefined).
double mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y);

/// The same, added to `sum` without a wait; on a device y may be bfloat16, and grad_y of its type.
void mean_squared_error_into(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y, LossSum& sum);

}  // namespace sutura
