// Compiled twice: for CUDA (SUTURA_DEVICE=native) and for the host SIMT executor (SUTURA_DEVICE=simt).
#include "kernels/device_ops.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy_impl.h"
#include "kernels/ops/mean_squared_error/mean_squared_error_impl.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy_impl.h"

namespace sutura::SUTURA_DEVICE {

extern const DeviceRuntime runtime;  // kernels/cuda/runtime_cuda.cpp, tests/simt/simt_runtime.cpp

const DeviceOps& table() {
  static const DeviceOps ops = [] {
    DeviceOps t;
    t.runtime = &runtime;

    // elementwise and data movement
    t.add = add;
    t.relu_forward = relu_forward;
    t.relu_backward = relu_backward;
    t.gelu_forward = gelu_forward;
    t.gelu_backward = gelu_backward;
    t.sigmoid_forward = sigmoid_forward;
    t.sigmoid_backward = sigmoid_backward;
    t.dropout_draw = dropout_draw;
    t.dropout_apply = dropout_apply;
    t.concat_forward = concat_forward;
    t.concat_backward = concat_backward;
    t.cast = cast;
    t.int8_rows_quantise = int8_rows_quantise;
    t.int8_rows_dequantise = int8_rows_dequantise;

    // norms and pooling
    t.batch_norm_forward_train = batch_norm_forward_train;
    t.batch_norm_forward_evaluate = batch_norm_forward_evaluate;
    t.batch_norm_backward = batch_norm_backward;
    t.batch_norm_forward_train_fused = batch_norm_forward_train_fused;
    t.batch_norm_forward_evaluate_fused = batch_norm_forward_evaluate_fused;
    t.batch_norm_backward_fused = batch_norm_backward_fused;
    t.group_norm_forward = group_norm_forward;
    t.group_norm_backward = group_norm_backward;
    t.group_norm_forward_fused = group_norm_forward_fused;
    t.group_norm_backward_fused = group_norm_backward_fused;
    t.layer_norm_forward = layer_norm_forward;
    t.layer_norm_backward = layer_norm_backward;
    t.max_pool_forward = max_pool_forward;
    t.max_pool_backward = max_pool_backward;
    t.avg_pool_forward = avg_pool_forward;
    t.avg_pool_backward = avg_pool_backward;
    t.global_avg_pool_forward = global_avg_pool_forward;
    t.global_avg_pool_backward = global_avg_pool_backward;

    // matrix products
    t.linear_forward = linear_forward;
    t.linear_forward_fused = linear_forward_fused;
    t.linear_backward_data = linear_backward_data;
    t.linear_backward_weights = linear_backward_weights;
    t.conv2d_forward = conv2d_forward;
    t.conv2d_forward_fused = conv2d_forward_fused;
    t.conv2d_backward_data = conv2d_backward_data;
    t.conv2d_backward_weights = conv2d_backward_weights;

    // losses and optimizers
    t.softmax_cross_entropy = softmax_cross_entropy;
    t.binary_cross_entropy_with_logits = binary_cross_entropy_with_logits;
    t.mean_squared_error = mean_squared_error;
    t.pooled_head = pooled_head;
    t.mlp_forward = mlp_forward;
    t.mlp_backward = mlp_backward;
    t.set_device_step = set_device_step;
    t.sgd_step = sgd_step;
    t.adamw_step = adamw_step;
    t.clip_gradients = clip_gradients;
    t.refresh_working_copy = refresh_working_copy;

    // released rows
    t.quantise_rows = quantise_rows;
    t.release_rows = release_rows;
    t.dequantise_rows = dequantise_rows;
    t.clip_backward = clip_backward;

    return t;
  }();
  return ops;
}

}  // namespace sutura::SUTURA_DEVICE
