#pragma once
#include "kernels/ops/add/add.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void add(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::add) add;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::add) add;
}  // namespace sutura::SUTURA_DEVICE
#endif
