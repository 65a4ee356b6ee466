#include "models/layers/conv.h"

#include "core/error.h"
#include "kernels/ops/conv2d/conv2d_fused.h"
#include "models/layers/option_reader.h"

namespace sutura {

Shape Conv2d::output_shape(const Shape& x) const {
  require(x.rank() == 4 && x[3] == channels_, Errc::kShapeMismatch,
          "layer " + name() + " (convolution) takes [N, H, W, " + std::to_string(channels_) + "], got " + x.text());
  require(x[1] + 2 * spec_.pad_h >= spec_.kernel_h && x[2] + 2 * spec_.pad_w >= spec_.kernel_w, Errc::kShapeMismatch,
          "layer " + name() + " (convolution): the kernel is larger than its padded input " + x.text());
  return spec_.output_shape(x, filters_);
}

std::vector<ParamSpec> Conv2d::param_specs() const {
  const std::int64_t fan_in = spec_.kernel_h * spec_.kernel_w * channels_;
  std::vector<ParamSpec> specs = {{"weight", {filters_, spec_.kernel_h, spec_.kernel_w, channels_}, Init::kFanInUniform, fan_in}};
  if (bias_ == Bias::kAdded) specs.push_back({"bias", {filters_}, Init::kFanInUniform, fan_in});
  return specs;
}

double Conv2d::flops(const Shape& x) const {
  const auto taps = static_cast<double>(spec_.kernel_h * spec_.kernel_w * channels_);
  return 2.0 * static_cast<double>(output_shape(x).elements()) * taps;
}

Tensor Conv2d::forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                             Activation activation, Tensor* statistics) const {
  Tensor y = ctx.tensor(output_shape(x.shape()), x.dtype());                                             // [N, OH, OW, K]
  const Tensor bias = bias_ == Bias::kAdded ? Tensor::borrow(params.values[1]) : Tensor();  // [K]
  conv2d_forward_fused(ctx, spec_, x, params.values[0], bias, activation, statistics, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(std::move(x));
  return y;
}

Tensor Conv2d::do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const {
  const Tensor& x = saved.tensors.at(0);                                                  // [N, H, W, C]
  Tensor grad_weight = Tensor::borrow(params.grads[0]);                                   // [K, R, S, C]
  Tensor grad_bias = bias_ == Bias::kAdded ? Tensor::borrow(params.grads[1]) : Tensor();  // [K]
  conv2d_backward_weights(ctx, spec_, x, grad_y, grad_weight, grad_bias);
  if (want == InputGrad::kNotNeeded) return {};
  Tensor grad_x = ctx.tensor(x.shape(), x.dtype());  // [N, H, W, C]
  conv2d_backward_data(ctx, spec_, grad_y, params.values[0], grad_x);
  return grad_x;
}

namespace {

Bias read_bias(OptionReader& options) {
  return options.choice("bias", "true", {"true", "false"}) == "true" ? Bias::kAdded : Bias::kNone;
}

}  // namespace

LayerPtr make_conv2d(OptionReader& options, const Shape& x) {
  const std::int64_t filters = options.needed_integer("filters", 1);
  const Pair kernel = options.needed_pair("kernel", 1);
  const Pair stride = options.pair("stride", {1, 1}, 1);
  const Pair pad = options.pair("pad", {0, 0}, 0);
  const Bias bias = read_bias(options);
  if (pad[0] >= kernel[0] || pad[1] >= kernel[1]) options.fail("option 'pad' must be smaller than the kernel");
  if (x.rank() != 4) options.fail("takes images [N, H, W, C], got " + x.text());
  return std::make_unique<Conv2d>(x[3], filters, Conv2dSpec{kernel[0], kernel[1], stride[0], stride[1], pad[0], pad[1]}, bias);
}

LayerPtr make_conv1d(OptionReader& options, const Shape& x) {
  const std::int64_t filters = options.needed_integer("filters", 1);
  const std::int64_t kernel = options.needed_integer("kernel", 1);
  const std::int64_t stride = options.integer("stride", 1, 1);
  const std::int64_t pad = options.integer("pad", 0, 0);
  const Bias bias = read_bias(options);
  if (pad >= kernel) options.fail("option 'pad' must be smaller than the kernel");
  if (x.rank() != 4 || x[1] != 1) options.fail("takes signals [N, 1, L, C], got " + x.text());
  return std::make_unique<Conv2d>(x[3], filters, Conv2dSpec{1, kernel, 1, stride, 0, pad}, bias);
}

}  // namespace sutura
