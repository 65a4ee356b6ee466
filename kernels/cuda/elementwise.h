#pragma once
#include <algorithm>
#include <cstdint>
#include <initializer_list>

#include "kernels/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/tensor.h"

/// Element by element kernels for .cu files, and the 16-byte accesses that all kernels at the memory roofline use. Everything
/// here is compiled once per device build, in that build's namespace.
namespace sutura::SUTURA_DEVICE {

__device__ __forceinline__ float load_value(float v) { return v; }
__device__ __forceinline__ float load_value(bf16 v) { return to_float(v); }
__device__ __forceinline__ float load_value(std::uint8_t v) { return static_cast<float>(v); }
template <class T>
__device__ __forceinline__ T store_value(float v) {
  if constexpr (sizeof(T) == 2) {
    return to_bf16(v);
  } else {
    return v;
  }
}

/// kCount values of T that one thread moves at once: one access of up to 16 bytes, more in 16-byte pieces.
template <class T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Pack {
  T v[kCount];
};
template <int kCount, class T>
__device__ __forceinline__ Pack<T, kCount> load_pack(const T* p) {
  return *reinterpret_cast<const Pack<T, kCount>*>(p);
}
template <class T, int kCount>
__device__ __forceinline__ void store_pack(T* p, const Pack<T, kCount>& pack) {
  *reinterpret_cast<Pack<T, kCount>*>(p) = pack;
}
/// Elements of T in 16 bytes.
template <class T>
inline constexpr int kPackOf = 16 / static_cast<int>(sizeof(T));

/// True where every address may be accessed in 16-byte pieces; nullptr counts as one.
inline bool aligned_16(std::initializer_list<const void*> addresses) {
  return std::ranges::all_of(addresses, [](const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; });
}

/// Enough blocks to fill the largest GPU (132 SMs of 2048 threads); a kernel strides over what remains. A constant, not the
/// device's own count, so that no result can depend on the device.
inline constexpr std::int64_t kMostBlocks = 132 * 8;
inline constexpr unsigned kMapThreads = 256;

/// y[i] = f.apply(x[i]...). `packs` pieces go by vector, the rest (all, where an address is unaligned) one by one. y may be an
/// operand: a thread reads what it overwrites before it writes.
/// Limit: memory. Shape: each thread moves 16 bytes of y at a time and the same elements of every operand, consecutive threads
/// consecutive pieces. 256 threads: eight blocks fill an SM, so the loads of one block hide behind the others'.
template <class F, class Y, class... X>
__global__ void __launch_bounds__(kMapThreads) map_kernel(F f, std::int64_t n, std::int64_t packs, Y* y, const X*... x) {
  constexpr int kCount = kPackOf<Y>;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  const auto piece = [&](Y* to, const Pack<X, kCount>&... from) {
    Pack<Y, kCount> out;
    SUTURA_UNROLL
    for (int k = 0; k < kCount; ++k) out.v[k] = store_value<Y>(f.apply(load_value(from.v[k])...));
    store_pack(to, out);
  };
  for (std::int64_t i = first; i < packs; i += stride) piece(y + i * kCount, load_pack<kCount>(x + i * kCount)...);
  for (std::int64_t i = packs * kCount + first; i < n; i += stride) y[i] = store_value<Y>(f.apply(load_value(x[i])...));
}

/// Launches map_kernel for these element types.
template <class Y, class... X, class F>
void map_typed(Context& ctx, const char* name, const F& f, std::int64_t n, Y* y, const X*... x) {
  const std::int64_t packs = aligned_16({y, x...}) ? n / kPackOf<Y> : 0;
  const std::int64_t work = std::max(packs, n - packs * kPackOf<Y>);
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((work + kMapThreads - 1) / kMapThreads, kMostBlocks));
  launch(name, map_kernel<F, Y, X...>, blocks, kMapThreads, 0, ctx.stream().stream(), f, n, packs, y, x...);
}

/// Calls f(T*) with the element type of an activation, float32 or bfloat16.
template <class Function>
void with_activation_type(DType dtype, Function f) {
  if (dtype == DType::kBfloat16) {
    f(static_cast<bf16*>(nullptr));
  } else {
    f(static_cast<float*>(nullptr));
  }
}

/// T once per operand of a pack.
template <class T, class>
struct Each {
  using type = T;
};

/// y[i] = F::apply(x[i]...) for tensors of one type, float32 or bfloat16; y may alias an operand.
template <class F, class... X>
void map(Context& ctx, const char* name, Tensor& y, const X&... x) {
  with_activation_type(y.dtype(), [&]<class T>(T*) {
    map_typed<T, typename Each<T, X>::type...>(ctx, name, F{}, y.elements(), static_cast<T*>(y.data()),
                                               static_cast<const T*>(x.data())...);
  });
}

}  // namespace sutura::SUTURA_DEVICE
