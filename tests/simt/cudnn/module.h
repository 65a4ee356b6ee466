#pragma once
#include "kernels/device_ops.h"

namespace sutura::simt {
const DeviceOps& table();  // executor.h, which declares CUDA's dim3 and its like a second time
}

namespace sutura::testing {
/// The cudnn module's table over the model of the libraries and the executor.
const DeviceOps& module_over_the_model();
}  // namespace sutura::testing
