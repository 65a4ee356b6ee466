#include <algorithm>
#include <cstdint>

#include "kernels/context.h"
#include "kernels/cuda/chacha.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/noise_draws.h"
#include "kernels/ops/release_rows/release_rows_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;
constexpr std::int64_t kMostBlocks = 132 * 5;  // those that run at once on 132 SMs

struct Noise {
  ChaChaStream stream;
  std::uint32_t first_block;
  int skip;  ///< draws of the first block that belong to earlier elements
  int shift;
  int whole;  ///< 1: skip is 0 and `wire` is aligned for a store of eight values
};

/// The keystream of a release.
struct ReleaseKeystream {
  const ChaChaStream& stream;
  __device__ void operator()(std::uint32_t kind, std::uint32_t block, std::uint32_t (&words)[2 * kDraws]) const {
    chacha20_block(stream, stream.nonce[0] | kind, block, words);
  }
};

template <class Wire>
__device__ __forceinline__ std::int32_t to_wire(std::int32_t q, std::int32_t z, int shift) {
  constexpr std::int32_t kTop = sizeof(Wire) == 1 ? 127 : 32767;
  const std::int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
  const std::int32_t y = (q + z + half) >> shift;
  return y < kTop ? (y > -kTop - 1 ? y : -kTop - 1) : kTop;
}

/// Eight values as one store of 8 (int8) or 16 (int16) bytes.
template <class Wire>
__device__ __forceinline__ void store_eight(Wire* to, const std::int32_t (&y)[kDraws]) {
  constexpr unsigned kEach = 4 / sizeof(Wire), kBits = 8 * sizeof(Wire), kMask = (1u << kBits) - 1u;
  std::uint32_t packed[kDraws / kEach] = {};
  SUTURA_UNROLL
  for (unsigned e = 0; e < kDraws; ++e) packed[e / kEach] |= (static_cast<std::uint32_t>(y[e]) & kMask) << (e % kEach * kBits);
  if constexpr (sizeof(Wire) == 1) {
    *reinterpret_cast<uint2*>(to) = uint2{packed[0], packed[1]};
  } else {
    *reinterpret_cast<uint4*>(to) = uint4{packed[0], packed[1], packed[2], packed[3]};
  }
}

/// wire = saturate((q + z + 2^(shift-1)) >> shift). q is what quantise_kernel left in memory: the integers whose norm it checked
/// are the ones that get the noise, and the work is shared out by elements however few or long the rows are.
/// Limit: integer throughput, some 200 instructions a value (ChaCha20 1000 per block of eight, a search twelve steps of six)
/// against 5 to 6 bytes of memory. Shape: a thread makes one keystream block, eight draws, whose searches run side by side; 256
/// threads share one tree of 32 KiB, so that the four or five blocks that registers allow (62 a thread on sm_80, 48 on sm_90) fit
/// the shared memory of an SM. Blocks stay for many keystream blocks each, to load the tree rarely.
template <class Wire>
__global__ void __launch_bounds__(kThreads) noise_kernel(Noise noise, std::int64_t n, const std::int32_t* q, Wire* wire) {
  SUTURA_SHARED(std::uint64_t, tree, kTreeSize);
  for (unsigned i = threadIdx.x; i < kTreeSize; i += kThreads) tree[i] = kNoiseTree.at[i];
  block_sync();
  const ReleaseKeystream keystream{noise.stream};
  const std::int64_t blocks = (n + noise.skip + kDraws - 1) / kDraws;
  for (std::int64_t b = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x; b < blocks;
       b += static_cast<std::int64_t>(gridDim.x) * kThreads) {
    std::int32_t z[kDraws];
    noise_draws(keystream, noise.first_block + static_cast<std::uint32_t>(b), tree, z);
    const std::int64_t first = b * kDraws - noise.skip;
    if (noise.whole != 0 && first + kDraws <= n) {
      const int4 low = reinterpret_cast<const int4*>(q + first)[0], high = reinterpret_cast<const int4*>(q + first)[1];
      const std::int32_t eight[kDraws] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      SUTURA_UNROLL
      for (int e = 0; e < kDraws; ++e) z[e] = to_wire<Wire>(eight[e], z[e], noise.shift);
      store_eight(wire + first, z);
    } else {
      SUTURA_UNROLL
      for (int e = 0; e < kDraws; ++e)
        if (first + e >= 0 && first + e < n) wire[first + e] = static_cast<Wire>(to_wire<Wire>(q[first + e], z[e], noise.shift));
    }
  }
}

template <class Wire>
void add_noise(Context& ctx, Noise noise, const Tensor& q, Tensor& wire) {
  auto* to = static_cast<Wire*>(wire.data());
  noise.whole = noise.skip == 0 && reinterpret_cast<std::uintptr_t>(to) % (kDraws * sizeof(Wire)) == 0;
  const std::int64_t draws = (q.elements() + noise.skip + kDraws - 1) / kDraws;
  const auto grid = static_cast<unsigned>(std::min((draws + kThreads - 1) / kThreads, kMostBlocks));
  SUTURA_LAUNCH(noise_kernel<Wire>, grid, kThreads, 0, ctx.stream().stream(), noise, q.elements(),
                static_cast<const std::int32_t*>(q.data()), to);
}

/// Workspace whose values are overwritten before its memory serves others, also when a launch fails.
class Wiped {
 public:
  Wiped(Context& ctx, const Shape& shape, DType dtype) : ctx_(ctx), tensor_(ctx.tensor(shape, dtype)) {}
  ~Wiped() {
    try {
      ctx_.fill_zero(tensor_);
    } catch (const Error&) {  // the device takes no more work: nothing can run on that memory either
    }
  }
  Wiped(const Wiped&) = delete;
  Wiped& operator=(const Wiped&) = delete;
  Tensor& tensor() { return tensor_; }

 private:
  Context& ctx_;
  Tensor tensor_;
};

}  // namespace

void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire) {
  Noise noise{};
  std::copy(key.words().begin(), key.words().end(), noise.stream.key);
  noise.stream.nonce[0] = nonce.kind;
  noise.stream.nonce[1] = static_cast<std::uint32_t>(nonce.step);
  noise.stream.nonce[2] = static_cast<std::uint32_t>(nonce.step >> 32);
  noise.first_block = static_cast<std::uint32_t>(first_element / kWordsPerBlock);
  noise.skip = static_cast<int>(first_element % kWordsPerBlock);
  noise.shift = settings.shift;

  Wiped q(ctx, rows.shape(), DType::kInt32);
  SUTURA_DEVICE::quantise_rows(ctx, settings, rows, q.tensor());
  if (settings.wire == DType::kInt8) {
    add_noise<std::int8_t>(ctx, noise, q.tensor(), wire);
  } else {
    add_noise<std::int16_t>(ctx, noise, q.tensor(), wire);
  }
  wipe(std::as_writable_bytes(std::span(&noise, 1)));
}

}  // namespace sutura::SUTURA_DEVICE
