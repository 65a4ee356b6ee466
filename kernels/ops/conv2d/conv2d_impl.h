#pragma once
#include "kernels/ops/activation.h"
#include "kernels/ops/conv2d/conv2d.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::conv2d_forward) conv2d_forward;
decltype(reference::conv2d_backward_data) conv2d_backward_data;
decltype(reference::conv2d_backward_weights) conv2d_backward_weights;
}  // namespace sutura::onednn

namespace sutura {
/// What conv2d_forward_fused does to the sums before they are stored: y = activation(sums + bias + residual). nullptr: without
/// that part.
struct Conv2dEpilogue {
  const Tensor* bias = nullptr;      // [K] float32
  const Tensor* residual = nullptr;  // like y, of y's type
  Activation activation = Activation::kNone;
  /// Becomes [blocks, 2, K] float32: per block of output positions and channel the sum of what was stored, then of its squares.
  /// The blocks follow from the shapes and the device alone; added up in their order they give a norm's batch statistics.
  Tensor* statistics = nullptr;
};
}  // namespace sutura
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::conv2d_forward) conv2d_forward;
void conv2d_forward_fused(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight,
                          const Conv2dEpilogue& epilogue, Tensor& y);
decltype(reference::conv2d_backward_data) conv2d_backward_data;
decltype(reference::conv2d_backward_weights) conv2d_backward_weights;
}  // namespace sutura::SUTURA_DEVICE
#endif
