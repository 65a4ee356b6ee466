#include "bench/gpu/ceilings.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;
constexpr int kChains = 8;  // independent sums a warp: the latency of one product (about 20 cycles) is hidden by the others

/// Limit: launch. One warp, so that nothing but starting and ending it is timed.
__global__ void empty_kernel() {}

/// Limit: tensor throughput of mma.sync. Operands stay in registers; 8 warps a block and several blocks on each multiprocessor
/// keep all four tensor cores busy.
template <bool kTf32>
__global__ void mma_loop(int rounds, float* result) {
  float sum[kChains][4] = {};
  std::uint32_t a[4], b[2];
  for (int i = 0; i < 4; ++i) a[i] = kTf32 ? to_tf32(1.0f + 1e-3f * static_cast<float>(threadIdx.x + i)) : 0x3f803f81u + threadIdx.x;
  for (int i = 0; i < 2; ++i) b[i] = kTf32 ? to_tf32(1e-3f * static_cast<float>(threadIdx.x + i)) : 0x3c003c01u + threadIdx.x;
  for (int r = 0; r < rounds; ++r) {
    SUTURA_UNROLL
    for (int c = 0; c < kChains; ++c) {
      if constexpr (kTf32) {
        ::sutura::mma_tf32(sum[c], a, b);
      } else {
        ::sutura::mma_bf16(sum[c], a, b);
      }
    }
  }
  float all = 0.0f;
  SUTURA_UNROLL
  for (int c = 0; c < kChains; ++c) all += sum[c][0] + sum[c][1] + sum[c][2] + sum[c][3];
  result[blockIdx.x * kThreads + threadIdx.x] = all;
}

}  // namespace

void empty_kernel_launch(Context& ctx) { SUTURA_LAUNCH(empty_kernel, 1, 32, 0, ctx.stream().stream()); }

void mma_loop_launch(Context& ctx, unsigned blocks, int rounds, Math math, Tensor& result) {
  auto* out = static_cast<float*>(result.data());
  if (math == Math::kTf32) {
    SUTURA_LAUNCH((mma_loop<true>), blocks, kThreads, 0, ctx.stream().stream(), rounds, out);
  } else {
    SUTURA_LAUNCH((mma_loop<false>), blocks, kThreads, 0, ctx.stream().stream(), rounds, out);
  }
}

double mma_loop_flops(unsigned blocks, int rounds, Math math) {
  const double one = 2.0 * 16 * 8 * (math == Math::kTf32 ? 8 : 16);
  return one * kChains * (kThreads / 32) * blocks * rounds;
}

}  // namespace sutura::SUTURA_DEVICE
