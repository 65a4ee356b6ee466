#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"

#include "kernels/ops/dispatch.h"
#include "kernels/ops/loss_sum/loss_checks.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy_impl.h"

namespace sutura {

void softmax_cross_entropy_into(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                                std::span<const double> class_weights, LossSum& sum) {
  const OpCheck check(ctx, "softmax_cross_entropy");
  check_loss_outputs(ctx, check, "logits", logits);
  const std::int64_t classes = logits.shape()[1];
  check_labels(ctx, check, logits, labels, classes);
  check_loss_gradient(ctx, check, "grad_logits", logits, grad_logits);
  check_class_weights(check, class_weights, classes);
  if (logits.elements() == 0) return;
  if (ctx.on_device()) {
    device_entry(ctx, &DeviceOps::softmax_cross_entropy)(ctx, logits, labels, scale, grad_logits, class_weights, sum);
    return;
  }
  const double not_finite = records_not_finite(logits);  // before grad, which may share the memory of logits
  sum.add(reference::softmax_cross_entropy(ctx, logits, labels, scale, grad_logits, class_weights), not_finite);
}

double softmax_cross_entropy(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                             std::span<const double> class_weights) {
  LossSum sum(ctx);
  softmax_cross_entropy_into(ctx, logits, labels, scale, grad_logits, class_weights, sum);
  return read_loss(ctx, OpCheck(ctx, "softmax_cross_entropy"), sum);
}

}  // namespace sutura
