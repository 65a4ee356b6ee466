#include "kernels/ops/mean_squared_error/mean_squared_error.h"

#include "kernels/ops/dispatch.h"
#include "kernels/ops/loss_sum/loss_checks.h"
#include "kernels/ops/mean_squared_error/mean_squared_error_impl.h"

namespace sutura {

void mean_squared_error_into(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y, LossSum& sum) {
  const OpCheck check(ctx, "mean_squared_error");
  check_loss_outputs(ctx, check, "y", y);
  check.type("target", target, DType::kFloat32);
  const bool flat = target.shape().rank() == 1 && y.shape()[1] == 1;
  check.shape("target", target, flat ? Shape{y.shape()[0]} : y.shape());
  check_loss_gradient(ctx, check, "grad_y", y, grad_y);
  if (y.elements() == 0) return;
  if (ctx.on_device()) {
    device_entry(ctx, &DeviceOps::mean_squared_error)(ctx, y, target, scale, grad_y, sum);
    return;
  }
  const double not_finite = records_not_finite(y);  // before grad, which may share the memory of y
  sum.add(reference::mean_squared_error(ctx, y, target, scale, grad_y), not_finite);
}

double mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y) {
  LossSum sum(ctx);
  mean_squared_error_into(ctx, y, target, scale, grad_y, sum);
  return read_loss(ctx, OpCheck(ctx, "mean_squared_error"), sum);
}

}  // namespace sutura
