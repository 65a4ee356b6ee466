#pragma once
#include "kernels/ops/working_copy/working_copy.h"

#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void refresh_working_copy(const Context& ctx, const Tensor& values, WorkingCopy& copy);
}
#endif
