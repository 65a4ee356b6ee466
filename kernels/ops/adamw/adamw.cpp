#include "kernels/ops/adamw/adamw.h"

#include <cmath>

#include "kernels/ops/adamw/adamw_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

namespace {
void check_all(const OpCheck& check, const AdamWSettings& settings, const Tensor& grads, const Tensor& params, const Tensor& m,
               const Tensor& v) {
  for (const float s : {settings.learning_rate, settings.eps, settings.weight_decay}) {
    check.setting(s >= 0.0f && std::isfinite(s), "settings must be finite and not negative");
  }
  for (const float beta : {settings.beta1, settings.beta2})
    check.setting(beta >= 0.0f && beta < 1.0f, "betas must lie in [0, 1)");
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  check.f32("params", params, grads.shape());
  check.f32("m", m, grads.shape());
  check.f32("v", v, grads.shape());
}
}  // namespace

DeviceStep::Numbers adamw_rates(const AdamWSettings& s, std::int64_t t) {
  const double correction1 = 1.0 - integer_power(s.beta1, t);
  const double correction2 = 1.0 - integer_power(s.beta2, t);
  return {static_cast<float>(1.0 - double{s.learning_rate} * s.weight_decay), static_cast<float>(s.learning_rate / correction1),
          static_cast<float>(std::sqrt(correction2))};
}

void adamw_step(Context& ctx, const AdamWSettings& settings, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m,
                Tensor& v) {
  const OpCheck check(ctx, "adamw_step");
  check.setting(t >= 1, "steps count from 1");
  if (ctx.on_device()) {
    DeviceStep step(ctx);
    set_device_step(ctx, adamw_rates(settings, t), step);
    StepTarget target{Tensor::borrow(params)};
    return adamw_step_from_device(ctx, settings, step, grads, target, m, v);
  }
  check_all(check, settings, grads, params, m, v);
  if (grads.elements() == 0) return;
  on_cpu(ctx, reference::adamw_step, onednn::adamw_step)(ctx, settings, t, grads, params, m, v);
}

void adamw_step_from_device(Context& ctx, const AdamWSettings& settings, const DeviceStep& step, const Tensor& grads,
                            StepTarget& target, Tensor& m, Tensor& v) {
  check_all(OpCheck(ctx, "adamw_step"), settings, grads, target.values, m, v);
  if (grads.elements() == 0) return;
  device_entry(ctx, &DeviceOps::adamw_step)(ctx, settings, step, grads, target, m, v);
}

double integer_power(double base, std::int64_t n) {
  double result = 1.0;
  for (double square = base; n > 0; n >>= 1, square *= square) {
    if (n & 1) result *= square;
  }
  return result;
}

}  // namespace sutura
