#pragma once
#include "core/dtype.h"
#include "kernels/tensor.h"

namespace sutura {

/// Calls run(T*, G*) with the element types of a loss's outputs and gradient: outputs float32 or bfloat16, the gradient float32
/// or the outputs' type.
template <class Run>
void with_loss_types(const Tensor& outputs, const Tensor& grad, Run run) {
  if (outputs.dtype() == DType::kFloat32) return run(static_cast<float*>(nullptr), static_cast<float*>(nullptr));
  if (grad.dtype() == DType::kFloat32) return run(static_cast<bf16*>(nullptr), static_cast<float*>(nullptr));
  run(static_cast<bf16*>(nullptr), static_cast<bf16*>(nullptr));
}

}  // namespace sutura
