#include "kernels/cuda/elementwise.h"
#include "kernels/ops/relu/relu_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

struct Relu {
  __device__ static float apply(float x) { return x > 0.0f || x != x ? x : 0.0f; }
};
struct ReluGradient {
  __device__ static float apply(float y, float grad_y) { return y > 0.0f ? grad_y : 0.0f; }
};

}  // namespace

void relu_forward(Context& ctx, const Tensor& x, Tensor& y) { map<Relu>(ctx, "relu_forward", y, x); }
void relu_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  map<ReluGradient>(ctx, "relu_backward", grad_x, y, grad_y);
}

}  // namespace sutura::SUTURA_DEVICE
