#pragma once
#include <memory>

#include "kernels/device_runtime.h"
#include "kernels/loss_sum.h"
#include "kernels/ops/adamw/adamw_impl.h"
#include "kernels/ops/add/add_impl.h"
#include "kernels/ops/batch_norm/batch_norm_impl.h"
#include "kernels/ops/cast/cast_impl.h"
#include "kernels/ops/clip_gradients/clip_gradients_impl.h"
#include "kernels/ops/concat/concat_impl.h"
#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/device_step/device_step_impl.h"
#include "kernels/ops/dropout/dropout_impl.h"
#include "kernels/ops/gelu/gelu_impl.h"
#include "kernels/ops/group_norm/group_norm_impl.h"
#include "kernels/ops/int8_rows/int8_rows_impl.h"
#include "kernels/ops/layer_norm/layer_norm_impl.h"
#include "kernels/ops/linear/linear_impl.h"
#include "kernels/ops/mlp/mlp_impl.h"
#include "kernels/ops/pool2d/pool2d_impl.h"
#include "kernels/ops/pooled_head/pooled_head_impl.h"
#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/relu/relu_impl.h"
#include "kernels/ops/sgd/sgd_impl.h"
#include "kernels/ops/sigmoid/sigmoid_impl.h"
#include "kernels/ops/working_copy/working_copy_impl.h"

namespace sutura {

class DeviceStream;
class StreamAttachment;

/// What a device backend computes with: one function per op, behind the same contracts as the CPU's. Arguments lie on the
/// device of the Context, work is queued on its stream and nothing is waited for. The native backend fills a table from
/// kernels/ops/*/*_native.cu (by nvcc for CUDA, by g++ for the host SIMT executor); the cudnn module takes that table and puts
/// its own functions where the library serves the op. A null entry: the op does not exist on this backend yet.
struct DeviceOps {
  const DeviceRuntime* runtime = nullptr;
  /// Made once for every stream, before work on it is recorded; nullptr: the backend keeps nothing with its streams.
  std::unique_ptr<StreamAttachment> (*attachment)(DeviceStream&) = nullptr;

  // elementwise and data movement
  decltype(&reference::add) add = nullptr;
  decltype(&reference::relu_forward) relu_forward = nullptr;
  decltype(&reference::relu_backward) relu_backward = nullptr;
  decltype(&reference::gelu_forward) gelu_forward = nullptr;
  decltype(&reference::gelu_backward) gelu_backward = nullptr;
  decltype(&reference::sigmoid_forward) sigmoid_forward = nullptr;
  decltype(&reference::sigmoid_backward) sigmoid_backward = nullptr;
  decltype(&reference::dropout_draw) dropout_draw = nullptr;
  decltype(&reference::dropout_apply) dropout_apply = nullptr;
  decltype(&reference::concat_forward) concat_forward = nullptr;
  decltype(&reference::concat_backward) concat_backward = nullptr;
  decltype(&reference::cast) cast = nullptr;
  decltype(&reference::int8_rows_quantise) int8_rows_quantise = nullptr;
  decltype(&reference::int8_rows_dequantise) int8_rows_dequantise = nullptr;

  // norms and pooling
  decltype(&reference::batch_norm_forward_train) batch_norm_forward_train = nullptr;
  decltype(&reference::batch_norm_forward_evaluate) batch_norm_forward_evaluate = nullptr;
  decltype(&reference::batch_norm_backward) batch_norm_backward = nullptr;
  decltype(&reference::batch_norm_forward_train_fused) batch_norm_forward_train_fused = nullptr;
  decltype(&reference::batch_norm_forward_evaluate_fused) batch_norm_forward_evaluate_fused = nullptr;
  decltype(&reference::batch_norm_backward_fused) batch_norm_backward_fused = nullptr;
  decltype(&reference::group_norm_forward) group_norm_forward = nullptr;
  decltype(&reference::group_norm_backward) group_norm_backward = nullptr;
  decltype(&reference::group_norm_forward_fused) group_norm_forward_fused = nullptr;
  decltype(&reference::group_norm_backward_fused) group_norm_backward_fused = nullptr;
  decltype(&reference::layer_norm_forward) layer_norm_forward = nullptr;
  decltype(&reference::layer_norm_backward) layer_norm_backward = nullptr;
  decltype(&reference::max_pool_forward) max_pool_forward = nullptr;
  decltype(&reference::max_pool_backward) max_pool_backward = nullptr;
  decltype(&reference::avg_pool_forward) avg_pool_forward = nullptr;
  decltype(&reference::avg_pool_backward) avg_pool_backward = nullptr;
  decltype(&reference::global_avg_pool_forward) global_avg_pool_forward = nullptr;
  decltype(&reference::global_avg_pool_backward) global_avg_pool_backward = nullptr;

  // matrix products
  decltype(&reference::linear_forward) linear_forward = nullptr;
  void (*linear_forward_fused)(Context&, const Tensor& x, const Tensor& weight, const Tensor& bias, Activation, Tensor& y) = nullptr;
  decltype(&reference::linear_backward_data) linear_backward_data = nullptr;
  decltype(&reference::linear_backward_weights) linear_backward_weights = nullptr;
  decltype(&reference::conv2d_forward) conv2d_forward = nullptr;
  void (*conv2d_forward_fused)(Context&, const Conv2dSpec&, const Tensor& x, const Tensor& weight, const Conv2dEpilogue&,
                               Tensor& y) = nullptr;
  decltype(&reference::conv2d_backward_data) conv2d_backward_data = nullptr;
  decltype(&reference::conv2d_backward_weights) conv2d_backward_weights = nullptr;

  // losses and optimizers
  using LossOfLabels = void(Context&, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                            std::span<const double> class_weights, LossSum& sum);
  LossOfLabels* softmax_cross_entropy = nullptr;
  LossOfLabels* binary_cross_entropy_with_logits = nullptr;
  void (*mean_squared_error)(Context&, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y, LossSum& sum) =
      nullptr;
  decltype(&sutura::pooled_head) pooled_head = nullptr;
  decltype(&sutura::mlp_forward) mlp_forward = nullptr;
  decltype(&sutura::mlp_backward) mlp_backward = nullptr;
  void (*set_device_step)(Context&, const DeviceStep::Numbers& numbers, DeviceStep& step) = nullptr;
  void (*sgd_step)(Context&, const SgdSettings&, const DeviceStep&, const Tensor& grads, StepTarget&, Tensor& velocity) = nullptr;
  void (*adamw_step)(Context&, const AdamWSettings&, const DeviceStep&, const Tensor& grads, StepTarget&, Tensor& m, Tensor& v) =
      nullptr;
  void (*clip_gradients)(Context&, double max_norm, Tensor& grads, Tensor& norm) = nullptr;
  void (*refresh_working_copy)(const Context&, const Tensor& values, WorkingCopy& copy) = nullptr;

  // released rows
  RowOps::Quantise* quantise_rows = nullptr;
  RowOps::Release* release_rows = nullptr;
  RowOps::Dequantise* dequantise_rows = nullptr;
  RowOps::ClipBackward* clip_backward = nullptr;
};

/// The table of a device backend. Errors: kDevice with one line that says why there is none (built without CUDA, no driver, no
/// cuDNN, ...).
const DeviceOps& device_ops(Backend backend);
/// From now on device_ops(backend) is `table`: for programs that bring a device of their own (the host SIMT executor).
void provide_device(Backend backend, const DeviceOps& table);

}  // namespace sutura
