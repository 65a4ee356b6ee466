#pragma once
#include "kernels/ops/mlp/mlp.h"

/// Arguments are checked, the batch is not empty. CPU backends compose it of their ops (mlp.cpp).
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void mlp_forward(Context& ctx, std::span<const Tensor> weights, std::span<const Tensor> biases, const Tensor& x,
                 std::span<Tensor> hidden, Tensor& y);
void mlp_backward(Context& ctx, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden,
                  const Tensor& grad_y, Tensor& grad_x, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases);
}  // namespace sutura::SUTURA_DEVICE
#endif
