#include "kernels/cuda/set_norm.h"
#include "kernels/ops/group_norm/group_norm_impl.h"

namespace sutura::SUTURA_DEVICE {

void group_norm_forward_fused(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma,
                              const Tensor& beta, const NormTail& tail, Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t positions = x.shape().row_elements() / gamma.elements();
  set_norm_forward(ctx, x.shape()[0], groups, positions, eps, x, gamma, beta, tail, y, mean, rstd);
}

void group_norm_forward(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  SUTURA_DEVICE::group_norm_forward_fused(ctx, groups, eps, x, gamma, beta, NormTail{}, y, mean, rstd);
}

void group_norm_backward_fused(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                               const Tensor& mean, const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x,
                               Tensor& grad_gamma, Tensor& grad_beta) {
  const std::int64_t positions = x.shape().row_elements() / gamma.elements();
  set_norm_backward(ctx, x.shape()[0], groups, positions, x, grad_y, gamma, mean, rstd, tail, grad_x, grad_gamma, grad_beta);
}

void group_norm_backward(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  SUTURA_DEVICE::group_norm_backward_fused(ctx, groups, x, grad_y, gamma, mean, rstd, NormTailGradient{}, grad_x, grad_gamma,
                                           grad_beta);
}

}  // namespace sutura::SUTURA_DEVICE
