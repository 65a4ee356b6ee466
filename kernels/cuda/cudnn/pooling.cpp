#include "kernels/cuda/cudnn/operands.h"
#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {
namespace {

using PoolingDescriptor = Descriptor<cudnnPoolingDescriptor_t, cudnnCreatePoolingDescriptor, cudnnDestroyPoolingDescriptor>;

/// The padding counts as zeros; windows beyond it do not exist, as the output's size is rounded down.
struct Average {
  Average(const Pool2dSpec& s, const Shape& x, const Shape& y, DType type) {
    check(cudnnSetPooling2dDescriptor(pooling, CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING, CUDNN_PROPAGATE_NAN,
                                      static_cast<int>(s.kernel_h), static_cast<int>(s.kernel_w), static_cast<int>(s.pad_h),
                                      static_cast<int>(s.pad_w), static_cast<int>(s.stride_h), static_cast<int>(s.stride_w)),
          "a pooling");
    describe(image, x, type);
    describe(pooled, y, type);
  }
  PoolingDescriptor pooling;
  TensorDescriptor image, pooled;
};

}  // namespace

bool avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y) {
  if (!fits(x.shape()) || !fits(y.shape())) return false;
  const Average average(spec, x.shape(), y.shape(), x.dtype());
  const Tensor from = readable(ctx, x);
  Writable to(ctx, y, Writable::Old::kOverwritten);
  if (!served(cudnnPoolingForward(Handles::of(ctx).dnn, average.pooling, &kOne, average.image, from.data(), &kZero,
                                  average.pooled, to.data()),
              "avg_pool_forward"))
    return false;
  to.finish(ctx);
  return true;
}

bool avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x) {
  if (!fits(grad_x.shape()) || !fits(grad_y.shape())) return false;
  const Average average(spec, grad_x.shape(), grad_y.shape(), grad_x.dtype());
  const Tensor incoming = readable(ctx, grad_y);
  Writable to(ctx, grad_x, Writable::Old::kOverwritten);
  // The gradient of a mean needs neither x nor y, which the library asks for all the same: zeros, so that nothing unset is read.
  const Tensor x = ctx.zeros(grad_x.shape(), grad_x.dtype());
  if (!served(cudnnPoolingBackward(Handles::of(ctx).dnn, average.pooling, &kOne, average.pooled, incoming.data(), average.pooled,
                                   incoming.data(), average.image, x.data(), &kZero, average.image, to.data()),
              "avg_pool_backward"))
    return false;
  to.finish(ctx);
  return true;
}

}  // namespace sutura::cudnn
