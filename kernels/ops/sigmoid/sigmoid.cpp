#include "kernels/ops/sigmoid/sigmoid.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/sigmoid/sigmoid_impl.h"

namespace sutura {

void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const OpCheck check(ctx, "sigmoid_forward");
  check.activation("x", x);
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  if (x.elements() == 0) return;
  on_backend(ctx, reference::sigmoid_forward, onednn::sigmoid_forward, &DeviceOps::sigmoid_forward)(ctx, x, y);
}

void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "sigmoid_backward");
  check.activation("y", y);
  check.activation_like("grad_y", grad_y, y);
  check.activation_like("grad_x", grad_x, y);
  check.shape("grad_y", grad_y, y.shape());
  check.shape("grad_x", grad_x, y.shape());
  if (y.elements() == 0) return;
  on_backend(ctx, reference::sigmoid_backward, onednn::sigmoid_backward, &DeviceOps::sigmoid_backward)(ctx, y, grad_y, grad_x);
}

}  // namespace sutura
