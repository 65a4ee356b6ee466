#include "kernels/ops/batch_norm/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/batch_norm/batch_norm_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

namespace {
Shape check_channels(const OpCheck& check, const Tensor& x, const Tensor& y, std::string_view y_name) {
  check.activation("x", x);
  check.rank("x", x, 2, Shape::kMaxRank);
  check.activation_like(y_name, y, x);
  check.shape(y_name, y, x.shape());
  return Shape{last_dimension(x.shape())};
}
}  // namespace

void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  const OpCheck check(ctx, "batch_norm_forward_train");
  const Shape channels = check_channels(check, x, y, "y");
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  check.setting(momentum >= 0.0f && momentum <= 1.0f, "momentum must lie in [0, 1]");
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("running_mean", running_mean, channels);
  check.f32("running_var", running_var, channels);
  check.f32("mean", mean, channels);
  check.f32("rstd", rstd, channels);
  if (x.elements() == 0) {
    std::ranges::fill(mean.f32(), 0.0f);
    std::ranges::fill(rstd.f32(), 1.0f / std::sqrt(eps));
    return;
  }
  check.setting(x.elements() > channels[0], "training needs more than one value per channel: use a larger batch or another norm");
  on_backend(ctx, reference::batch_norm_forward_train, onednn::batch_norm_forward_train, &DeviceOps::batch_norm_forward_train)(
      ctx, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
}

void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  const OpCheck check(ctx, "batch_norm_forward_evaluate");
  const Shape channels = check_channels(check, x, y, "y");
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("running_mean", running_mean, channels);
  check.f32("running_var", running_var, channels);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_forward_evaluate, onednn::batch_norm_forward_evaluate, &DeviceOps::batch_norm_forward_evaluate)(ctx, eps, x, gamma, beta,
                                                                                               running_mean, running_var, y);
}

void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const OpCheck check(ctx, "batch_norm_backward");
  const Shape channels = check_channels(check, x, grad_y, "grad_y");
  check_channels(check, x, grad_x, "grad_x");
  check.f32("gamma", gamma, channels);
  check.f32("mean", mean, channels);
  check.f32("rstd", rstd, channels);
  check.f32("grad_gamma", grad_gamma, channels);
  check.f32("grad_beta", grad_beta, channels);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_backward, onednn::batch_norm_backward, &DeviceOps::batch_norm_backward)(ctx, x, grad_y, gamma, mean, rstd, grad_x,
                                                                               grad_gamma, grad_beta);
}

}  // namespace sutura
