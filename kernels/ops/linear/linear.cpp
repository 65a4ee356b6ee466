#include "kernels/ops/linear/linear.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/linear/linear_fused.h"
#include "kernels/ops/linear/linear_impl.h"
#include "kernels/ops/relu/relu.h"

namespace sutura {

namespace {
void check_all(const OpCheck& check, const Tensor& x, const Tensor& weight, const Tensor& y, std::string_view x_name,
               std::string_view y_name) {
  check.activation(x_name, x);
  check.rank(x_name, x, 2, 2);
  check.activation_like(y_name, y, x);
  check.rank(y_name, y, 2, 2);
  check.shape(y_name, y, Shape{x.shape()[0], last_dimension(y.shape())});
  check.f32("weight", weight, Shape{last_dimension(y.shape()), last_dimension(x.shape())});
}
}  // namespace

void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const OpCheck check(ctx, "linear_forward");
  check_all(check, x, weight, y, "x", "y");
  if (bias.defined()) check.f32("bias", bias, Shape{weight.shape()[0]});
  if (x.elements() == 0) return;
  on_backend(ctx, reference::linear_forward, onednn::linear_forward, &DeviceOps::linear_forward)(ctx, x, weight, bias, y);
}

void linear_forward_fused(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                          Tensor& y) {
  if (activation == Activation::kNone || !ctx.on_device() || ctx.device().linear_forward_fused == nullptr) {
    linear_forward(ctx, x, weight, bias, y);
    if (activation == Activation::kRelu) relu_forward(ctx, y, y);
    return;
  }
  const OpCheck check(ctx, "linear_forward_fused");
  check_all(check, x, weight, y, "x", "y");
  if (bias.defined()) check.f32("bias", bias, Shape{weight.shape()[0]});
  if (x.elements() == 0) return;
  ctx.device().linear_forward_fused(ctx, x, weight, bias, activation, y);
}

void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const OpCheck check(ctx, "linear_backward_data");
  check_all(check, grad_x, weight, grad_y, "grad_x", "grad_y");
  if (grad_y.elements() == 0) return;
  on_backend(ctx, reference::linear_backward_data, onednn::linear_backward_data, &DeviceOps::linear_backward_data)(ctx, grad_y, weight, grad_x);
}

void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias) {
  const OpCheck check(ctx, "linear_backward_weights");
  check_all(check, x, grad_weight, grad_y, "x", "grad_y");
  if (grad_bias.defined()) check.f32("grad_bias", grad_bias, Shape{grad_weight.shape()[0]});
  if (x.elements() == 0) return;
  on_backend(ctx, reference::linear_backward_weights, onednn::linear_backward_weights, &DeviceOps::linear_backward_weights)(ctx, x, grad_y, grad_weight, grad_bias);
}

}  // namespace sutura
