#pragma once
#include "kernels/ops/sgd/sgd.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches). `velocity` is undefined when settings.momentum is 0.
namespace sutura::reference {
void sgd_step(Context& ctx, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::sgd_step) sgd_step;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void sgd_step(Context& ctx, const SgdSettings& settings, const DeviceStep& step, const Tensor& grads, StepTarget& target,
              Tensor& velocity);
}
#endif
