#include "kernels/ops/sgd/sgd.h"

#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/sgd/sgd_impl.h"

namespace sutura {

void sgd_step(Context& ctx, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity) {
  const OpCheck check(ctx, "sgd_step");
  for (const float v : {settings.learning_rate, settings.momentum, settings.weight_decay}) {
    check.setting(v >= 0.0f && std::isfinite(v), "settings must be finite and not negative");
  }
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  check.f32("params", params, grads.shape());
  if (settings.momentum != 0.0f) check.f32("velocity", velocity, grads.shape());
  if (grads.elements() == 0) return;
  on_backend(ctx, reference::sgd_step, onednn::sgd_step, &DeviceOps::sgd_step)(ctx, settings, grads, params, velocity);
}

}  // namespace sutura
