#include "kernels/ops/group_norm/group_norm.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/group_norm/group_norm_impl.h"
#include "kernels/ops/norm_tail_checks.h"

namespace sutura {

namespace {
void check_groups(const OpCheck& check, std::int64_t groups, const Tensor& x) {
  check.activation("x", x);
  check.rank("x", x, 2, Shape::kMaxRank);
  check.setting(groups >= 1, "groups must be at least 1");
  if (last_dimension(x.shape()) % groups != 0) {
    throw Error(Errc::kShapeMismatch,
                "group_norm: the channels of " + x.shape().text() + " do not split into " + std::to_string(groups) + " groups");
  }
}

void check_forward(const OpCheck& check, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                   const Tensor& y, const Tensor& mean, const Tensor& rstd) {
  check_groups(check, groups, x);
  check.setting(eps > 0.0f && std::isfinite(eps), "eps must be positive and finite");
  const Shape channels{last_dimension(x.shape())};
  const Shape statistics{x.shape()[0], groups};
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  check.f32("gamma", gamma, channels);
  check.f32("beta", beta, channels);
  check.f32("mean", mean, statistics);
  check.f32("rstd", rstd, statistics);
}

void check_backward(const OpCheck& check, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                    const Tensor& mean, const Tensor& rstd, const Tensor& grad_x, const Tensor& grad_gamma,
                    const Tensor& grad_beta) {
  check_groups(check, groups, x);
  const Shape channels{last_dimension(x.shape())};
  const Shape statistics{x.shape()[0], groups};
  check.activation_like("grad_y", grad_y, x);
  check.shape("grad_y", grad_y, x.shape());
  check.activation_like("grad_x", grad_x, x);
  check.shape("grad_x", grad_x, x.shape());
  check.f32("gamma", gamma, channels);
  check.f32("mean", mean, statistics);
  check.f32("rstd", rstd, statistics);
  check.f32("grad_gamma", grad_gamma, channels);
  check.f32("grad_beta", grad_beta, channels);
}
}  // namespace

void group_norm_forward(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                        Tensor& y, Tensor& mean, Tensor& rstd) {
  check_forward({ctx, "group_norm_forward"}, groups, eps, x, gamma, beta, y, mean, rstd);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::group_norm_forward, onednn::group_norm_forward, &DeviceOps::group_norm_forward)(
      ctx, groups, eps, x, gamma, beta, y, mean, rstd);
}

void group_norm_backward(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                         const Tensor& mean, const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  check_backward({ctx, "group_norm_backward"}, groups, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::group_norm_backward, onednn::group_norm_backward, &DeviceOps::group_norm_backward)(
      ctx, groups, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
}

void group_norm_forward_fused(Context& ctx, std::int64_t groups, float eps, const Tensor& x, const Tensor& gamma,
                              const Tensor& beta, const NormTail& tail, Tensor& y, Tensor& mean, Tensor& rstd) {
  if (is_empty(tail)) return group_norm_forward(ctx, groups, eps, x, gamma, beta, y, mean, rstd);
  const OpCheck check(ctx, "group_norm_forward_fused");
  check_forward(check, groups, eps, x, gamma, beta, y, mean, rstd);
  check_tail(check, tail, x);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::group_norm_forward_fused, reference::group_norm_forward_fused,
             &DeviceOps::group_norm_forward_fused)(ctx, groups, eps, x, gamma, beta, tail, y, mean, rstd);
}

void group_norm_backward_fused(Context& ctx, std::int64_t groups, const Tensor& x, const Tensor& grad_y, const Tensor& gamma,
                               const Tensor& mean, const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x,
                               Tensor& grad_gamma, Tensor& grad_beta) {
  if (is_empty(tail)) return group_norm_backward(ctx, groups, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  const OpCheck check(ctx, "group_norm_backward_fused");
  check_backward(check, groups, x, grad_y, gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  check_tail(check, tail, x);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::group_norm_backward_fused, reference::group_norm_backward_fused,
             &DeviceOps::group_norm_backward_fused)(ctx, groups, x, grad_y, gamma, mean, rstd, tail, grad_x, grad_gamma, grad_beta);
}

}  // namespace sutura
