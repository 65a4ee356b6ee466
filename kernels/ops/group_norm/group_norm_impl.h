#pragma once
#include "kernels/ops/group_norm/group_norm.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void group_norm_forward(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd);
void group_norm_backward(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);
// The plain op of the context's CPU backend, then add and relu: for reference and onednn.
void group_norm_forward_fused(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma,
                              const Tensor& beta, const NormTail& tail, Tensor& y, Tensor& mean, Tensor& rstd);
void group_norm_backward_fused(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                               const Tensor& mean, const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x,
                               Tensor& grad_gamma, Tensor& grad_beta);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::group_norm_forward) group_norm_forward;
decltype(reference::group_norm_backward) group_norm_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::group_norm_forward) group_norm_forward;
decltype(reference::group_norm_backward) group_norm_backward;
decltype(reference::group_norm_forward_fused) group_norm_forward_fused;
decltype(reference::group_norm_backward_fused) group_norm_backward_fused;
}  // namespace sutura::SUTURA_DEVICE
#endif
