#include <cmath>

#include "kernels/cuda/elementwise.h"
#include "kernels/ops/sigmoid/sigmoid_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

struct Sigmoid {
  /// exp of a number that is never positive: it cannot overflow.
  __device__ static float apply(float x) {
    const float e = expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
  }
};
struct SigmoidGradient {
  __device__ static float apply(float y, float grad_y) { return grad_y * (y * (1.0f - y)); }
};

}  // namespace

void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y) { map<Sigmoid>(ctx, "sigmoid_forward", y, x); }
void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  map<SigmoidGradient>(ctx, "sigmoid_backward", grad_x, y, grad_y);
}

}  // namespace sutura::SUTURA_DEVICE
