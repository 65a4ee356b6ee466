#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// y = 1 / (1 + exp(-x)).
/// Shapes   x, y: any equal shape and type (float32; onednn and devices also bfloat16). y may alias x.
/// Numbers  Within [0, 1], no overflow at any x; NaN gives NaN.
/// Errors   kShapeMismatch, kInvalidArgument.
void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y);

/// grad_x = grad_y * y * (1 - y); overwrites grad_x. Takes forward's output y.
/// Shapes   all equal. grad_x may alias grad_y.
/// Errors   kShapeMismatch, kInvalidArgument.
void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
