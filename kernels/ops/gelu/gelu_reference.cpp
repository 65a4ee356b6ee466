#include <algorithm>

#include "kernels/cpu/math.h"
#include "kernels/ops/gelu/gelu_impl.h"

namespace sutura::reference {

namespace {

constexpr double kInverseSqrt2 = 0.70710678118654752440;
constexpr double kInverseSqrt2Pi = 0.39894228040143267794;
/// Beyond this the density is 0 in double and the distribution 0 or 1: multiplying an infinity by it would make NaN.
constexpr double kTail = 40.0;

double normal_cdf(double x) { return 0.5 * (1.0 + erf(x * kInverseSqrt2)); }

float gelu(float v) {
  const double x = v;
  if (x < -kTail) return -0.0f;
  return static_cast<float>(x * normal_cdf(x));
}

double gelu_slope(double x) {
  if (x < -kTail) return 0.0;
  if (x > kTail) return 1.0;
  return normal_cdf(x) + x * (kInverseSqrt2Pi * exp(-0.5 * x * x));
}

}  // namespace

void gelu_forward(Context&, const Tensor& x, Tensor& y) { std::ranges::transform(x.f32(), y.f32().begin(), gelu); }

void gelu_backward(Context&, const Tensor& x, const Tensor& grad_y, Tensor& grad_x) {
  std::ranges::transform(x.f32(), grad_y.f32(), grad_x.f32().begin(),
                         [](float v, float g) { return static_cast<float>(g * gelu_slope(v)); });
}

}  // namespace sutura::reference
