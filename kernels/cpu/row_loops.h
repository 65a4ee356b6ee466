#pragma once
#include <omp.h>

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/dtype.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/onednn_engine.h"

/// What the onednn backend's own loops share: element conversion that vectorises, and static division over threads.
namespace sutura::onednn {

SUTURA_INLINE float load(float v) { return v; }
SUTURA_INLINE float load(bf16 v) { return std::bit_cast<float>(static_cast<std::uint32_t>(v.bits) << 16); }

template <class T>
SUTURA_INLINE T rounded(float v);
template <>
SUTURA_INLINE float rounded<float>(float v) {
  return v;
}
/// The bits of sutura::to_bf16, without its branch.
template <>
SUTURA_INLINE bf16 rounded<bf16>(float v) {
  const auto u = std::bit_cast<std::uint32_t>(v);
  const std::uint32_t even = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  const std::uint32_t quiet = (u >> 16) | 0x40u;
  return {static_cast<std::uint16_t>((u & 0x7fffffffu) > 0x7f800000u ? quiet : even)};
}

/// yes ? a : b on the stored bits; a struct would keep the loop from vectorising.
SUTURA_INLINE float pick(bool yes, float a, float b) { return yes ? a : b; }
SUTURA_INLINE bf16 pick(bool yes, bf16 a, bf16 b) { return {yes ? a.bits : b.bits}; }

/// Calls f(T*) with a null pointer of the C++ type behind `type`: float or bf16.
template <class F>
void with_element(DType type, F f) {
  if (type == DType::kBfloat16) return f(static_cast<bf16*>(nullptr));
  f(static_cast<float*>(nullptr));
}

/// Values per thread below which starting a second thread costs more than it saves.
constexpr std::int64_t kParallelGrain = 16 * 1024;

/// body(i, worker) for i in [0, n), contiguous runs per thread; `worker` < engine.threads. `cost` is values per i.
/// The division never decides a sum: bodies write to places of their own.
template <class F>
void parallel_for(const Engine& engine, std::int64_t n, std::int64_t cost, F body) {
  const std::int64_t useful = std::max<std::int64_t>(1, n * std::max<std::int64_t>(cost, 1) / kParallelGrain);
  const int threads = static_cast<int>(std::min<std::int64_t>({engine.threads, n, useful}));
  if (threads <= 1) {
    for (std::int64_t i = 0; i < n; ++i) body(i, 0);
    return;
  }
#pragma omp parallel for schedule(static) num_threads(threads)
  for (std::int64_t i = 0; i < n; ++i) body(i, omp_get_thread_num());
}

/// Kernel::run(count, scalars, pointers...) over n values in blocks, in parallel where that pays.
template <class Kernel, class Scalars, class... T>
void elementwise(const Engine& engine, std::int64_t n, Scalars scalars, T*... pointers) {
  constexpr std::int64_t kBlock = 8 * 1024;
  parallel_for(engine, (n + kBlock - 1) / kBlock, kBlock, [&](std::int64_t block, int) {
    const std::int64_t begin = block * kBlock;
    dispatch<Kernel>(engine.isa, std::min(kBlock, n - begin), scalars, (pointers + begin)...);
  });
}
struct NoScalars {};

template <class T>
const T* values(const Tensor& t) {
  return static_cast<const T*>(t.data());
}
template <class T>
T* values(Tensor& t) {
  return static_cast<T*>(t.data());
}

}  // namespace sutura::onednn
