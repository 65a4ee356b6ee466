#pragma once
#include "kernels/ops/adamw/adamw.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void adamw_step(Context& ctx, const AdamWSettings& settings, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m,
                Tensor& v);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::adamw_step) adamw_step;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void adamw_step(Context& ctx, const AdamWSettings& settings, const DeviceStep& step, const Tensor& grads, StepTarget& target,
                Tensor& m, Tensor& v);
}
#endif
