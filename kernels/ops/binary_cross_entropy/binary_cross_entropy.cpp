#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"

#include "kernels/ops/binary_cross_entropy/binary_cross_entropy_impl.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/loss_sum/loss_checks.h"

namespace sutura {

void binary_cross_entropy_with_logits_into(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                           Tensor& grad_logits, std::span<const double> class_weights, LossSum& sum) {
  const OpCheck check(ctx, "binary_cross_entropy_with_logits");
  check_loss_outputs(ctx, check, "logits", logits);
  check.shape("logits", logits, Shape{logits.shape()[0], 1});
  check_labels(ctx, check, logits, labels, 2);
  check_loss_gradient(ctx, check, "grad_logits", logits, grad_logits);
  check_class_weights(check, class_weights, 2);
  if (logits.elements() == 0) return;
  if (ctx.on_device()) {
    device_entry(ctx, &DeviceOps::binary_cross_entropy_with_logits)(ctx, logits, labels, scale, grad_logits, class_weights, sum);
    return;
  }
  const double not_finite = records_not_finite(logits);  // before grad, which may share the memory of logits
  sum.add(reference::binary_cross_entropy_with_logits(ctx, logits, labels, scale, grad_logits, class_weights), not_finite);
}

double binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                        Tensor& grad_logits, std::span<const double> class_weights) {
  LossSum sum(ctx);
  binary_cross_entropy_with_logits_into(ctx, logits, labels, scale, grad_logits, class_weights, sum);
  return read_loss(ctx, OpCheck(ctx, "binary_cross_entropy_with_logits"), sum);
}

}  // namespace sutura
