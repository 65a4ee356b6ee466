#include "kernels/ops/sgd/sgd_impl.h"

namespace sutura::reference {

void sgd_step(Context&, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity) {
  const float* g = grads.f32().data();
  float* p = params.f32().data();
  const std::int64_t count = params.elements();
  if (settings.momentum == 0.0f) {
    for (std::int64_t i = 0; i < count; ++i) p[i] -= settings.learning_rate * (g[i] + settings.weight_decay * p[i]);
    return;
  }
  float* v = velocity.f32().data();
  for (std::int64_t i = 0; i < count; ++i) {
    v[i] = settings.momentum * v[i] + (g[i] + settings.weight_decay * p[i]);
    p[i] -= settings.learning_rate * v[i];
  }
}

}  // namespace sutura::reference
