#pragma once
#include "kernels/cuda/double_sum.h"
#include "kernels/ops/device_step/device_step.h"

/// For .cu files: the gate of a DeviceStep as a kernel argument.
namespace sutura::SUTURA_DEVICE {

inline const double* gate_of(const DeviceStep& step) {
  return step.gate == nullptr ? nullptr : static_cast<const double*>(step.gate->tensor().data());
}
/// LossSum::Value::sound(), the same for all threads.
__device__ __forceinline__ bool open(const double* gate) {
  return gate == nullptr ||
         (finite(gate[LossSum::kLoss]) && gate[LossSum::kNotFinite] == 0.0 && gate[LossSum::kBadLabels] == 0.0);
}

}  // namespace sutura::SUTURA_DEVICE
