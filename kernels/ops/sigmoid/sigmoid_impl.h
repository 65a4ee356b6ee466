#pragma once
#include "kernels/ops/sigmoid/sigmoid.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y);
void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::sigmoid_forward) sigmoid_forward;
decltype(reference::sigmoid_backward) sigmoid_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::sigmoid_forward) sigmoid_forward;
decltype(reference::sigmoid_backward) sigmoid_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
