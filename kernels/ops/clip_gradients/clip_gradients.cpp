#include "kernels/ops/clip_gradients/clip_gradients.h"

#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

void clip_gradients_into(Context& ctx, double max_norm, Tensor& grads, Tensor& norm) {
  const OpCheck check(ctx, "clip_gradients");
  check.setting(max_norm > 0.0 && std::isfinite(max_norm), "max_norm must be positive and finite");
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  check.type("norm", norm, DType::kFloat64);
  check.shape("norm", norm, Shape{1});
  if (grads.elements() == 0) return ctx.fill_zero(norm);
  if (ctx.on_device()) return device_entry(ctx, &DeviceOps::clip_gradients)(ctx, max_norm, grads, norm);
  norm.as<double>()[0] = on_cpu(ctx, reference::clip_gradients, onednn::clip_gradients)(ctx, max_norm, grads);
}

double clip_gradients(Context& ctx, double max_norm, Tensor& grads) {
  Tensor norm = ctx.tensor({1}, DType::kFloat64);
  clip_gradients_into(ctx, max_norm, grads, norm);
  return ctx.host(std::move(norm)).as<double>()[0];
}

}  // namespace sutura
