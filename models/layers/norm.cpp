#include "models/layers/norm.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "models/layers/option_reader.h"

namespace sutura {
namespace {

constexpr double kNormFlops = 8.0;  // per value: mean 1, variance 3, normalise 2, scale and shift 2

Shape checked(const Layer& layer, const char* kind, const Shape& x, std::int64_t channels) {
  require(x.rank() >= 2 && x[x.rank() - 1] == channels, Errc::kShapeMismatch,
          "layer " + layer.name() + " (" + kind + ") takes [N, ..., " + std::to_string(channels) + "], got " + x.text());
  return x;
}

std::vector<ParamSpec> scale_and_shift(std::int64_t channels) {
  return {{"weight", {channels}, Init::kOnes}, {"bias", {channels}, Init::kZeros}};
}

std::int64_t last_dimension(const OptionReader& options, const Shape& x) {
  if (x.rank() < 2) options.fail("takes [N, ..., C], got " + x.text());
  return x[x.rank() - 1];
}

}  // namespace

GroupNorm::GroupNorm(std::int64_t groups, std::int64_t channels, float eps) : groups_(groups), channels_(channels), eps_(eps) {
  require(groups >= 1 && channels % groups == 0, Errc::kInvalidArgument,
          std::to_string(groups) + " groups do not divide " + std::to_string(channels) + " channels");
}

Shape GroupNorm::output_shape(const Shape& x) const { return checked(*this, "group norm", x, channels_); }
std::vector<ParamSpec> GroupNorm::param_specs() const { return scale_and_shift(channels_); }
double GroupNorm::flops(const Shape& x) const { return kNormFlops * static_cast<double>(x.elements()); }

Tensor GroupNorm::forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                                const NormTail& tail, const Tensor&) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());        // [N, ..., C]
  Tensor mean = ctx.tensor({x.shape()[0], groups_});  // [N, G]
  Tensor rstd = ctx.tensor({x.shape()[0], groups_});  // [N, G]
  group_norm_forward_fused(ctx, groups_, eps_, x, params.values[0], params.values[1], tail, y, mean, rstd);
  if (pass.mode == Mode::kTrain) {
    saved.tensors.push_back(std::move(x));
    saved.tensors.push_back(std::move(mean));
    saved.tensors.push_back(std::move(rstd));
  }
  return y;
}

Tensor GroupNorm::backward_fused(Context& ctx, const ParamView& params, const Saved& saved, const Tensor& grad_y,
                                 const NormTailGradient& tail) const {
  const Tensor& x = saved.tensors.at(0);  // [N, ..., C]
  Tensor grad_x = ctx.tensor(x.shape(), x.dtype());    // [N, ..., C]
  Tensor grad_gamma = Tensor::borrow(params.grads[0]);
  Tensor grad_beta = Tensor::borrow(params.grads[1]);
  group_norm_backward_fused(ctx, groups_, x, grad_y, params.values[0], saved.tensors.at(1), saved.tensors.at(2), tail, grad_x,
                            grad_gamma, grad_beta);
  return grad_x;
}

Shape LayerNorm::output_shape(const Shape& x) const { return checked(*this, "layer norm", x, channels_); }
std::vector<ParamSpec> LayerNorm::param_specs() const { return scale_and_shift(channels_); }
double LayerNorm::flops(const Shape& x) const { return kNormFlops * static_cast<double>(x.elements()); }

Tensor LayerNorm::do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());           // [..., C]
  Tensor mean = ctx.tensor({x.elements() / channels_});  // [rows]
  Tensor rstd = ctx.tensor({x.elements() / channels_});  // [rows]
  layer_norm_forward(ctx, eps_, x, params.values[0], params.values[1], y, mean, rstd);
  if (pass.mode == Mode::kTrain) {
    saved.tensors.push_back(std::move(x));
    saved.tensors.push_back(std::move(mean));
    saved.tensors.push_back(std::move(rstd));
  }
  return y;
}

