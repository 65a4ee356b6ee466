#include "kernels/ops/adamw/adamw.h"

#include <cmath>

#include "kernels/ops/adamw/adamw_impl.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"

namespace sutura {

void adamw_step(Context& ctx, const AdamWSettings& settings, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m,
                Tensor& v) {
  const OpCheck check(ctx, "adamw_step");
  for (const float s : {settings.learning_rate, settings.eps, settings.weight_decay}) {
    check.setting(s >= 0.0f && std::isfinite(s), "settings must be finite and not negative");
  }
  for (const float beta : {settings.beta1, settings.beta2})
    check.setting(beta >= 0.0f && beta < 1.0f, "betas must lie in [0, 1)");
  check.setting(t >= 1, "steps count from 1");
  check.type("grads", grads, DType::kFloat32);
  check.rank("grads", grads, 1, 1);
  check.f32("params", params, grads.shape());
  check.f32("m", m, grads.shape());
  check.f32("v", v, grads.shape());
  if (grads.elements() == 0) return;
  on_backend(ctx, reference::adamw_step, onednn::adamw_step, &DeviceOps::adamw_step)(ctx, settings, t, grads, params, m, v);
}

double integer_power(double base, std::int64_t n) {
  double result = 1.0;
  for (double square = base; n > 0; n >>= 1, square *= square) {
    if (n & 1) result *= square;
  }
  return result;
}

}  // namespace sutura
