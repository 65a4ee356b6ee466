#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/device_step/gate.h"
#include "kernels/ops/sgd/sgd_impl.h"
#include "kernels/ops/working_copy/chunk_loop.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

/// Every operation is rounded once, as on the CPU.
/// Limit: memory, 12 bytes an element, 20 with momentum, 2 more for the working copy. Shape: all parameters in one launch, a block
/// per chunk (WorkingCopy::kChunk), so that small ones cost no launch of their own.
template <class Momentum>
__global__ void __launch_bounds__(kThreads) sgd_kernel(Chunks chunks, const float* rates, const double* gate, float momentum,
                                                       float weight_decay, const float* grads, float* params, float* velocity) {
  if (!open(gate)) return;
  const float rate = rates[0];
  for_chunk(chunks, [=](std::int64_t i) {
    float v = exact_add(grads[i], exact_mul(weight_decay, params[i]));
    if constexpr (Momentum::value) {
      v = exact_add(exact_mul(momentum, velocity[i]), v);
      velocity[i] = v;
    }
    return params[i] = exact_add(params[i], -exact_mul(rate, v));
  });
}

}  // namespace

void sgd_step(Context& ctx, const SgdSettings& s, const DeviceStep& step, const Tensor& grads, StepTarget& target,
              Tensor& velocity) {
  const Chunks chunks(grads.elements(), target.copy);
  const auto go = [&](auto momentum) {
    SUTURA_LAUNCH((sgd_kernel<decltype(momentum)>), chunks.blocks, kThreads, 0, ctx.stream().stream(), chunks,
                  static_cast<const float*>(step.numbers.data()), gate_of(step), s.momentum, s.weight_decay,
                  static_cast<const float*>(grads.data()), static_cast<float*>(target.values.data()),
                  static_cast<float*>(velocity.data()));
  };
  if (s.momentum == 0.0f) {
    go(std::false_type{});
  } else {
    go(std::true_type{});
  }
}

}  // namespace sutura::SUTURA_DEVICE
