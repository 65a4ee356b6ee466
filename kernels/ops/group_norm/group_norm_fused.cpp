#include "kernels/ops/group_norm/group_norm_impl.h"
#include "kernels/ops/norm_tail_reference.h"

namespace sutura::reference {

void group_norm_forward_fused(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma,
                              const Tensor& beta, const NormTail& tail, Tensor& y, Tensor& mean, Tensor& rstd) {
  sutura::group_norm_forward(ctx, groups, eps, x, gamma, beta, y, mean, rstd);
  apply_tail(ctx, tail, y);
}

void group_norm_backward_fused(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                               const Tensor& mean, const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x,
                               Tensor& grad_gamma, Tensor& grad_beta) {
  through_tail(ctx, tail, grad_y, [&](const Tensor& g) {
    sutura::group_norm_backward(ctx, groups, x, g, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  });
}

}  // namespace sutura::reference
