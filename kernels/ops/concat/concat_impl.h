#pragma once
#include "kernels/ops/concat/concat.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void concat_forward(Context& ctx, const std::vector<const Tensor*>& xs, Tensor& y);
void concat_backward(Context& ctx, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::concat_forward) concat_forward;
decltype(reference::concat_backward) concat_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::concat_forward) concat_forward;
decltype(reference::concat_backward) concat_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
