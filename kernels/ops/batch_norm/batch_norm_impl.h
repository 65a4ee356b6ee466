#pragma once
#include "kernels/ops/batch_norm/batch_norm.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty (the public functions settle
/// empty batches).
namespace sutura::reference {
void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd);
void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y);
void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);
// The plain op of the context's CPU backend, then add and relu: for reference and onednn.
void batch_norm_forward_train_fused(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, Tensor& running_mean, Tensor& running_var, const NormTail& tail,
                                    const Tensor& partials, Tensor& y, Tensor& mean, Tensor& rstd);
void batch_norm_forward_evaluate_fused(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& running_mean, const Tensor& running_var, const NormTail& tail, Tensor& y);
void batch_norm_backward_fused(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma,
                               Tensor& grad_beta);
}  // namespace sutura::reference
namespace sutura::onednn {
decltype(reference::batch_norm_forward_train) batch_norm_forward_train;
decltype(reference::batch_norm_forward_evaluate) batch_norm_forward_evaluate;
decltype(reference::batch_norm_backward) batch_norm_backward;
}  // namespace sutura::onednn
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::batch_norm_forward_train) batch_norm_forward_train;
decltype(reference::batch_norm_forward_evaluate) batch_norm_forward_evaluate;
decltype(reference::batch_norm_backward) batch_norm_backward;
decltype(reference::batch_norm_forward_train_fused) batch_norm_forward_train_fused;
decltype(reference::batch_norm_forward_evaluate_fused) batch_norm_forward_evaluate_fused;
decltype(reference::batch_norm_backward_fused) batch_norm_backward_fused;
}  // namespace sutura::SUTURA_DEVICE
#endif
