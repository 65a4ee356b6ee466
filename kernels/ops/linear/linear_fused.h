#pragma once
#include "kernels/ops/activation.h"
#include "kernels/ops/linear/linear.h"

namespace sutura {

/// linear_forward and what follows it: y = activation(x weight^T + bias), on a backend that has a kernel for it in the pass that
/// stores y, elsewhere one op after another. Shapes, errors as linear_forward; the bits of linear_forward and relu_forward.
void linear_forward_fused(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                          Tensor& y);

}  // namespace sutura
