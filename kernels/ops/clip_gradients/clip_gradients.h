#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Returns the Euclidean norm of `grads` and, if c = max_norm / (norm + 1e-6) < 1, multiplies them by c (PyTorch's
/// clip_grad_norm_). For numerical stability only; privacy clips per record elsewhere.
/// Shapes   grads: [P] float32, P >= 0.
/// Numbers  Norm in double by a fixed tree (devices: another one, and relative 1e-13 away). If the norm is NaN or infinite,
///          grads hold NaN afterwards: the caller sees it in the returned norm.
/// Errors   kShapeMismatch; kInvalidArgument (type, undefined, max_norm not finite or <= 0).
/// Source   Pascanu, Mikolov & Bengio 2013, "On the difficulty of training recurrent neural networks", section 3.2.
double clip_gradients(Context& ctx, double max_norm, Tensor& grads);

/// The same without a wait; the norm goes to `norm` where the context computes.
/// Shapes   norm: [1] float64.
void clip_gradients_into(Context& ctx, double max_norm, Tensor& grads, Tensor& norm);

}  // namespace sutura
