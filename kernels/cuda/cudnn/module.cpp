// The one entry of lib/sutura_cudnn.so: our own table, with the libraries' functions where they serve an op.
#include "kernels/cuda/cudnn/handles.h"
#include "kernels/cuda/cudnn/ops.h"
#include "kernels/cudnn_module.h"

namespace sutura::cudnn {
namespace {

const DeviceOps* native_table = nullptr;

std::string dotted(std::size_t major, std::size_t minor, std::size_t patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}
std::string versions() {
  const std::size_t dnn = cudnnGetVersion(), blas = cublasLtGetVersion();
  return "cuDNN " + dotted(dnn / 10000, dnn / 100 % 100, dnn % 100) + ", cuBLAS " + dotted(blas / 10000, blas / 100 % 100, blas % 100);
}
std::string describe() { return native_table->runtime->describe() + ", " + versions(); }

std::unique_ptr<StreamAttachment> attachment(DeviceStream& stream) { return std::make_unique<Handles>(stream.stream()); }

const DeviceOps& table(const DeviceOps& native) {
  native_table = &native;
  static DeviceRuntime runtime = *native.runtime;
  runtime.describe = describe;
  static DeviceOps t = native;
  t.runtime = &runtime;
  t.attachment = attachment;

  t.relu_forward = relu_forward;
  t.sigmoid_forward = sigmoid_forward;
  t.sigmoid_backward = sigmoid_backward;
  t.batch_norm_forward_train = batch_norm_forward_train;
  t.batch_norm_forward_evaluate = batch_norm_forward_evaluate;
  t.batch_norm_backward = batch_norm_backward;
  t.avg_pool_forward = avg_pool_forward;
  t.avg_pool_backward = avg_pool_backward;
  t.linear_forward = linear_forward;
  t.linear_backward_data = linear_backward_data;
  t.linear_backward_weights = linear_backward_weights;
  t.conv2d_forward = conv2d_forward;
  t.conv2d_backward_data = conv2d_backward_data;
  t.conv2d_backward_weights = conv2d_backward_weights;
  // What is fused with a product of ours would keep the library's from being used.
  t.linear_forward_fused = nullptr;
  t.conv2d_forward_fused = nullptr;
  return t;
}

}  // namespace

const DeviceOps& own() { return *native_table; }

}  // namespace sutura::cudnn

extern "C" __attribute__((visibility("default"))) const sutura::CudnnModule* sutura_cudnn_module() {
  static const sutura::CudnnModule module{sutura::module_layout(), sutura::cudnn::versions, sutura::cudnn::table};
  return &module;
}
