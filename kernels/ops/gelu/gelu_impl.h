#pragma once
#include "kernels/ops/gelu/gelu.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void gelu_forward(Context& ctx, const Tensor& x, Tensor& y);
void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::reference
namespace sutura::onednn {
void gelu_forward(Context& ctx, const Tensor& x, Tensor& y);
void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void gelu_forward(Context& ctx, const Tensor& x, Tensor& y);
void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::SUTURA_DEVICE
#endif
