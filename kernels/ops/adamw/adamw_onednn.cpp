#include <cmath>

#include "kernels/cpu/row_loops.h"
#include "kernels/ops/adamw/adamw_impl.h"

namespace sutura::onednn {
namespace {

struct Factors {
  float decay, beta1, one_minus_beta1, beta2, one_minus_beta2, step_size, root_correction, eps;
};

struct AdamW {
  static SUTURA_INLINE void run(std::int64_t n, Factors f, const float* grads, float* params, float* m, float* v) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float g = grads[i];
      const float mean = f.beta1 * m[i] + f.one_minus_beta1 * g;
      const float square = f.beta2 * v[i] + f.one_minus_beta2 * (g * g);
      m[i] = mean;
      v[i] = square;
      params[i] = params[i] * f.decay - f.step_size * mean / (__builtin_sqrtf(square) * f.root_correction + f.eps);
    }
  }
};

}  // namespace

void adamw_step(Context& ctx, const AdamWSettings& s, std::int64_t t, const Tensor& grads, Tensor& params, Tensor& m, Tensor& v) {
  const double correction1 = 1.0 - integer_power(s.beta1, t);
  const double correction2 = 1.0 - integer_power(s.beta2, t);
  const Factors f = {.decay = static_cast<float>(1.0 - static_cast<double>(s.learning_rate) * s.weight_decay),
                     .beta1 = s.beta1,
                     .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(s.beta1)),
                     .beta2 = s.beta2,
                     .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(s.beta2)),
                     .step_size = static_cast<float>(s.learning_rate / correction1),
                     .root_correction = static_cast<float>(1.0 / std::sqrt(correction2)),
                     .eps = s.eps};
  elementwise<AdamW>(ctx.engine(), grads.elements(), f, values<float>(grads), values<float>(params), values<float>(m),
                     values<float>(v));
}

}  // namespace sutura::onednn
