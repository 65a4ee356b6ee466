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
  return "cuDNN " + dotted(dnn / 10000, dnn / 100 % 100, dnn % 100) + ", cuBLAS " +
         dotted(blas / 10000, blas / 100 % 100, blas % 100);
}
std::string describe() { return native_table->runtime->describe() + ", " + versions(); }

std::unique_ptr<StreamAttachment> attachment(DeviceStream& stream) { return std::make_unique<Handles>(stream.stream()); }

/// An op of the table: through the libraries, or by our own kernel where they do not serve it.
template <std::size_t kOp, auto kTheirs, auto kOurs>
struct Front;
template <std::size_t kOp, class... A, bool (*kTheirs)(Context&, A...), void (*DeviceOps::*kOurs)(Context&, A...)>
struct Front<kOp, kTheirs, kOurs> {
  static void compute(Context& ctx, A... arguments) {
    const bool served = kTheirs(ctx, arguments...);
    if (!served) (own().*kOurs)(ctx, arguments...);
    Tally::Calls& calls = Handles::of(ctx).tally[kOp];
    ++(served ? calls.served : calls.ours);
  }
};

const DeviceOps& table(const DeviceOps& native) {
  native_table = &native;
  static DeviceRuntime runtime = *native.runtime;
  runtime.describe = describe;
  static DeviceOps t = native;
  t.runtime = &runtime;
  t.attachment = attachment;

#define SUTURA_FRONT(op) t.op = Front<index_of(#op), op, &DeviceOps::op>::compute;
  SUTURA_CUDNN_OPS(SUTURA_FRONT)
#undef SUTURA_FRONT
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
