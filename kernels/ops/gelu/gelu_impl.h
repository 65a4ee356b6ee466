#pragma once
#include "kernels/ops/gelu/gelu.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void gelu_forward(Context& ctx, const Tensor& x, Tensor& y);
void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::gelu_forward) gelu_forward;
decltype(reference::gelu_backward) gelu_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::gelu_forward) gelu_forward;
decltype(reference::gelu_backward) gelu_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
