#pragma once
#include "kernels/ops/cast/cast.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches). `y` is allocated and of the other element type: float32 to bfloat16 or back.
namespace sutura::reference {
void cast(Context& ctx, const Tensor& x, Tensor& y);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::cast) cast;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::cast) cast;
}  // namespace sutura::SUTURA_DEVICE
#endif
