#include "kernels/cuda/cudnn/convolution_plan.h"
#include "kernels/cuda/cudnn/ops.h"

namespace sutura::cudnn {
namespace {

Tensor workspace(const Context& ctx, const ConvolutionPlan& plan) {
  return ctx.tensor({static_cast<std::int64_t>(plan.workspace_bytes)}, DType::kUint8);
}

/// y += bias, in y's type.
bool add_bias(Context& ctx, const ConvolutionPlan& plan, const Tensor& bias, DType type, void* y) {
  TensorDescriptor channels;
  describe_channels(channels, bias.elements(), type);
  const Tensor b = readable_as(ctx, bias, type);
  return served(cudnnAddTensor(Handles::of(ctx).dnn, &kOne, channels, b.data(), &kOne, plan.y, y), "the bias of a convolution");
}

}  // namespace

bool conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const ConvolutionPlan& plan = convolution_plan(ctx, Direction::kForward, spec, x.shape(), weight.shape(), y.shape(), x.dtype());
  if (!plan.served) return false;
  const Tensor from = readable(ctx, x), w = readable_as(ctx, weight, x.dtype()), space = workspace(ctx, plan);
  Writable to(ctx, y, Writable::Old::kOverwritten);
  if (!served(cudnnConvolutionForward(Handles::of(ctx).dnn, &kOne, plan.x, from.data(), plan.weight, w.data(), plan.convolution,
                                      static_cast<cudnnConvolutionFwdAlgo_t>(plan.algorithm), const_cast<void*>(space.data()),
                                      plan.workspace_bytes, &kZero, plan.y, to.data()),
              "conv2d_forward"))
    return false;
  if (bias.defined() && !add_bias(ctx, plan, bias, y.dtype(), to.data())) return false;
  to.finish(ctx);
  return true;
}

bool conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const ConvolutionPlan& plan =
      convolution_plan(ctx, Direction::kBackwardData, spec, grad_x.shape(), weight.shape(), grad_y.shape(), grad_y.dtype());
  if (!plan.served) return false;
  const Tensor from = readable(ctx, grad_y), w = readable_as(ctx, weight, grad_y.dtype()), space = workspace(ctx, plan);
  Writable to(ctx, grad_x, Writable::Old::kOverwritten);
  if (!served(cudnnConvolutionBackwardData(Handles::of(ctx).dnn, &kOne, plan.weight, w.data(), plan.y, from.data(),
                                           plan.convolution, static_cast<cudnnConvolutionBwdDataAlgo_t>(plan.algorithm),
                                           const_cast<void*>(space.data()), plan.workspace_bytes, &kZero, plan.x, to.data()),
              "conv2d_backward_data"))
    return false;
  to.finish(ctx);
  return true;
}

bool conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias) {
  const ConvolutionPlan& plan =
      convolution_plan(ctx, Direction::kBackwardWeights, spec, x.shape(), grad_weight.shape(), grad_y.shape(), x.dtype());
  if (!plan.served) return false;
  Tensor bias_sums;  // [K]
  if (grad_bias.defined()) {
    bias_sums = channel_sums(ctx, grad_y);
    if (!bias_sums.defined()) return false;
  }
  const Tensor from = readable(ctx, x), incoming = readable(ctx, grad_y), space = workspace(ctx, plan);
  // Sums of this call alone: they are complete before they are added once. The library has them in the operands' type only.
  Tensor sums = ctx.tensor(grad_weight.shape(), x.dtype());  // [K, R, S, C]
  if (!served(
          cudnnConvolutionBackwardFilter(Handles::of(ctx).dnn, &kOne, plan.x, from.data(), plan.y, incoming.data(),
                                         plan.convolution, static_cast<cudnnConvolutionBwdFilterAlgo_t>(plan.algorithm),
                                         const_cast<void*>(space.data()), plan.workspace_bytes, &kZero, plan.weight, sums.data()),
          "conv2d_backward_weights"))
    return false;
  const Tensor wide = readable_as(ctx, sums, DType::kFloat32);
  own().add(ctx, grad_weight, wide, grad_weight);
  if (grad_bias.defined()) own().add(ctx, grad_bias, bias_sums, grad_bias);
  return true;
}

Tensor channel_sums(Context& ctx, const Tensor& grad_y) {
  if (!fits(grad_y.shape())) return {};
  const Shape& s = grad_y.shape();
  const std::int64_t channels = s[s.rank() - 1];
  TensorDescriptor from, to;
  describe(from, s, DType::kFloat32);
  describe_channels(to, channels, DType::kFloat32);
  const Tensor wide = readable_as(ctx, grad_y, DType::kFloat32);  // so that the sums are float32 too
  Tensor sums = ctx.tensor({channels});
  if (!served(cudnnConvolutionBackwardBias(Handles::of(ctx).dnn, &kOne, from, wide.data(), &kZero, to, sums.data()),
              "the sums of channels"))
    return {};
  return sums;
}

}  // namespace sutura::cudnn
