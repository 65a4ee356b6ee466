#include <algorithm>

#include "kernels/ops/relu/relu_impl.h"

namespace sutura::reference {

void relu_forward(Context&, const Tensor& x, Tensor& y) {
  // The comparison is false for NaN, which therefore passes.
  std::ranges::transform(x.f32(), y.f32().begin(), [](float v) { return v <= 0.0f ? 0.0f : v; });
}

void relu_backward(Context&, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  std::ranges::transform(y.f32(), grad_y.f32(), grad_x.f32().begin(), [](float v, float g) { return v > 0.0f ? g : 0.0f; });
}

}  // namespace sutura::reference
