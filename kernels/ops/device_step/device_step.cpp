#include "kernels/ops/device_step/device_step.h"

#include "kernels/ops/device_step/device_step_impl.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

void set_device_step(Context& ctx, const DeviceStep::Numbers& numbers, DeviceStep& step) {
  device_entry(ctx, &DeviceOps::set_device_step)(ctx, numbers, step);
}

}  // namespace sutura
