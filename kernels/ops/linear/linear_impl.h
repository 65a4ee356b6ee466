#pragma once
#include "kernels/ops/activation.h"
#include "kernels/ops/linear/linear.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias);
}  // namespace sutura::reference
namespace sutura::onednn {
void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias);
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
/// y = activation(x weight^T + bias). ReLU alone: the gradient of others needs what the activation was given.
void linear_forward_fused(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                          Tensor& y);
void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias);
}  // namespace sutura::SUTURA_DEVICE
#endif
