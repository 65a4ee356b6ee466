#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/device_step/device_step_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

/// Limit: the launch; it writes 16 bytes. Shape: one thread.
__global__ void set_numbers_kernel(float4 numbers, float* to) {
  if (threadIdx.x != 0) return;
  to[0] = numbers.x;
  to[1] = numbers.y;
  to[2] = numbers.z;
  to[3] = numbers.w;
}

}  // namespace

void set_device_step(Context& ctx, const DeviceStep::Numbers& n, DeviceStep& step) {
  SUTURA_LAUNCH(set_numbers_kernel, 1, 32, 0, ctx.stream().stream(), float4{n[0], n[1], n[2], n[3]},
                static_cast<float*>(step.numbers.data()));
}

}  // namespace sutura::SUTURA_DEVICE
