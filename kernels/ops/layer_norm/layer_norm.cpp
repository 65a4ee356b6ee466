#include "kernels/ops/layer_norm/layer_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/layer_norm/layer_norm_impl.h"

namespace sutura {

namespace {
/// x must be [..., C] with C >= 1; returns [rows].
Shape check_rows(const OpCheck& check, const Tensor& x) {
  check.activation("x", x);
  check.rank("x", x, 1, Shape::kMaxRank, std::max(0, x.shape().rank() - 1));
  return Shape{x.elements() / last_dimension(x.shape())};
}
}  // namespace

void layer_norm_forward(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                        Tensor& mean, Tensor& rstd) {
  const OpCheck check(ctx, "layer_norm_forward");
  const Shape rows = check_rows(check, x);
  const Shape channels{last_dimension(x.shape())};
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("mean", mean, rows);
  check.f32("rstd", rstd, rows);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::layer_norm_forward, onednn::layer_norm_forward, &DeviceOps::layer_norm_forward)(ctx, eps, x, gamma, beta, y, mean, rstd);
}

void layer_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const OpCheck check(ctx, "layer_norm_backward");
  const Shape rows = check_rows(check, x);
  const Shape channels{last_dimension(x.shape())};
  check.activation_like("grad_y", grad_y, x);
  check.shape("grad_y", grad_y, x.shape());
  check.activation_like("grad_x", grad_x, x);
  check.shape("grad_x", grad_x, x.shape());
  check.f32("gamma", gamma, channels);
  check.f32("mean", mean, rows);
  check.f32("rstd", rstd, rows);
  check.f32("grad_gamma", grad_gamma, channels);
  check.f32("grad_beta", grad_beta, channels);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::layer_norm_backward, onednn::layer_norm_backward, &DeviceOps::layer_norm_backward)(ctx, x, grad_y, gamma, mean, rstd, grad_x,
                                                                               grad_gamma, grad_beta);
}

}  // namespace sutura
