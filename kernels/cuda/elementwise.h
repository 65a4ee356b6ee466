#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/tensor.h"

/// Element by element kernels for .cu files. Everything here is compiled once per device build, in that build's namespace.
namespace sutura::SUTURA_DEVICE {

__device__ __forceinline__ float load_value(float v) { return v; }
__device__ __forceinline__ float load_value(bf16 v) { return to_float(v); }
template <class T>
__device__ __forceinline__ T store_value(float v) {
  if constexpr (sizeof(T) == 2) {
    return to_bf16(v);
  } else {
    return v;
  }
}

/// T once per operand of a pack.
template <class T, class>
struct Each {
  using type = T;
};

/// y[i] = F::apply(x[i]...). At the memory roofline: 16 bytes a thread and operand where all pointers allow it would be the next
/// step; consecutive threads take consecutive elements, so every access is a full line already.
template <class F, class T, class... X>
__global__ void map_kernel(std::int64_t n, T* y, const X*... x) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  for (std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < n; i += stride)
    y[i] = store_value<T>(F::apply(load_value(x[i])...));
}

/// Launches map_kernel for tensors of one type, float32 or bfloat16; y may alias an operand.
template <class F, class... X>
void map(Context& ctx, const char* name, Tensor& y, const X&... x) {
  constexpr unsigned kThreads = 256, kMostBlocks = 132 * 16;
  const std::int64_t n = y.elements();
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((n + kThreads - 1) / kThreads, kMostBlocks));
  const Stream stream = ctx.stream().stream();
  if (y.dtype() == DType::kBfloat16) {
    launch(name, map_kernel<F, bf16, typename Each<bf16, X>::type...>, blocks, kThreads, 0, stream, n, static_cast<bf16*>(y.data()),
           static_cast<const bf16*>(x.data())...);
  } else {
    launch(name, map_kernel<F, float, typename Each<float, X>::type...>, blocks, kThreads, 0, stream, n, static_cast<float*>(y.data()),
           static_cast<const float*>(x.data())...);
  }
}

}  // namespace sutura::SUTURA_DEVICE
