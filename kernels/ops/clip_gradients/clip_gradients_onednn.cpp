#include <cmath>

#include "kernels/cpu/row_loops.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"

namespace sutura::onednn {
namespace {

constexpr std::int64_t kBlock = 16 * 1024;

struct SquareSum {
  static SUTURA_INLINE void run(std::int64_t n, const float* x, double* sum) {
    constexpr std::int64_t kLanes = 64;  // partial sums, so that additions need not wait for each other
    double lanes[kLanes] = {};
    std::int64_t i = 0;
    for (; i + kLanes <= n; i += kLanes) {
      for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
    }
    for (std::int64_t l = 0; i + l < n; ++l) lanes[l] += static_cast<double>(x[i + l]) * static_cast<double>(x[i + l]);
    for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
      for (std::int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    *sum = lanes[0];
  }
};

struct Scale {
  static SUTURA_INLINE void run(std::int64_t n, float factor, float* x) {
    for (std::int64_t i = 0; i < n; ++i) x[i] *= factor;
  }
};

}  // namespace

double clip_gradients(Context& ctx, double max_norm, Tensor& grads) {
  Engine& engine = ctx.engine();
  const std::int64_t n = grads.elements();
  const std::int64_t blocks = (n + kBlock - 1) / kBlock;
  auto* partial = static_cast<double*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(blocks) * sizeof(double)));
  const float* g = values<float>(grads);
  parallel_for(engine, blocks, kBlock, [&](std::int64_t b, int) {
    dispatch<SquareSum>(engine.isa, std::min(kBlock, n - b * kBlock), g + b * kBlock, partial + b);
  });
  double sum = 0.0;
  for (std::int64_t b = 0; b < blocks; ++b) sum += partial[b];
  const double norm = std::sqrt(sum);
  if (!std::isfinite(norm)) {
    elementwise<Scale>(engine, n, std::nanf(""), values<float>(grads));
  } else if (const double factor = max_norm / (norm + 1e-6); factor < 1.0) {
    elementwise<Scale>(engine, n, static_cast<float>(factor), values<float>(grads));
  }
  return norm;
}

}  // namespace sutura::onednn
