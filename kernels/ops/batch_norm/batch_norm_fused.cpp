#include "kernels/ops/batch_norm/batch_norm_impl.h"
#include "kernels/ops/norm_tail_reference.h"

namespace sutura::reference {

void batch_norm_forward_train_fused(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, Tensor& running_mean, Tensor& running_var, const NormTail& tail,
                                    const Tensor&, Tensor& y, Tensor& mean, Tensor& rstd) {
  sutura::batch_norm_forward_train(ctx, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  apply_tail(ctx, tail, y);
}

void batch_norm_forward_evaluate_fused(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& running_mean, const Tensor& running_var, const NormTail& tail, Tensor& y) {
  sutura::batch_norm_forward_evaluate(ctx, eps, x, gamma, beta, running_mean, running_var, y);
  apply_tail(ctx, tail, y);
}

void batch_norm_backward_fused(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma,
                               Tensor& grad_beta) {
  through_tail(ctx, tail, grad_y, [&](const Tensor& g) {
    sutura::batch_norm_backward(ctx, x, g, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  });
}

}  // namespace sutura::reference
