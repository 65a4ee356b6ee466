#include "kernels/ops/gelu/gelu.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/gelu/gelu_impl.h"

namespace sutura {

void gelu_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const OpCheck check(ctx, "gelu_forward");
  check.activation("x", x);
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  if (x.elements() == 0) return;
  on_backend(ctx, reference::gelu_forward, onednn::gelu_forward, &DeviceOps::gelu_forward)(ctx, x, y);
}

void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "gelu_backward");
  check.activation("x", x);
  check.activation_like("grad_y", grad_y, x);
  check.activation_like("grad_x", grad_x, x);
  check.shape("grad_y", grad_y, x.shape());
  check.shape("grad_x", grad_x, x.shape());
  if (x.elements() == 0) return;
  on_backend(ctx, reference::gelu_backward, onednn::gelu_backward, &DeviceOps::gelu_backward)(ctx, x, grad_y, grad_x);
}

}  // namespace sutura
