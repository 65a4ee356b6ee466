#include <cmath>

#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/adamw/adamw_impl.h"
#include "kernels/ops/device_step/gate.h"
#include "kernels/ops/working_copy/chunk_loop.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

struct Factors {
  float beta1, new1, beta2, new2, eps;
};

/// Every operation is rounded once, in the CPU's order.
/// Limit: memory, 28 bytes an element, 2 more for the working copy; the square root and the division hide behind that. Shape: all
/// parameters in one launch, a block per chunk (WorkingCopy::kChunk), so that small ones cost no launch of their own.
__global__ void __launch_bounds__(kThreads) adamw_kernel(Chunks chunks, const float* rates, const double* gate, Factors f,
                                                         const float* grads, float* params, float* m, float* v) {
  if (!open(gate)) return;
  const float keep = rates[0], step_size = rates[1], root2 = rates[2];
  for_chunk(chunks, [=](std::int64_t i) {
    const float g = grads[i];
    const float first = exact_add(exact_mul(f.beta1, m[i]), exact_mul(f.new1, g));
    const float second = exact_add(exact_mul(f.beta2, v[i]), exact_mul(f.new2, exact_mul(g, g)));
    m[i] = first;
    v[i] = second;
    const float change = exact_mul(step_size, first / exact_add(sqrtf(second) / root2, f.eps));
    return params[i] = exact_add(exact_mul(keep, params[i]), -change);
  });
}

}  // namespace

void adamw_step(Context& ctx, const AdamWSettings& s, const DeviceStep& step, const Tensor& grads, StepTarget& target, Tensor& m,
                Tensor& v) {
  const Chunks chunks(grads.elements(), target.copy);
  const Factors f = {s.beta1, static_cast<float>(1.0 - double{s.beta1}), s.beta2, static_cast<float>(1.0 - double{s.beta2}),
                     s.eps};
  SUTURA_LAUNCH(adamw_kernel, chunks.blocks, kThreads, 0, ctx.stream().stream(), chunks,
                static_cast<const float*>(step.numbers.data()), gate_of(step), f, static_cast<const float*>(grads.data()),
                static_cast<float*>(target.values.data()), static_cast<float*>(m.data()), static_cast<float*>(v.data()));
}

}  // namespace sutura::SUTURA_DEVICE
