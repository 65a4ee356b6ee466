#pragma once
#include "kernels/ops/device_step/device_step.h"

#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void set_device_step(Context& ctx, const DeviceStep::Numbers& numbers, DeviceStep& step);
}
#endif
