#pragma once
#include "kernels/ops/activation.h"
#include "kernels/ops/conv2d/conv2d.h"

namespace sutura {

/// conv2d_forward and what follows it: y = activation(convolution + bias), on a backend that has a kernel for it in the pass that
/// stores y, elsewhere one op after another.
/// Shapes   as conv2d_forward; statistics: nullptr, or a tensor that becomes [blocks, 2, K] float32: per block of output positions
///          and channel the sum of what was stored, then of its squares (batch_norm_forward_train_fused's `partials`). Undefined
///          afterwards where the backend took none: then the norm reads y itself.
/// Numbers  y has the bits of conv2d_forward and relu_forward one after the other.
/// Errors   as conv2d_forward.
void conv2d_forward_fused(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Activation activation, Tensor* statistics, Tensor& y);

}  // namespace sutura
