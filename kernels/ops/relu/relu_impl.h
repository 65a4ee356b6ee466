#pragma once
#include "kernels/ops/relu/relu.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void relu_forward(Context& ctx, const Tensor& x, Tensor& y);
void relu_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::relu_forward) relu_forward;
decltype(reference::relu_backward) relu_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::relu_forward) relu_forward;
decltype(reference::relu_backward) relu_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
