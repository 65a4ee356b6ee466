#include "kernels/ops/sgd/sgd.h"

#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/sgd/sgd_impl.h"

namespace sutura {

namespace {
void check_all(const OpCheck& check, const SgdSettings& settings, const Tensor& grads, const Tensor& params,
               const Tensor& velocity) {
  for (const float v : {settings.learning_rate, settings.momentum, settings.weight_decay}) {
    check.setting(v >= 0.0f && std::isfinite(v), "settings must be finite and not negative");
  }
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  check.f32("params", params, grads.shape());
  if (settings.momentum != 0.0f) check.f32("velocity", velocity, grads.shape());
}
}  // namespace

DeviceStep::Numbers sgd_rates(const SgdSettings& settings) { return {settings.learning_rate}; }

void sgd_step(Context& ctx, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity) {
  if (ctx.on_device()) {
    DeviceStep step(ctx);
    set_device_step(ctx, sgd_rates(settings), step);
    StepTarget target{Tensor::borrow(params)};
    return sgd_step_from_device(ctx, settings, step, grads, target, velocity);
  }
  check_all(OpCheck(ctx, "sgd_step"), settings, grads, params, velocity);
  if (grads.elements() == 0) return;
  on_cpu(ctx, reference::sgd_step, onednn::sgd_step)(ctx, settings, grads, params, velocity);
}

void sgd_step_from_device(Context& ctx, const SgdSettings& settings, const DeviceStep& step, const Tensor& grads,
                          StepTarget& target, Tensor& velocity) {
  check_all(OpCheck(ctx, "sgd_step"), settings, grads, target.values, velocity);
  if (grads.elements() == 0) return;
  device_entry(ctx, &DeviceOps::sgd_step)(ctx, settings, step, grads, target, velocity);
}

}  // namespace sutura