Tensor LayerNorm::do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad) const {
  const Tensor& x = saved.tensors.at(0);  // [..., C]
  Tensor grad_x = ctx.tensor(x.shape(), x.dtype());    // [..., C]
  Tensor grad_gamma = Tensor::borrow(params.grads[0]);
  Tensor grad_beta = Tensor::borrow(params.grads[1]);
  layer_norm_backward(ctx, x, grad_y, params.values[0], saved.tensors.at(1), saved.tensors.at(2), grad_x, grad_gamma, grad_beta);
  return grad_x;
}

Shape BatchNorm::output_shape(const Shape& x) const { return checked(*this, "batch norm", x, channels_); }
double BatchNorm::flops(const Shape& x) const { return kNormFlops * static_cast<double>(x.elements()); }

std::vector<ParamSpec> BatchNorm::param_specs() const {
  std::vector<ParamSpec> specs = scale_and_shift(channels_);
  specs.push_back({"running_mean", {channels_}, Init::kZeros, 0, ParamRole::kStatistic});
  specs.push_back({"running_var", {channels_}, Init::kOnes, 0, ParamRole::kStatistic});
  return specs;
}

Tensor BatchNorm::forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                                const NormTail& tail, const Tensor& partials) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());                          // [N, ..., C]
  Tensor running_mean = Tensor::borrow(params.values[2]);  // [C]
  Tensor running_var = Tensor::borrow(params.values[3]);   // [C]
  if (pass.mode == Mode::kEvaluate) {
    batch_norm_forward_evaluate_fused(ctx, eps_, x, params.values[0], params.values[1], running_mean, running_var, tail, y);
    return y;
  }
  Tensor mean = ctx.tensor({channels_});  // [C]
  Tensor rstd = ctx.tensor({channels_});  // [C]
  batch_norm_forward_train_fused(ctx, eps_, momentum_, x, params.values[0], params.values[1], running_mean, running_var, tail,
                                 partials, y, mean, rstd);
  saved.tensors.push_back(std::move(x));
  saved.tensors.push_back(std::move(mean));
  saved.tensors.push_back(std::move(rstd));
  return y;
}

Tensor BatchNorm::backward_fused(Context& ctx, const ParamView& params, const Saved& saved, const Tensor& grad_y,
                                 const NormTailGradient& tail) const {
  const Tensor& x = saved.tensors.at(0);  // [N, ..., C]
  Tensor grad_x = ctx.tensor(x.shape(), x.dtype());    // [N, ..., C]
  Tensor grad_gamma = Tensor::borrow(params.grads[0]);
  Tensor grad_beta = Tensor::borrow(params.grads[1]);
  batch_norm_backward_fused(ctx, x, grad_y, params.values[0], saved.tensors.at(1), saved.tensors.at(2), tail, grad_x, grad_gamma,
                            grad_beta);
  return grad_x;
}

std::int64_t default_groups(std::int64_t channels) {
  std::int64_t groups = std::clamp<std::int64_t>(channels / 2, 1, 8);
  while (channels % groups != 0) --groups;
  return groups;
}

LayerPtr make_group_norm(OptionReader& options, const Shape& x) {
  const std::int64_t channels = last_dimension(options, x);
  const std::int64_t groups = options.integer("groups", default_groups(channels), 1);
  const auto eps = static_cast<float>(options.number("eps", 1e-5, 1e-12, 1.0));
  if (channels % groups != 0)
    options.fail("option 'groups' must divide the " + std::to_string(channels) + " channels, got " + std::to_string(groups));
  return std::make_unique<GroupNorm>(groups, channels, eps);
}

LayerPtr make_layer_norm(OptionReader& options, const Shape& x) {
  return std::make_unique<LayerNorm>(last_dimension(options, x), static_cast<float>(options.number("eps", 1e-5, 1e-12, 1.0)));
}

LayerPtr make_batch_norm(OptionReader& options, const Shape& x) {
  const auto eps = static_cast<float>(options.number("eps", 1e-5, 1e-12, 1.0));
  const auto momentum = static_cast<float>(options.number("momentum", 0.1, 0.0, 1.0));
  return std::make_unique<BatchNorm>(last_dimension(options, x), eps, momentum);
}

}  // namespace sutura
