#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// y = x * Phi(x) with Phi(x) = (1 + erf(x / sqrt 2)) / 2: the exact form, not the tanh approximation.
/// Shapes   x, y: any equal shape and type (float32; onednn and devices also bfloat16). Nothing aliases.
/// Numbers  NaN gives NaN, +inf gives +inf. -inf gives -0 on reference (onednn: -0 or NaN). Absolute error below 1e-6 *
///          |x|.
/// Errors   kShapeMismatch, kInvalidArgument.
/// Source   Hendrycks & Gimpel 2016, "Gaussian Error Linear Units", section 2.
void gelu_forward(Context& ctx, const Tensor& x, Tensor& y);

/// grad_x = grad_y * (Phi(x) + x * phi(x)) with phi the standard normal density; overwrites grad_x. Takes forward's
/// input x.
/// Shapes   all equal. grad_x may alias grad_y.
/// Errors   kShapeMismatch, kInvalidArgument.
void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
