#pragma once
#include "kernels/ops/activation.h"
#include "kernels/tensor.h"

namespace sutura {

/// What follows a norm in the same pass: y = activation(norm + residual).
struct NormTail {
  const Tensor* residual = nullptr;  ///< y's shape and type; nullptr: nothing is added
  Activation activation = Activation::kNone;
};

/// The way back through a NormTail: grad_y counts where y > 0 if the activation was ReLU, and that gradient is the residual's.
struct NormTailGradient {
  const Tensor* y = nullptr;        ///< forward's output, where the activation was ReLU; nullptr: there was none
  Tensor* grad_residual = nullptr;  ///< overwritten; nullptr: no residual was added. May alias grad_y.
};

}  // namespace sutura
