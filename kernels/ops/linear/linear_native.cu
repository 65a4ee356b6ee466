#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/linear/linear_impl.h"

// Calls name the device: the public functions of the same names are found through their arguments too.
// A linear layer is a pointwise convolution of 1x1 images: the same kernels, the same order of sums.
namespace sutura::SUTURA_DEVICE {
namespace {

/// [N, D] seen as [N, 1, 1, D].
Tensor as_images(const Tensor& t) { return Tensor::borrow(t).reshaped({t.shape()[0], 1, 1, t.shape()[1]}); }

}  // namespace

void linear_forward_fused(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation activation,
                          Tensor& y) {
  Tensor out = as_images(y);
  conv2d_forward_fused(ctx, Conv2dSpec{}, as_images(x), as_images(weight), {.bias = &bias, .activation = activation}, out);
}

void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  linear_forward_fused(ctx, x, weight, bias, Activation::kNone, y);
}

void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  Tensor out = as_images(grad_x);
  SUTURA_DEVICE::conv2d_backward_data(ctx, Conv2dSpec{}, as_images(grad_y), as_images(weight), out);
}

void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias) {
  Tensor out = as_images(grad_weight);
  SUTURA_DEVICE::conv2d_backward_weights(ctx, Conv2dSpec{}, as_images(x), as_images(grad_y), out, grad_bias);
}

}  // namespace sutura::SUTURA_DEVICE
