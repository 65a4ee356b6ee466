#include "kernels/ops/batch_norm/batch_norm.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/batch_norm/batch_norm_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/norm_tail_checks.h"

namespace sutura {

namespace {
Shape check_channels(const OpCheck& check, const Tensor& x, const Tensor& y, std::string_view y_name) {
  check.activation("x", x);
  check.rank("x", x, 2, Shape::kMaxRank);
  check.activation_like(y_name, y, x);
  check.shape(y_name, y, x.shape());
  return Shape{last_dimension(x.shape())};
}

/// No values: mean 0, variance 0.
void write_empty_statistics(const Context& ctx, float eps, Tensor& mean, Tensor& rstd) {
  Tensor value(rstd.shape());
  std::ranges::fill(value.f32(), 1.0f / std::sqrt(eps));
  ctx.copy(value, rstd);
  ctx.fill_zero(mean);
}

void check_train(const OpCheck& check, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                 const Tensor& running_mean, const Tensor& running_var, const Tensor& y, const Tensor& mean, const Tensor& rstd) {
  const Shape channels = check_channels(check, x, y, "y");
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  check.setting(momentum >= 0.0f && momentum <= 1.0f, "momentum must lie in [0, 1]");
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("running_mean", running_mean, channels);
  check.f32("running_var", running_var, channels);
  check.f32("mean", mean, channels);
  check.f32("rstd", rstd, channels);
  check.setting(x.elements() == 0 || x.elements() > channels[0],
                "training needs more than one value per channel: use a larger batch or another norm");
}

void check_evaluate(const OpCheck& check, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                    const Tensor& running_mean, const Tensor& running_var, const Tensor& y) {
  const Shape channels = check_channels(check, x, y, "y");
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("running_mean", running_mean, channels);
  check.f32("running_var", running_var, channels);
}

void check_backward(const OpCheck& check, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                    const Tensor& rstd, const Tensor& grad_x, const Tensor& grad_gamma, const Tensor& grad_beta) {
  const Shape channels = check_channels(check, x, grad_y, "grad_y");
  check_channels(check, x, grad_x, "grad_x");
  check.f32("gamma", gamma, channels);
  check.f32("mean", mean, channels);
  check.f32("rstd", rstd, channels);
  check.f32("grad_gamma", grad_gamma, channels);
  check.f32("grad_beta", grad_beta, channels);
}
}  // namespace

void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  check_train({ctx, "batch_norm_forward_train"}, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  if (x.elements() == 0) return write_empty_statistics(ctx, eps, mean, rstd);
  on_backend(ctx, reference::batch_norm_forward_train, onednn::batch_norm_forward_train, &DeviceOps::batch_norm_forward_train)(
      ctx, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
}

void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  check_evaluate({ctx, "batch_norm_forward_evaluate"}, eps, x, gamma, beta, running_mean, running_var, y);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_forward_evaluate, onednn::batch_norm_forward_evaluate,
             &DeviceOps::batch_norm_forward_evaluate)(ctx, eps, x, gamma, beta, running_mean, running_var, y);
}

void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  check_backward({ctx, "batch_norm_backward"}, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_backward, onednn::batch_norm_backward, &DeviceOps::batch_norm_backward)(
      ctx, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
}

void batch_norm_forward_train_fused(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, Tensor& running_mean, Tensor& running_var, const NormTail& tail,
                                    const Tensor& partials, Tensor& y, Tensor& mean, Tensor& rstd) {
  if (is_empty(tail) && !partials.defined())
    return batch_norm_forward_train(ctx, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  const OpCheck check(ctx, "batch_norm_forward_train_fused");
  check_train(check, eps, momentum, x, gamma, beta, running_mean, running_var, y, mean, rstd);
  check_tail(check, tail, x);
  if (x.elements() == 0) return write_empty_statistics(ctx, eps, mean, rstd);
  if (partials.defined()) {
    check.rank("partials", partials, 3, 3, 0);
    check.f32("partials", partials, Shape{partials.shape()[0], 2, last_dimension(x.shape())});
  }
  on_backend(ctx, reference::batch_norm_forward_train_fused, reference::batch_norm_forward_train_fused,
             &DeviceOps::batch_norm_forward_train_fused)(ctx, eps, momentum, x, gamma, beta, running_mean, running_var, tail,
                                                         partials, y, mean, rstd);
}

void batch_norm_forward_evaluate_fused(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& running_mean, const Tensor& running_var, const NormTail& tail, Tensor& y) {
  if (is_empty(tail)) return batch_norm_forward_evaluate(ctx, eps, x, gamma, beta, running_mean, running_var, y);
  const OpCheck check(ctx, "batch_norm_forward_evaluate_fused");
  check_evaluate(check, eps, x, gamma, beta, running_mean, running_var, y);
  check_tail(check, tail, x);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_forward_evaluate_fused, reference::batch_norm_forward_evaluate_fused,
             &DeviceOps::batch_norm_forward_evaluate_fused)(ctx, eps, x, gamma, beta, running_mean, running_var, tail, y);
}

void batch_norm_backward_fused(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma,
                               Tensor& grad_beta) {
  if (is_empty(tail)) return batch_norm_backward(ctx, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  const OpCheck check(ctx, "batch_norm_backward_fused");
  check_backward(check, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  check_tail(check, tail, x);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::batch_norm_backward_fused, reference::batch_norm_backward_fused,
             &DeviceOps::batch_norm_backward_fused)(ctx, x, grad_y, gamma, mean, rstd, tail, grad_x, grad_gamma, grad_beta);
}

}  // namespace sutura
