#include "kernels/ops/cast/cast.h"

#include "kernels/ops/cast/cast_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

Tensor cast(Context& ctx, const Tensor& x, DType to) {
  const OpCheck check(ctx, "cast");
  const auto castable = [](DType t) { return t == DType::kFloat32 || t == DType::kBfloat16; };
  check.setting(x.defined(), "x is undefined");
  check.setting(castable(x.dtype()) && castable(to), "only float32 and bfloat16 can be cast");
  if (x.dtype() == to) return ctx.clone(x);
  Tensor y = ctx.tensor(x.shape(), to);
  if (x.elements() == 0) return y;
  on_backend(ctx, reference::cast, onednn::cast, &DeviceOps::cast)(ctx, x, y);
  return y;
}

}  // namespace sutura
