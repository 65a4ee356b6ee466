#pragma once
#include "kernels/ops/pool2d/pool2d.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void max_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index);
void max_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x);
void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y);
void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x);
void global_avg_pool_forward(Context& ctx, const Tensor& x, Tensor& y);
void global_avg_pool_backward(Context& ctx, const Tensor& grad_y, Tensor& grad_x);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::max_pool_forward) max_pool_forward;
decltype(reference::max_pool_backward) max_pool_backward;
decltype(reference::avg_pool_forward) avg_pool_forward;
decltype(reference::avg_pool_backward) avg_pool_backward;
decltype(reference::global_avg_pool_forward) global_avg_pool_forward;
decltype(reference::global_avg_pool_backward) global_avg_pool_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::max_pool_forward) max_pool_forward;
decltype(reference::max_pool_backward) max_pool_backward;
decltype(reference::avg_pool_forward) avg_pool_forward;
decltype(reference::avg_pool_backward) avg_pool_backward;
decltype(reference::global_avg_pool_forward) global_avg_pool_forward;
decltype(reference::global_avg_pool_backward) global_avg_pool_backward;
}  // namespace sutura::SUTURA_DEVICE
#endif
