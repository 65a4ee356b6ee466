#pragma once
#include "kernels/cuda/elementwise.h"
#include "kernels/ops/norm_tail.h"

namespace sutura::SUTURA_DEVICE {

/// A NormTail in a kernel: applied to V values on their way to y.
template <class T>
struct Tail {
  const T* residual;
  Activation activation;

  template <int V>
  __device__ __forceinline__ void store(float (&v)[V], T* y, std::int64_t at) const {
    if (residual != nullptr) {
      const auto r = load_pack<V>(residual + at);
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) v[k] += load_value(r.v[k]);
    }
    Pack<T, V> out;
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) {
      // The comparison is false for NaN, which therefore passes.
      if (activation == Activation::kRelu) v[k] = v[k] <= 0.0f ? 0.0f : v[k];
      out.v[k] = store_value<T>(v[k]);
    }
    store_pack(y + at, out);
  }
};

template <class T>
Tail<T> tail_of(const NormTail& tail) {
  return {tail.residual == nullptr ? nullptr : static_cast<const T*>(tail.residual->data()), tail.activation};
}
inline const void* residual_address(const NormTail& tail) { return tail.residual == nullptr ? nullptr : tail.residual->data(); }

/// The addresses of a NormTailGradient, or nullptr.
template <class T>
const T* output_of(const NormTailGradient& tail) {
  return tail.y == nullptr ? nullptr : static_cast<const T*>(tail.y->data());
}
template <class T>
T* grad_residual_of(const NormTailGradient& tail) {
  return tail.grad_residual == nullptr ? nullptr : static_cast<T*>(tail.grad_residual->data());
}

template <class T, int V>
__device__ __forceinline__ void store_values(T* to, const float (&v)[V]) {
  Pack<T, V> out;
  SUTURA_UNROLL
  for (int k = 0; k < V; ++k) out.v[k] = store_value<T>(v[k]);
  store_pack(to, out);
}

}  // namespace sutura::SUTURA_DEVICE
