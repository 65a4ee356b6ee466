#include <algorithm>
#include <cmath>

#include "kernels/cuda/double_sum.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kWarps = 8, kThreads = 32 * kWarps;
/// Two blocks for each of 132 multiprocessors, so that the sum of the partial sums stays short.
constexpr std::int64_t kMostBlocks = 264;

/// partial[b] = the squares of elements of block b's stride, in double: the norm has to tell an overflow from a large gradient.
/// Limit: memory, 4 bytes an element; double additions hide behind the loads. Shape: as many blocks as fill the chip and no more,
/// so that few partial sums are left.
__global__ void __launch_bounds__(kThreads) squares_kernel(std::int64_t n, const float* grads, double* partial) {
  SUTURA_SHARED(double, warps, kWarps);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  double sum = 0.0;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride) {
    const double g = grads[i];
    sum += g * g;
  }
  sum = block_sum_double(sum, warps);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

/// Every block adds the few partial sums itself, in the same order: a kernel less than one that does it for all.
/// Limit: memory, 8 bytes an element where the norm is above its bound, else next to nothing. Shape: as squares_kernel.
__global__ void __launch_bounds__(kThreads)
    scale_kernel(std::int64_t n, double max_norm, unsigned partials, const double* partial, float* grads, double* norm) {
  SUTURA_SHARED(double, warps, kWarps);
  double sum = 0.0;
  for (unsigned i = threadIdx.x; i < partials; i += kThreads) sum += partial[i];
  const double length = sqrt(block_sum_double(sum, warps));
  if (blockIdx.x == 0 && threadIdx.x == 0) *norm = length;
  const bool good = finite(length);
  const double factor = max_norm / (length + 1e-6);
  if (good && !(factor < 1.0)) return;
  const auto by = static_cast<float>(factor);
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * kThreads;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < n; i += stride)
    grads[i] = good ? grads[i] * by : NAN;  // scaling by 0 would leave a harmless-looking gradient behind
}

}  // namespace

void clip_gradients(Context& ctx, double max_norm, Tensor& grads, Tensor& norm) {
  const std::int64_t n = grads.elements();
  const auto blocks = static_cast<unsigned>(std::min(kMostBlocks, (n + kThreads - 1) / kThreads));
  Tensor partial = ctx.tensor({blocks}, DType::kFloat64);
  SUTURA_LAUNCH(squares_kernel, blocks, kThreads, 0, ctx.stream().stream(), n, static_cast<const float*>(grads.data()),
                static_cast<double*>(partial.data()));
  SUTURA_LAUNCH(scale_kernel, blocks, kThreads, 0, ctx.stream().stream(), n, max_norm, blocks,
                static_cast<const double*>(partial.data()), static_cast<float*>(grads.data()), static_cast<double*>(norm.data()));
}

}  // namespace sutura::SUTURA_DEVICE
