#include "kernels/cpu/row_loops.h"
#include "kernels/ops/sgd/sgd_impl.h"

namespace sutura::onednn {
namespace {

struct Plain {
  static SUTURA_INLINE void run(std::int64_t n, SgdSettings s, const float* grads, float* params) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) params[i] -= s.learning_rate * (grads[i] + s.weight_decay * params[i]);
  }
};

struct WithMomentum {
  static SUTURA_INLINE void run(std::int64_t n, SgdSettings s, const float* grads, float* params, float* velocity) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = s.momentum * velocity[i] + (grads[i] + s.weight_decay * params[i]);
      velocity[i] = v;
      params[i] -= s.learning_rate * v;
    }
  }
};

}  // namespace

void sgd_step(Context& ctx, const SgdSettings& settings, const Tensor& grads, Tensor& params, Tensor& velocity) {
  if (settings.momentum == 0.0f) {
    return elementwise<Plain>(ctx.engine(), grads.elements(), settings, values<float>(grads), values<float>(params));
  }
  elementwise<WithMomentum>(ctx.engine(), grads.elements(), settings, values<float>(grads), values<float>(params),
                            values<float>(velocity));
}

}  // namespace sutura::onednn
