#pragma once
#include "kernels/ops/checks.h"
#include "kernels/ops/norm_tail.h"

namespace sutura {

/// Errors: as OpCheck's.
inline void check_tail(const OpCheck& check, const NormTail& tail, const Tensor& x) {
  if (tail.residual == nullptr) return;
  check.activation_like("residual", *tail.residual, x);
  check.shape("residual", *tail.residual, x.shape());
}
inline void check_tail(const OpCheck& check, const NormTailGradient& tail, const Tensor& x) {
  if (tail.y != nullptr) {
    check.activation_like("y", *tail.y, x);
    check.shape("y", *tail.y, x.shape());
  }
  if (tail.grad_residual != nullptr) {
    check.activation_like("grad_residual", *tail.grad_residual, x);
    check.shape("grad_residual", *tail.grad_residual, x.shape());
  }
}

/// A tail without anything in it: the plain op, which a backend may do in another way than the fused one.
inline bool is_empty(const NormTail& tail) { return tail.residual == nullptr && tail.activation == Activation::kNone; }
inline bool is_empty(const NormTailGradient& tail) { return tail.y == nullptr && tail.grad_residual == nullptr; }

}  // namespace sutura
