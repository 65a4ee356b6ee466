#pragma once
#include "kernels/ops/clip_gradients/clip_gradients.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
double clip_gradients(Context& ctx, double max_norm, Tensor& grads);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::clip_gradients) clip_gradients;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void clip_gradients(Context& ctx, double max_norm, Tensor& grads, Tensor& norm);
}
#endif
