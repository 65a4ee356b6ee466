#pragma once
#include "kernels/ops/dropout/dropout.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches). One entry for both directions: y = x / (1 - rate) where mask is 1, exactly 0 elsewhere.
/// dropout_draw: mask[i] = word i of the stream, as next_float(), is at least rate; the same bits everywhere.
namespace sutura::reference {
void dropout_draw(Context& ctx, float rate, const Tensor& words, Tensor& mask);
void dropout_apply(Context& ctx, float rate, const Tensor& mask, const Tensor& x, Tensor& y);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::dropout_apply) dropout_apply;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::dropout_draw) dropout_draw;
decltype(reference::dropout_apply) dropout_apply;
}  // namespace sutura::SUTURA_DEVICE
#endif
