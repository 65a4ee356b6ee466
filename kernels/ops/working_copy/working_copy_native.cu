#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/working_copy/chunk_loop.h"
#include "kernels/ops/working_copy/working_copy_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

/// Runs only after values came from the host, not in a step.
/// Limit: memory, 6 bytes an element. Shape: that of the optimizers, a block per chunk.
__global__ void __launch_bounds__(kThreads) refresh_kernel(Chunks chunks, const float* values) {
  for_chunk(chunks, [=](std::int64_t i) { return values[i]; });
}

}  // namespace

void refresh_working_copy(const Context& ctx, const Tensor& values, WorkingCopy& copy) {
  const Chunks chunks(values.elements(), &copy);
  SUTURA_LAUNCH(refresh_kernel, chunks.blocks, kThreads, 0, ctx.stream().stream(), chunks,
                static_cast<const float*>(values.data()));
}

}  // namespace sutura::SUTURA_DEVICE
