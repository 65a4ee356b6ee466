#pragma once
#include "kernels/cuda/gemm/plan.h"

namespace sutura::SUTURA_DEVICE::gemm {

/// to[i] = from[i] as T, only where nobody keeps the copy up to date: see Tensor::half().
/// Limit: memory. Shape: a thread an element, neighbours side by side; it is no part of a step.
template <class T>
__global__ void convert_kernel(std::int64_t n, const float* from, T* to) {
  const std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < n) to[i] = store_value<T>(from[i]);
}

/// Float32 weights as an operand of type T, 16-byte aligned: the tensor itself, its bf16 copy, or a workspace that this owns
/// until the product is queued.
template <class T>
class Weights {
 public:
  Weights(Context& ctx, const Tensor& weight) {
    const auto* values = static_cast<const float*>(weight.data());
    if constexpr (sizeof(T) == sizeof(float)) {
      if (is_aligned(values)) data_ = values;
    } else {
      data_ = weight.half();
    }
    if (data_ != nullptr) return;
    workspace_ = ctx.tensor(weight.shape(), sizeof(T) == sizeof(float) ? DType::kFloat32 : DType::kBfloat16);
    auto* to = static_cast<T*>(workspace_.data());
    constexpr unsigned kThreads = 256;
    const std::int64_t n = weight.elements();
    SUTURA_LAUNCH(convert_kernel<T>, static_cast<unsigned>(ceil_div(n, kThreads)), kThreads, 0, ctx.stream().stream(), n, values,
                  to);
    data_ = to;
  }
  const T* data() const { return data_; }

 private:
  const T* data_ = nullptr;
  Tensor workspace_;
};

}  // namespace sutura::SUTURA_DEVICE::gemm
