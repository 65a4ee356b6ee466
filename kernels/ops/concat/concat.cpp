#include "kernels/ops/concat/concat.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/concat/concat_impl.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

namespace {
/// The shape of the joined tensor: leading dimensions of the first part, last dimension = sum.
template <class Parts>
Shape check_parts(const OpCheck& check, const Parts& parts, std::string_view what) {
  check.setting(!parts.empty() && parts.front() != nullptr, "there is nothing to join");
  check.activation(what, *parts.front());
  const Shape& first = parts.front()->shape();
  check.rank(what, *parts.front(), 1, Shape::kMaxRank);
  std::vector<std::int64_t> dims(first.dims().begin(), first.dims().end());
  std::int64_t width = 0;
  for (const Tensor* part : parts) {
    check.setting(part != nullptr, "a part is missing");
    check.activation_like(what, *part, *parts.front());
    check.rank(what, *part, first.rank(), first.rank());
    dims.back() = last_dimension(part->shape());
    check.shape(what, *part, Shape(dims));
    width += dims.back();
  }
  dims.back() = width;
  return Shape(dims);
}
}  // namespace

void concat_forward(Context& ctx, const std::vector<const Tensor*>& xs, Tensor& y) {
  const OpCheck check(ctx, "concat_forward");
  const Shape joined = check_parts(check, xs, "a part");
  check.activation_like("y", y, *xs.front());
  check.shape("y", y, joined);
  if (y.elements() == 0) return;
  on_backend(ctx, reference::concat_forward, onednn::concat_forward, &DeviceOps::concat_forward)(ctx, xs, y);
}

void concat_backward(Context& ctx, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs) {
  const OpCheck check(ctx, "concat_backward");
  const Shape joined = check_parts(check, grad_xs, "a part");
  check.activation_like("grad_y", grad_y, *grad_xs.front());
  check.shape("grad_y", grad_y, joined);
  if (grad_y.elements() == 0) return;
  on_backend(ctx, reference::concat_backward, onednn::concat_backward, &DeviceOps::concat_backward)(ctx, grad_y, grad_xs);
}

}  // namespace sutura
