#include "kernels/cuda/elementwise.h"
#include "kernels/ops/dropout/dropout_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

/// One block of four words of Philox4x32-10 (core/random/philox.h), the CPU's bits.
__device__ __forceinline__ void philox(std::uint32_t (&c)[4], std::uint32_t key0, std::uint32_t key1) {
  SUTURA_UNROLL
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53u} * c[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57u} * c[2];
    c[0] = static_cast<std::uint32_t>(b >> 32) ^ c[1] ^ key0;
    c[1] = static_cast<std::uint32_t>(b);
    c[2] = static_cast<std::uint32_t>(a >> 32) ^ c[3] ^ key1;
    c[3] = static_cast<std::uint32_t>(a);
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
}

/// mask[i] = word i of the stream, as a number of [0, 1), is at least rate. The words come from memory, not from the launch: a CUDA
/// graph freezes arguments, and every step needs its own mask. `packed`: all addresses of four bytes are aligned.
/// Limit: integer instructions, about 80 for one block of four words. Shape: a thread takes a whole such block.
__global__ void __launch_bounds__(kMapThreads)
    dropout_draw_kernel(std::int64_t n, float rate, const std::int32_t* words, bool packed, std::uint8_t* mask) {
  const std::int64_t blocks = (n + 3) / 4;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  std::uint32_t origin[4];
  for (int k = 0; k < 4; ++k) origin[k] = static_cast<std::uint32_t>(words[k]);
  for (std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; b < blocks; b += stride) {
    std::uint32_t c[4] = {static_cast<std::uint32_t>(b), static_cast<std::uint32_t>(static_cast<std::uint64_t>(b) >> 32),
                          origin[2], origin[3]};
    philox(c, origin[0], origin[1]);
    Pack<std::uint8_t, 4> keep;
    SUTURA_UNROLL
    for (int k = 0; k < 4; ++k) keep.v[k] = static_cast<float>(c[k] >> 8) * 0x1p-24f >= rate ? 1 : 0;
    if (packed && 4 * b + 4 <= n) {
      store_pack(mask + 4 * b, keep);
    } else {
      for (int k = 0; k < 4 && 4 * b + k < n; ++k) mask[4 * b + k] = keep.v[k];
    }
  }
}

/// A choice, not a product: a dropped NaN must not stay.
struct Keep {
  float scale;
  __device__ float apply(float keep, float x) const { return keep != 0.0f ? x * scale : 0.0f; }
};

}  // namespace

void dropout_draw(Context& ctx, float rate, const Tensor& words, Tensor& mask) {
  const std::int64_t n = mask.elements(), work = (n + 3) / 4;
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((work + kMapThreads - 1) / kMapThreads, kMostBlocks));
  auto* to = static_cast<std::uint8_t*>(mask.data());
  SUTURA_LAUNCH(dropout_draw_kernel, blocks, kMapThreads, 0, ctx.stream().stream(), n, rate,
                static_cast<const std::int32_t*>(words.data()), reinterpret_cast<std::uintptr_t>(to) % 4 == 0, to);
}

void dropout_apply(Context& ctx, float rate, const Tensor& mask, const Tensor& x, Tensor& y) {
  with_activation_type(x.dtype(), [&]<class T>(T*) {
    map_typed(ctx, "dropout_apply", Keep{1.0f / (1.0f - rate)}, x.elements(), static_cast<T*>(y.data()),
              static_cast<const std::uint8_t*>(mask.data()), static_cast<const T*>(x.data()));
  });
}

}  // namespace sutura::SUTURA_DEVICE
