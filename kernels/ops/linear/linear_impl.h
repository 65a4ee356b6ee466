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
decltype(reference::linear_forward) linear_forward;
decltype(reference::linear_backward_data) linear_backward_data;
decltype(reference::linear_backward_weights) linear_backward_weights;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::linear_forward) linear_forward;
/// y = activation(x weight^T + bias). ReLU alone: the gradient of others needs what the activation was given.
void linear_forward_fused(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                          Tensor& y);
decltype(reference::linear_backward_data) linear_backward_data;
decltype(reference::linear_backward_weights) linear_backward_weights;
}  // namespace sutura::SUTURA_DEVICE
#endif
