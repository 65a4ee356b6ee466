#pragma once
#include <span>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Most layers and widest layer (inputs included) of the functions below.
constexpr std::size_t kMlpMostLayers = 8;
constexpr std::int64_t kMlpWidest = 256;

/// A chain of linear layers with a ReLU between them: h[0] = x, h[l+1] = relu(h[l] * weights[l]^T + biases[l]), and the last
/// layer without the ReLU gives y. On a device one kernel.
/// Shapes   x: [N, D0]; weights[l]: [D(l+1), D(l)] float32, 1 to 8 layers, every D from 1 to 256; biases[l]: [D(l+1)] float32 or
///          undefined; hidden[l]: [N, D(l+1)] of x's type, one fewer than layers, overwritten: what mlp_backward() needs;
///          y: [N, D(last)] of x's type. x float32 or bfloat16 where the backend computes in it. Nothing aliases.
/// Numbers  As linear_forward() and relu_forward() one after the other. Devices: sums in float32 in a fixed order; with bfloat16
///          also weights and hidden values are rounded to it, with tf32 nothing is (small layers gain nothing from it).
/// Errors   kShapeMismatch; kInvalidArgument.
void mlp_forward(Context& ctx, std::span<const Tensor> weights, std::span<const Tensor> biases, const Tensor& x,
                 std::span<Tensor> hidden, Tensor& y);

/// Its gradients: grad_weights[l] and grad_biases[l] (undefined where biases are) are added to, grad_x is overwritten unless
/// undefined: then it is not computed. On a device three kernels: gradients of all layers' outputs, partial sums over records of
/// all weights' gradients, and their sum.
/// Shapes and errors as mlp_forward; grad_y as y, gradients as what they belong to.
/// Numbers  A weight's sum over the records is complete before it is added once; the same input gives the same bits.
void mlp_backward(Context& ctx, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden,
                  const Tensor& grad_y, Tensor& grad_x, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases);

}  // namespace sutura
