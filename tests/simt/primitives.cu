// Limit of all of these: latency. One block of two warps, so that a mistake between warps shows.
#include "tests/simt/primitives.h"

#include "kernels/cuda/launch.h"

namespace sutura::SUTURA_DEVICE {

namespace {

using testing::kPrimitiveThreads;
using testing::kWords;
using testing::Primitive;

__device__ __forceinline__ float as_float(std::uint32_t v) {
  float f;
  memcpy(&f, &v, sizeof f);
  return f;
}
__device__ __forceinline__ std::uint32_t as_bits(float f) {
  std::uint32_t v;
  memcpy(&v, &f, sizeof v);
  return v;
}
__device__ __forceinline__ double as_double(const std::uint32_t* words) {
  double d;
  memcpy(&d, words, sizeof d);
  return d;
}
__device__ __forceinline__ void put(std::uint32_t* words, double d) { memcpy(words, &d, sizeof d); }

template <Primitive kPrimitive>
__device__ void warp_exchange(const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  if constexpr (kPrimitive == Primitive::kShuffle) y[0] = warp_shuffle(x[0], x[1]);
  if constexpr (kPrimitive == Primitive::kShuffleXor)
    for (unsigned i = 0; i < 5; ++i) y[i] = warp_shuffle_xor(x[0], 1u << i);
  if constexpr (kPrimitive == Primitive::kShuffleDown)
    for (unsigned i = 0; i < 5; ++i) y[i] = warp_shuffle_down(x[0], 1u << i);
  if constexpr (kPrimitive == Primitive::kShuffleWide) put(y, warp_shuffle(as_double(x), x[2]));
  if constexpr (kPrimitive == Primitive::kBallot) y[0] = warp_ballot(x[0] != 0);
}

template <Primitive kPrimitive>
__device__ void through_shared(const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  SUTURA_SHARED(std::uint32_t, shared, kPrimitiveThreads);
  const unsigned thread = threadIdx.x;
  if constexpr (kPrimitive == Primitive::kWarpSync) {
    shared[thread] = x[0];
    warp_sync();
    y[0] = shared[thread ^ 1];
  }
  if constexpr (kPrimitive == Primitive::kBlockSync) {
    shared[thread] = x[0];
    block_sync();
    y[0] = shared[kPrimitiveThreads - 1 - thread];
  }
  if constexpr (kPrimitive == Primitive::kBlockAny) {
    y[0] = block_any(x[0] != 0);
    y[1] = block_any(x[1] != 0);
    y[2] = block_any(x[2] != 0);
  }
  if constexpr (kPrimitive == Primitive::kAtomicAdd || kPrimitive == Primitive::kAtomicOr) {
    shared[thread] = 0;
    block_sync();
    y[0] = kPrimitive == Primitive::kAtomicAdd ? atomic_add(&shared[0], x[0]) : atomic_or(&shared[0], x[0]);
    block_sync();
    y[1] = shared[0];
  }
}

/// x[0]: whether the copy is valid; x[4 ...]: what it copies.
__device__ void copy(const std::uint32_t* in, const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  SUTURA_SHARED(uint4, shared, kPrimitiveThreads);
  const auto* words = reinterpret_cast<const std::uint32_t*>(shared);
  const unsigned thread = threadIdx.x, other = kPrimitiveThreads - 1 - thread;
  copy_async_16(&shared[thread], in + thread * kWords + 4, x[0] != 0);
  copy_async_commit();
  copy_async_commit();  // an empty group: the wait for one pending still covers the first
  copy_async_wait<1>();
  block_sync();
  for (unsigned i = 0; i < 4; ++i) y[i] = words[4 * other + i];
}

/// x[0 ... 3]: the 16 bytes of the row that the thread writes; x[4]: the row that it names.
template <Primitive kPrimitive>
__device__ void matrix(const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  SUTURA_SHARED(uint4, rows, kPrimitiveThreads);
  rows[threadIdx.x] = {x[0], x[1], x[2], x[3]};
  block_sync();
  std::uint32_t r[4];
  if constexpr (kPrimitive == Primitive::kLoadMatrix) load_matrix_x4(r, &rows[x[4]]);
  if constexpr (kPrimitive == Primitive::kLoadMatrixTransposed) load_matrix_x4_transposed(r, &rows[x[4]]);
  for (unsigned i = 0; i < 4; ++i) y[i] = r[i];
}

/// x[0 ... 3]: a, x[4], x[5]: b, x[8 ... 11]: d.
template <Primitive kPrimitive>
__device__ void product(const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  const std::uint32_t a[4] = {x[0], x[1], x[2], x[3]}, b[2] = {x[4], x[5]};
  float d[4];
  for (unsigned i = 0; i < 4; ++i) d[i] = as_float(x[8 + i]);
  if constexpr (kPrimitive == Primitive::kMmaBf16) mma_bf16(d, a, b);
  if constexpr (kPrimitive == Primitive::kMmaTf32) mma_tf32(d, a, b);
  for (unsigned i = 0; i < 4; ++i) y[i] = as_bits(d[i]);
}

template <Primitive kPrimitive>
__device__ void arithmetic(const std::uint32_t (&x)[kWords], std::uint32_t (&y)[kWords]) {
  if constexpr (kPrimitive == Primitive::kToTf32) y[0] = to_tf32(as_float(x[0]));
  if constexpr (kPrimitive == Primitive::kExactDouble) {
    const double a = as_double(x), b = as_double(x + 2);
    put(y, exact_mul(a, b));
    put(y + 2, exact_add(a, b));
    put(y + 4, exact_div(a, b));
    put(y + 6, exact_sqrt(a));
    put(y + 8, exact_add(exact_mul(a, b), a));
  }
  if constexpr (kPrimitive == Primitive::kExactFloat) {
    const float a = as_float(x[0]), b = as_float(x[1]);
    y[0] = as_bits(exact_mul(a, b));
    y[1] = as_bits(exact_add(a, b));
    y[2] = as_bits(exact_add(exact_mul(a, b), a));
  }
  if constexpr (kPrimitive == Primitive::kFused)
    y[0] = as_bits(fused_multiply_add(as_float(x[0]), as_float(x[1]), as_float(x[2])));
  if constexpr (kPrimitive == Primitive::kCountOnes) y[0] = count_ones(x[0]);
  if constexpr (kPrimitive == Primitive::kRotateLeft) y[0] = rotate_left(x[0], x[1]);
}

template <Primitive kPrimitive>
__global__ void primitive_kernel(const std::uint32_t* in, std::uint32_t* out) {
  std::uint32_t x[kWords], y[kWords] = {};
  for (unsigned i = 0; i < kWords; ++i) x[i] = in[threadIdx.x * kWords + i];
  constexpr bool kMatrix = kPrimitive == Primitive::kLoadMatrix || kPrimitive == Primitive::kLoadMatrixTransposed;
  if constexpr (kPrimitive <= Primitive::kBallot) warp_exchange<kPrimitive>(x, y);
  if constexpr (kPrimitive >= Primitive::kWarpSync && kPrimitive <= Primitive::kAtomicOr) through_shared<kPrimitive>(x, y);
  if constexpr (kPrimitive == Primitive::kCopy) copy(in, x, y);
  if constexpr (kMatrix) matrix<kPrimitive>(x, y);
  if constexpr (kPrimitive == Primitive::kMmaBf16 || kPrimitive == Primitive::kMmaTf32) product<kPrimitive>(x, y);
  if constexpr (kPrimitive >= Primitive::kToTf32) arithmetic<kPrimitive>(x, y);
  for (unsigned i = 0; i < kWords; ++i) out[threadIdx.x * kWords + i] = y[i];
}

}  // namespace

void apply(Primitive primitive, const std::uint32_t* in, std::uint32_t* out, Stream stream) {
  switch (primitive) {
#define SUTURA_CASE(name) \
  case Primitive::name: return SUTURA_LAUNCH((primitive_kernel<Primitive::name>), dim3(1), kPrimitiveThreads, 0, stream, in, out);
    SUTURA_PRIMITIVES(SUTURA_CASE)
#undef SUTURA_CASE
  }
}

}  // namespace sutura::SUTURA_DEVICE
