#include <cmath>
#include <limits>

#include "kernels/cuda/elementwise.h"
#include "kernels/ops/int8_rows/int8_rows_impl.h"

// float32 throughout, as the CPU: division and product round once each (no contraction is possible: nothing is added).
namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

/// The maximum needs no order: it is one of the values.
/// Limit: memory for rows of some thousand values, latency for short ones. Shape: one block a row, read twice, the second time from
/// L2.
__global__ void __launch_bounds__(kThreads)
    int8_quantise_kernel(std::int64_t rows, std::int64_t width, const float* x, std::int8_t* q, float* scales) {
  SUTURA_SHARED(float, warp_largest, kThreads / 32);
  for (std::int64_t row = blockIdx.x; row < rows; row += gridDim.x) {
    const float* from = x + row * width;
    float largest = 0.0f;
    bool bad = false;
    for (std::int64_t j = threadIdx.x; j < width; j += kThreads) {
      const float size = fabsf(from[j]);
      bad = bad || !(size <= std::numeric_limits<float>::max());
      largest = size > largest ? size : largest;
    }
    for (unsigned mask = 16; mask > 0; mask /= 2) {
      const float other = warp_shuffle_xor(largest, mask);
      largest = other > largest ? other : largest;
    }
    if (lane_id() == 0) warp_largest[threadIdx.x / 32] = largest;
    bad = block_any(bad);
    for (unsigned w = 0; w < kThreads / 32; ++w) largest = warp_largest[w] > largest ? warp_largest[w] : largest;
    block_sync();  // the next row writes warp_largest
    const float scale = bad ? std::numeric_limits<float>::quiet_NaN() : largest / 127.0f;
    if (threadIdx.x == 0) scales[row] = scale;
    const bool zero = bad || scale == 0.0f;
    for (std::int64_t j = threadIdx.x; j < width; j += kThreads) {
      // A subnormal scale has few bits: the quotient may lie well beyond 127.
      const float v = zero ? 0.0f : rintf(from[j] / scale);
      q[row * width + j] = static_cast<std::int8_t>(v > 127.0f ? 127.0f : v < -127.0f ? -127.0f : v);
    }
  }
}

/// Limit: memory. Shape: a block stays within one row, so that nothing is divided.
__global__ void __launch_bounds__(kThreads)
    int8_dequantise_kernel(std::int64_t rows, std::int64_t width, const std::int8_t* q, const float* scales, float* x) {
  for (std::int64_t row = blockIdx.y; row < rows; row += gridDim.y) {
    const float scale = scales[row];
    for (std::int64_t j = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; j < width;
         j += static_cast<std::int64_t>(gridDim.x) * kThreads)
      x[row * width + j] = static_cast<float>(q[row * width + j]) * scale;
  }
}

}  // namespace

void int8_rows_quantise(Context& ctx, const Tensor& x, Tensor& q, Tensor& scales) {
  const std::int64_t rows = x.shape()[0], width = x.elements() / rows;
  SUTURA_LAUNCH(int8_quantise_kernel, static_cast<unsigned>(std::min(rows, kMostBlocks)), kThreads, 0, ctx.stream().stream(),
                rows, width, static_cast<const float*>(x.data()), static_cast<std::int8_t*>(q.data()),
                static_cast<float*>(scales.data()));
}

void int8_rows_dequantise(Context& ctx, const Tensor& q, const Tensor& scales, Tensor& x) {
  const std::int64_t rows = x.shape()[0], width = x.elements() / rows;
  const std::int64_t across =
      std::min<std::int64_t>((width + 4 * kThreads - 1) / (4 * kThreads), kMostBlocks);  // about four values a thread
  const std::int64_t down = std::min(rows, std::max<std::int64_t>(1, kMostBlocks / across));
  SUTURA_LAUNCH(int8_dequantise_kernel, dim3(static_cast<unsigned>(across), static_cast<unsigned>(down)), kThreads, 0,
                ctx.stream().stream(), rows, width, static_cast<const std::int8_t*>(q.data()),
                static_cast<const float*>(scales.data()), static_cast<float*>(x.data()));
}

}  // namespace sutura::SUTURA_DEVICE
