#include "kernels/ops/relu/relu.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/relu/relu_impl.h"

namespace sutura {

void relu_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const OpCheck check(ctx, "relu_forward");
  check.activation("x", x);
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  if (x.elements() == 0) return;
  on_backend(ctx, reference::relu_forward, onednn::relu_forward, &DeviceOps::relu_forward)(ctx, x, y);
}

void relu_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "relu_backward");
  check.activation("y", y);
  check.activation_like("grad_y", grad_y, y);
  check.activation_like("grad_x", grad_x, y);
  check.shape("grad_y", grad_y, y.shape());
  check.shape("grad_x", grad_x, y.shape());
  if (y.elements() == 0) return;
  on_backend(ctx, reference::relu_backward, onednn::relu_backward, &DeviceOps::relu_backward)(ctx, y, grad_y, grad_x);
}

}  // namespace sutura
