#include "kernels/ops/conv2d/conv2d.h"

#include <string>

#include "core/error.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/conv2d/conv2d_fused.h"
#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/relu/relu.h"

namespace sutura {

Shape Conv2dSpec::output_shape(const Shape& x, std::int64_t filters) const {
  require(kernel_h >= 1 && kernel_w >= 1 && stride_h >= 1 && stride_w >= 1 && filters >= 1, Errc::kInvalidArgument,
          "conv2d: kernels, strides and filters must be at least 1");
  require(pad_h >= 0 && pad_w >= 0 && pad_h < kernel_h && pad_w < kernel_w, Errc::kInvalidArgument,
          "conv2d: padding must lie in [0, kernel)");
  const bool image = x.rank() == 4 && x.row_elements() >= 1;
  if (!image || x[1] + 2 * pad_h < kernel_h || x[2] + 2 * pad_w < kernel_w) {
    throw Error(Errc::kShapeMismatch, "conv2d: a window of " + Shape{kernel_h, kernel_w}.text() + " with padding " +
                                          Shape{pad_h, pad_w}.text() + " does not fit images " + x.text());
  }
  return {x[0], (x[1] + 2 * pad_h - kernel_h) / stride_h + 1, (x[2] + 2 * pad_w - kernel_w) / stride_w + 1, filters};
}

namespace {
void check_all(const OpCheck& check, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& y,
               std::string_view x_name, std::string_view y_name) {
  check.activation(x_name, x);
  check.activation_like(y_name, y, x);
  check.type("weight", weight, DType::kFloat32);
  check.rank(x_name, x, 4, 4);
  check.rank("weight", weight, 4, 4, 0);
  check.shape("weight", weight, Shape{weight.shape()[0], spec.kernel_h, spec.kernel_w, last_dimension(x.shape())});
  check.shape(y_name, y, spec.output_shape(x.shape(), weight.shape()[0]));
}
}  // namespace

void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const OpCheck check(ctx, "conv2d_forward");
  check_all(check, spec, x, weight, y, "x", "y");
  if (bias.defined()) check.f32("bias", bias, Shape{weight.shape()[0]});
  if (x.elements() == 0) return;
  on_backend(ctx, reference::conv2d_forward, onednn::conv2d_forward, &DeviceOps::conv2d_forward)(ctx, spec, x, weight, bias, y);
}

void conv2d_forward_fused(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias,
                          Activation activation, Tensor* statistics, Tensor& y) {
  if (statistics != nullptr) *statistics = Tensor();
  const bool plain = activation == Activation::kNone && statistics == nullptr;
  if (plain || !ctx.on_device() || ctx.device().conv2d_forward_fused == nullptr) {
    conv2d_forward(ctx, spec, x, weight, bias, y);
    if (activation == Activation::kRelu) relu_forward(ctx, y, y);
    return;
  }
  const OpCheck check(ctx, "conv2d_forward_fused");
  check_all(check, spec, x, weight, y, "x", "y");
  if (bias.defined()) check.f32("bias", bias, Shape{weight.shape()[0]});
  if (x.elements() == 0) return;
  ctx.device().conv2d_forward_fused(ctx, spec, x, weight, {.bias = &bias, .activation = activation, .statistics = statistics}, y);
}

void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const OpCheck check(ctx, "conv2d_backward_data");
  check_all(check, spec, grad_x, weight, grad_y, "grad_x", "grad_y");
  if (grad_y.elements() == 0) return;
  on_backend(ctx, reference::conv2d_backward_data, onednn::conv2d_backward_data, &DeviceOps::conv2d_backward_data)(ctx, spec, grad_y, weight, grad_x);
}

void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias) {
  const OpCheck check(ctx, "conv2d_backward_weights");
  check_all(check, spec, x, grad_weight, grad_y, "x", "grad_y");
  if (grad_bias.defined()) check.f32("grad_bias", grad_bias, Shape{grad_weight.shape()[0]});
  if (x.elements() == 0) return;
  on_backend(ctx, reference::conv2d_backward_weights, onednn::conv2d_backward_weights, &DeviceOps::conv2d_backward_weights)(ctx, spec, x, grad_y, grad_weight,
                                                                                       grad_bias);
}

}  // namespace sutura
