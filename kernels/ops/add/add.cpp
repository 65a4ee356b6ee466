#include "kernels/ops/add/add.h"

#include "kernels/ops/add/add_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

void add(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y) {
  const OpCheck check(ctx, "add");
  check.activation("a", a);
  check.activation_like("b", b, a);
  check.activation_like("y", y, a);
  check.shape("b", b, a.shape());
  check.shape("y", y, a.shape());
  if (a.elements() == 0) return;
  on_backend(ctx, reference::add, onednn::add, &DeviceOps::add)(ctx, a, b, y);
}

}  // namespace sutura
