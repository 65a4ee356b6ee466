#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura::SUTURA_DEVICE {
/// Adds sum_n grads[l][n]^T inputs[l][n] to the weights' gradients and sum_n grads[l][n] to the biases'; inputs are x and hidden,
/// grads of the last layer grad_y.
void mlp_weight_gradients(Context& ctx, const Tensor& x, std::span<const Tensor> hidden, std::span<const Tensor> grads,
                          const Tensor& grad_y, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases);
}  // namespace sutura::SUTURA_DEVICE
