#pragma once
#include "kernels/device_ops.h"

/// What the libraries serve, behind the contracts of kernels/ops. Not here, because the library has no function with the
/// contract: group and layer normalisation, pooling by maximum (the library keeps no index of the maximum), global pooling, the
/// gradient of ReLU (what the library makes of a NaN in y is not stated), GELU, dropout, losses, optimizers.
namespace sutura::cudnn {

void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
/// In bfloat16 the library returns the finished sums rounded to bfloat16; they are added to the float32 gradient.
void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias);

void linear_forward(Context& ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y);
void linear_backward_data(Context& ctx, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x);
void linear_backward_weights(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias);

void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd);
void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y);
void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta);

void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y);
void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x);

void relu_forward(Context& ctx, const Tensor& x, Tensor& y);
void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y);
void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x);

/// The sum of grad_y [N, ..., C] over everything but the channels, float32 [C]; an undefined tensor where the library does not
/// serve it.
Tensor channel_sums(Context& ctx, const Tensor& grad_y);

}  // namespace sutura::cudnn
