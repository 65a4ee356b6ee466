#include <cmath>

#include "kernels/ops/adamw/adamw_impl.h"

namespace sutura::reference {

void adamw_step(Context&, const AdamWSettings& settings, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m,
                Tensor& v) {
  const double correction1 = 1.0 - integer_power(settings.beta1, t);
  const double correction2 = 1.0 - integer_power(settings.beta2, t);
  const auto step_size = static_cast<float>(settings.learning_rate / correction1);
  const auto root2 = static_cast<float>(std::sqrt(correction2));
  const auto keep = static_cast<float>(1.0 - double{settings.learning_rate} * settings.weight_decay);
  const auto new1 = static_cast<float>(1.0 - double{settings.beta1});
  const auto new2 = static_cast<float>(1.0 - double{settings.beta2});
  const float* g = grads.f32().data();
  float* p = params.f32().data();
  float* first = m.f32().data();
  float* second = v.f32().data();
  const std::int64_t count = params.elements();
  for (std::int64_t i = 0; i < count; ++i) {
    first[i] = settings.beta1 * first[i] + new1 * g[i];
    second[i] = settings.beta2 * second[i] + new2 * (g[i] * g[i]);
    p[i] = keep * p[i] - step_size * (first[i] / (std::sqrt(second[i]) / root2 + settings.eps));
  }
}

}  // namespace sutura::reference
