#pragma once
#include "kernels/device_ops.h"

/// What the libraries serve, behind the contracts of kernels/ops. Not here, because the library has no function with the
/// contract: group and layer normalisation, pooling by maximum (the library keeps no index of the maximum), global pooling, the
/// gradient of ReLU (what the library makes of a NaN in y is not stated), GELU, dropout, losses, optimizers.
namespace sutura::cudnn {

/// In bfloat16 the library returns the finished sums rounded to bfloat16, and the bias, rounded too, is added to them.
decltype(reference::conv2d_forward) conv2d_forward;
decltype(reference::conv2d_backward_data) conv2d_backward_data;
/// In bfloat16 the library returns the finished sums rounded to bfloat16; they are added to the float32 gradient.
decltype(reference::conv2d_backward_weights) conv2d_backward_weights;

decltype(reference::linear_forward) linear_forward;
decltype(reference::linear_backward_data) linear_backward_data;
decltype(reference::linear_backward_weights) linear_backward_weights;

decltype(reference::batch_norm_forward_train) batch_norm_forward_train;
decltype(reference::batch_norm_forward_evaluate) batch_norm_forward_evaluate;
decltype(reference::batch_norm_backward) batch_norm_backward;

decltype(reference::avg_pool_forward) avg_pool_forward;
decltype(reference::avg_pool_backward) avg_pool_backward;

decltype(reference::relu_forward) relu_forward;
decltype(reference::sigmoid_forward) sigmoid_forward;
decltype(reference::sigmoid_backward) sigmoid_backward;

/// The sum of grad_y [N, ..., C] over everything but the channels, float32 [C]; an undefined tensor where the library does not
/// serve it.
Tensor channel_sums(Context& ctx, const Tensor& grad_y);

}  // namespace sutura::cudnn
