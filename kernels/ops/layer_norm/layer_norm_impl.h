#pragma once
#include "kernels/ops/layer_norm/layer_norm.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void layer_norm_forward(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                        Tensor& mean, Tensor& rstd);
void layer_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::layer_norm_forward) layer_norm_forward;
decltype(reference::layer_norm_backward) layer_norm_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::layer_norm_forward) layer_norm_forward;
decltype(reference::layer_norm_backward) layer_norm_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
