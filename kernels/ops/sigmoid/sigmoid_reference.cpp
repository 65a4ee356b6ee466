#include <algorithm>

#include "kernels/cpu/math.h"
#include "kernels/ops/sigmoid/sigmoid_impl.h"

namespace sutura::reference {

void sigmoid_forward(Context&, const Tensor& x, Tensor& y) {
  std::ranges::transform(x.f32(), y.f32().begin(), [](float v) { return static_cast<float>(sigmoid(v)); });
}

void sigmoid_backward(Context&, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  std::ranges::transform(y.f32(), grad_y.f32(), grad_x.f32().begin(), [](float v, float g) { return g * (v * (1.0f - v)); });
}

}  // namespace sutura::reference
