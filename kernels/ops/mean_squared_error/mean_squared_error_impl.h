#pragma once
#include "kernels/ops/mean_squared_error/mean_squared_error.h"

/// Implementation behind the contract; arguments are already checked and nothing is empty. Both CPU backends use this
/// one: the loss is a few values per record and its bits must not depend on which of them computes. A device adds to `sum`.
namespace sutura::reference {
double mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y);
}  // namespace sutura::reference
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y, LossSum& sum);
}  // namespace sutura::SUTURA_DEVICE
#endif
