#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// y = x where x > 0, 0 where x <= 0, NaN where x is NaN.
/// Shapes   x, y: any equal shape and type (float32; onednn and devices also bfloat16). y may alias x.
/// Errors   kShapeMismatch, kInvalidArgument.
void relu_forward(Context& ctx, const Tensor& x, Tensor& y);

/// grad_x = grad_y where y > 0, else 0 (0 also where y is NaN); overwrites grad_x. Takes forward's output y.
/// Shapes   all equal. grad_x may alias grad_y.
/// Numbers  NaN in grad_y passes where y > 0.
/// Errors   kShapeMismatch, kInvalidArgument.
void relu_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
