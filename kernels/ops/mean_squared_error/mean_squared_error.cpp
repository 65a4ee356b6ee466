#include "kernels/ops/mean_squared_error/mean_squared_error.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/mean_squared_error/mean_squared_error_impl.h"

namespace sutura {

double mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y) {
  const OpCheck check(ctx, "mean_squared_error");
  check.type("y", y, DType::kFloat32);
  check.rank("y", y, 2, 2);
  check.type("target", target, DType::kFloat32);
  const bool flat = target.shape().rank() == 1 && y.shape()[1] == 1;
  check.shape("target", target, flat ? Shape{y.shape()[0]} : y.shape());
  check.f32("grad_y", grad_y, y.shape());
  if (y.elements() == 0) return 0.0;
  return reference::mean_squared_error(ctx, y, target, scale, grad_y);
}

}  // namespace sutura
