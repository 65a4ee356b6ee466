#pragma once
#include "kernels/ops/add/add.h"
#include "kernels/ops/norm_tail.h"
#include "kernels/ops/relu/relu.h"

namespace sutura::reference {

/// y = activation(y + residual) by the plain ops.
inline void apply_tail(Context& ctx, const NormTail& tail, Tensor& y) {
  if (tail.residual != nullptr) add(ctx, y, *tail.residual, y);
  if (tail.activation == Activation::kRelu) relu_forward(ctx, y, y);
}

/// Calls backward(g) with the gradient behind the tail, which is also grad_residual's.
template <class Backward>
void through_tail(Context& ctx, const NormTailGradient& tail, const Tensor& grad_y, Backward backward) {
  if (tail.y == nullptr && tail.grad_residual == nullptr) {
    backward(grad_y);
    return;
  }
  Tensor own = tail.grad_residual == nullptr ? ctx.tensor(grad_y.shape(), grad_y.dtype()) : Tensor::borrow(*tail.grad_residual);
  if (tail.y != nullptr) {
    relu_backward(ctx, *tail.y, grad_y, own);
  } else if (own.data() != grad_y.data()) {
    ctx.copy(grad_y, own);
  }
  backward(own);
}

}  // namespace sutura::reference
