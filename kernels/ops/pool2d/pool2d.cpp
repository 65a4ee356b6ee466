#include "kernels/ops/pool2d/pool2d.h"

#include <algorithm>
#include <limits>
#include <string>

#include "core/error.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/pool2d/pool2d_impl.h"

namespace sutura {

Shape Pool2dSpec::output_shape(const Shape& x) const {
  require(kernel_h >= 1 && kernel_w >= 1 && stride_h >= 1 && stride_w >= 1, Errc::kInvalidArgument,
          "pool2d: kernels and strides must be at least 1");
  require(pad_h >= 0 && pad_w >= 0 && 2 * pad_h <= kernel_h && 2 * pad_w <= kernel_w, Errc::kInvalidArgument,
          "pool2d: padding must lie in [0, kernel / 2]");
  const bool image = x.rank() == 4 && x.row_elements() >= 1;
  if (!image || x[1] + 2 * pad_h < kernel_h || x[2] + 2 * pad_w < kernel_w) {
    throw Error(Errc::kShapeMismatch, "pool2d: a window of " + Shape{kernel_h, kernel_w}.text() + " with padding " +
                                          Shape{pad_h, pad_w}.text() + " does not fit images " + x.text());
  }
  return {x[0], (x[1] + 2 * pad_h - kernel_h) / stride_h + 1, (x[2] + 2 * pad_w - kernel_w) / stride_w + 1, x[3]};
}

namespace {
void check_pair(const OpCheck& check, const Pool2dSpec& spec, const Tensor& x, const Tensor& y, std::string_view x_name,
                std::string_view y_name) {
  check.activation(x_name, x);
  check.activation_like(y_name, y, x);
  check.shape(y_name, y, spec.output_shape(x.shape()));
}

void check_index(const OpCheck& check, const Tensor& index, const Tensor& x, const Tensor& y) {
  check.type("index", index, DType::kInt32);
  check.shape("index", index, y.shape());
  check.setting(x.shape()[1] * x.shape()[2] <= std::numeric_limits<std::int32_t>::max(), "an image has too many positions");
}

void check_global(const OpCheck& check, const Tensor& x, const Tensor& y, std::string_view x_name, std::string_view y_name) {
  check.activation(x_name, x);
  check.activation_like(y_name, y, x);
  check.rank(x_name, x, 4, 4);
  check.shape(y_name, y, Shape{x.shape()[0], x.shape()[3]});
}
}  // namespace

void max_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index) {
  const OpCheck check(ctx, "max_pool_forward");
  check_pair(check, spec, x, y, "x", "y");
  check_index(check, index, x, y);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::max_pool_forward, onednn::max_pool_forward, &DeviceOps::max_pool_forward)(ctx, spec, x, y, index);
}

void max_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "max_pool_backward");
  check_pair(check, spec, grad_x, grad_y, "grad_x", "grad_y");
  check_index(check, index, grad_x, grad_y);
  const std::int64_t positions = grad_x.shape()[1] * grad_x.shape()[2];
  if (!ctx.on_device()) {  // a device's kernels look for pixels in indices, they write to none
    check.setting(std::ranges::all_of(index.as<std::int32_t>(), [&](std::int32_t i) { return i >= 0 && i < positions; }),
                  "an index lies outside the image");
  }
  if (grad_x.elements() == 0) return;
  on_backend(ctx, reference::max_pool_backward, onednn::max_pool_backward, &DeviceOps::max_pool_backward)(ctx, spec, index, grad_y, grad_x);
}

void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y) {
  const OpCheck check(ctx, "avg_pool_forward");
  check_pair(check, spec, x, y, "x", "y");
  if (x.elements() == 0) return;
  on_backend(ctx, reference::avg_pool_forward, onednn::avg_pool_forward, &DeviceOps::avg_pool_forward)(ctx, spec, x, y);
}

void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "avg_pool_backward");
  check_pair(check, spec, grad_x, grad_y, "grad_x", "grad_y");
  if (grad_x.elements() == 0) return;
  on_backend(ctx, reference::avg_pool_backward, onednn::avg_pool_backward, &DeviceOps::avg_pool_backward)(ctx, spec, grad_y, grad_x);
}

void global_avg_pool_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const OpCheck check(ctx, "global_avg_pool_forward");
  check_global(check, x, y, "x", "y");
  if (x.elements() == 0) return;
  on_backend(ctx, reference::global_avg_pool_forward, onednn::global_avg_pool_forward, &DeviceOps::global_avg_pool_forward)(ctx, x, y);
}

void global_avg_pool_backward(Context& ctx, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "global_avg_pool_backward");
  check_global(check, grad_x, grad_y, "grad_x", "grad_y");
  if (grad_x.elements() == 0) return;
  on_backend(ctx, reference::global_avg_pool_backward, onednn::global_avg_pool_backward, &DeviceOps::global_avg_pool_backward)(ctx, grad_y, grad_x);
}

}  // namespace sutura
