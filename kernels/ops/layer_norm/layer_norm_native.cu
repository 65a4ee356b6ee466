#include "kernels/cuda/set_norm.h"
#include "kernels/ops/layer_norm/layer_norm_impl.h"

// A row is a record of one position and one group.
namespace sutura::SUTURA_DEVICE {

void layer_norm_forward(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                        Tensor& mean, Tensor& rstd) {
  set_norm_forward(ctx, mean.elements(), 1, 1, eps, x, gamma, beta, NormTail{}, y, mean, rstd);
}

void layer_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  set_norm_backward(ctx, mean.elements(), 1, 1, x, grad_y, gamma, mean, rstd, NormTailGradient{}, grad_x, grad_gamma, grad_beta);
}

}  // namespace sutura::SUTURA_DEVICE
