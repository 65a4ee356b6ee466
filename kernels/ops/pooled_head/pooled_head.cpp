#include "kernels/ops/pooled_head/pooled_head.h"

#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/loss_sum/loss_checks.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/pooled_head/pooled_head_impl.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"

namespace sutura {

namespace {

void composed(Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
              double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients& grads, LossSum& sum) {
  const std::int64_t records = x.shape()[0], channels = weight.shape()[1], classes = weight.shape()[0];
  Tensor pooled = ctx.tensor({records, channels}, x.dtype()), y = ctx.tensor({records, classes}, x.dtype());
  global_avg_pool_forward(ctx, x, pooled);
  linear_forward(ctx, pooled, weight, bias, y);
  const Tensor wide = cast(ctx, y, DType::kFloat32);
  Tensor grad = ctx.tensor(logits.shape());
  const auto evaluate = loss == HeadLoss::kCrossEntropy ? softmax_cross_entropy_into : binary_cross_entropy_with_logits_into;
  evaluate(ctx, wide, labels, scale, grad, class_weights, sum);
  ctx.copy(wide, logits);
  const Tensor grad_y = cast(ctx, grad, x.dtype());
  linear_backward_weights(ctx, pooled, grad_y, grads.weight, grads.bias);
  Tensor grad_pooled = ctx.tensor(pooled.shape(), x.dtype());
  linear_backward_data(ctx, grad_y, weight, grad_pooled);
  global_avg_pool_backward(ctx, grad_pooled, grads.x);
}

}  // namespace

void pooled_head(Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
                 double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients grads, LossSum& sum) {
  const OpCheck check(ctx, "pooled_head");
  check.activation("x", x);
  check.rank("x", x, 4, 4);
  check.type("weight", weight, DType::kFloat32);
  check.rank("weight", weight, 2, 2, 0);
  const std::int64_t classes = weight.shape()[0], channels = x.shape()[3];
  check.shape("weight", weight, Shape{classes, channels});
  check.setting(classes <= kHeadMostClasses && channels <= kHeadMostChannels, "at most 64 classes and 2048 channels");
  check.setting(loss == HeadLoss::kCrossEntropy || classes == 1, "binary cross entropy has one output");
  if (bias.defined()) check.f32("bias", bias, Shape{classes});
  check.f32("logits", logits, Shape{x.shape()[0], classes});
  const std::int64_t kinds = loss == HeadLoss::kCrossEntropy ? classes : 2;
  check_labels(ctx, check, x, labels, kinds);
  check_class_weights(check, class_weights, kinds);
  check.activation_like("grad x", grads.x, x);
  check.shape("grad x", grads.x, x.shape());
  check.f32("grad weight", grads.weight, weight.shape());
  if (bias.defined()) check.f32("grad bias", grads.bias, bias.shape());
  check.setting(bias.defined() == grads.bias.defined(), "a bias and its gradient come together");
  if (x.shape()[0] == 0) return;
  if (!ctx.on_device()) return composed(ctx, loss, x, weight, bias, labels, scale, class_weights, logits, grads, sum);
  device_entry(ctx, &DeviceOps::pooled_head)(ctx, loss, x, weight, bias, labels, scale, class_weights, logits, grads, sum);
}

}  // namespace sutura
