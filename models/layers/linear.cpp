#include "models/layers/linear.h"

#include "core/error.h"
#include "kernels/ops/linear/linear_fused.h"
#include "models/layers/option_reader.h"

namespace sutura {

Shape Linear::output_shape(const Shape& x) const {
  require(x.rank() == 2 && x[1] == inputs_, Errc::kShapeMismatch,
          "layer " + name() + " (linear) takes [N, " + std::to_string(inputs_) + "], got " + x.text());
  return {x[0], outputs_};
}

std::vector<ParamSpec> Linear::param_specs() const {
  std::vector<ParamSpec> specs = {{"weight", {outputs_, inputs_}, Init::kFanInUniform, inputs_}};
  if (bias_ == Bias::kAdded) specs.push_back({"bias", {outputs_}, Init::kFanInUniform, inputs_});
  return specs;
}

double Linear::flops(const Shape& x) const {
  return 2.0 * static_cast<double>(x[0]) * static_cast<double>(inputs_) * static_cast<double>(outputs_);
}

Tensor Linear::forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                             Activation activation, Tensor* statistics) const {
  if (statistics != nullptr) *statistics = Tensor();
  Tensor y = ctx.tensor({x.shape()[0], outputs_}, x.dtype());  // [N, O]
  const Tensor bias = bias_ == Bias::kAdded ? Tensor::borrow(params.values[1]) : Tensor();
  linear_forward_fused(ctx, x, params.values[0], bias, activation, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(std::move(x));
  return y;
}

Tensor Linear::do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const {
  const Tensor& x = saved.tensors.at(0);                                                  // [N, I]
  Tensor grad_weight = Tensor::borrow(params.grads[0]);                                   // [O, I]
  Tensor grad_bias = bias_ == Bias::kAdded ? Tensor::borrow(params.grads[1]) : Tensor();  // [O]
  linear_backward_weights(ctx, x, grad_y, grad_weight, grad_bias);
  if (want == InputGrad::kNotNeeded) return {};
  Tensor grad_x = ctx.tensor(x.shape(), x.dtype());  // [N, I]
  linear_backward_data(ctx, grad_y, params.values[0], grad_x);
  return grad_x;
}

LayerPtr make_linear(OptionReader& options, const Shape& x, std::int64_t task_outputs) {
  std::int64_t outputs = options.needed_integer("outputs", -1);
  if (outputs == -1) outputs = task_outputs;
  if (outputs < 1) options.fail("option 'outputs' must be at least 1, or -1 in the last linear layer of a study's network");
  const Bias bias = options.choice("bias", "true", {"true", "false"}) == "true" ? Bias::kAdded : Bias::kNone;
  if (x.rank() != 2) options.fail("takes rows [N, D], got " + x.text() + "; put a flatten or global_avg_pool before it");
  return std::make_unique<Linear>(x[1], outputs, bias);
}

}  // namespace sutura
