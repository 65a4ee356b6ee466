// Compiled twice: for CUDA (SUTURA_DEVICE=native) and for the host SIMT executor (SUTURA_DEVICE=simt).
#include "kernels/device_ops.h"

namespace sutura::SUTURA_DEVICE {

extern const DeviceRuntime runtime;  // kernels/cuda/runtime_cuda.cpp, tests/simt/simt_runtime.cpp

const DeviceOps& table() {
  static const DeviceOps ops = [] {
    DeviceOps t;
    t.runtime = &runtime;

    // elementwise and data movement
    t.relu_forward = relu_forward;
    t.relu_backward = relu_backward;

    // norms and pooling

    // matrix products

    // losses and optimizers

    // released rows
    t.quantise_rows = quantise_rows;
    t.release_rows = release_rows;
    t.dequantise_rows = dequantise_rows;
    t.clip_backward = clip_backward;

    return t;
  }();
  return ops;
}

}  // namespace sutura::SUTURA_DEVICE
