#include "models/layers/residual.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/ops/add/add.h"
#include "models/layers/conv.h"
#include "models/layers/norm.h"
#include "models/layers/option_reader.h"

namespace sutura {
namespace {

std::size_t count_params(const NamedLayers& path) {
  std::size_t n = 0;
  for (const auto& [name, layer] : path) n += layer->param_specs().size();
  return n;
}

Shape shape_after(const NamedLayers& path, Shape x) {
  for (const auto& [name, layer] : path) x = layer->output_shape(x);
  return x;
}

}  // namespace

Residual::Residual(NamedLayers main_path, NamedLayers shortcut)
    : main_(std::move(main_path)), shortcut_(std::move(shortcut)), main_params_(count_params(main_)) {
  require(!main_.empty(), Errc::kInvalidArgument, "a residual block needs layers in its main path");
}

Shape Residual::output_shape(const Shape& x) const {
  const Shape y = shape_after(main_, x);
  const Shape s = shape_after(shortcut_, x);
  require(y == s, Errc::kShapeMismatch,
          "layer " + name() + " (residual): the main path gives " + y.text() + ", the shortcut " + s.text());
  return y;
}

std::vector<ParamSpec> Residual::param_specs() const {
  std::vector<ParamSpec> specs;
  const auto append = [&specs](const NamedLayers& path, const std::string& prefix) {
    for (const auto& [name, layer] : path) {
      for (ParamSpec spec : layer->param_specs()) {
        spec.name = prefix + name + "." + spec.name;
        specs.push_back(std::move(spec));
      }
    }
  };
  append(main_, "");
  append(shortcut_, "shortcut.");
  return specs;
}

double Residual::flops(const Shape& x) const {
  double sum = 0.0;
  for (const NamedLayers* path : {&main_, &shortcut_}) {
    Shape s = x;
    for (const auto& [name, layer] : *path) {
      sum += layer->flops(s);
      s = layer->output_shape(s);
    }
  }
  return sum + 2.0 * static_cast<double>(output_shape(x).elements());
}

bool Residual::couples_records() const {
  const auto couples = [](const auto& named) { return named.second->couples_records(); };
  return std::ranges::any_of(main_, couples) || std::ranges::any_of(shortcut_, couples);
}

void Residual::set_name(const std::string& name) {
  Layer::set_name(name);
  for (auto& [local, layer] : main_) layer->set_name(name + "." + local);
  for (auto& [local, layer] : shortcut_) layer->set_name(name + ".shortcut." + local);
  act_.set_name(name + ".act2");
}

Tensor Residual::run(const NamedLayers& path, std::size_t child, std::size_t param, Context& ctx, const ParamView& params,
                     Tensor x, Saved& saved, const Pass& pass) const {
  for (const auto& [name, layer] : path) {
    const std::size_t count = layer->param_specs().size();
    x = layer->forward(ctx, params.slice(param, count), std::move(x), saved.children[child++], pass);
    param += count;
  }
  return x;
}

Tensor Residual::run_back(const NamedLayers& path, std::size_t child, std::size_t param, Context& ctx, const ParamView& params,
                          Saved& saved, Tensor grad, InputGrad want) const {
  param += count_params(path);
  for (std::size_t i = path.size(); i-- > 0;) {
    const Layer& layer = *path[i].second;
    const std::size_t count = layer.param_specs().size();
    param -= count;
    grad = layer.backward(ctx, params.slice(param, count), saved.children[child + i], std::move(grad),
                          i == 0 ? want : InputGrad::kNeeded);
  }
  return grad;
}

LayerRow Residual::row(const NamedLayers& path, std::size_t param, const ParamView& params) const {
  LayerRow row;
  for (const auto& [name, layer] : path) {
    const std::size_t count = layer->param_specs().size();
    row.layers.push_back(layer.get());
    row.params.push_back(params.slice(param, count));
    param += count;
  }
  return row;
}

Tensor Residual::forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const {
  const std::span<Saved> children(saved.children);
  // Both paths read x where it stands. The shortcut goes first: its result joins the main path's last kernel.
  const Tensor s = shortcut_.empty() ? Tensor::borrow(x)
                                     : forward_row(ctx, row(shortcut_, main_params_, params), Tensor::borrow(x),
                                                   children.subspan(main_.size(), shortcut_.size()), pass);
  Tensor y =
      forward_row(ctx, row(main_, 0, params), Tensor::borrow(x), children.first(main_.size()), pass, {&s, Activation::kRelu});
  if (pass.mode == Mode::kEvaluate) {
    saved.children.clear();
    return y;
  }
  saved.tensors.push_back(std::move(x));
  Saved& of_relu = saved.children.back();
  of_relu.tensors.push_back(std::move(y));
  return Tensor::borrow(of_relu.tensors.back());
}

Tensor Residual::backward_fused(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const {
  const std::span<Saved> children(saved.children);
  // Where y is positive grad_y is the gradient of the sum; the last norm's pass writes it over grad_y, for the shortcut.
  Tensor grad_s = Tensor::borrow(grad_y);
  Tensor grad_x = backward_row(ctx, row(main_, 0, params), children.first(main_.size()), Tensor::borrow(grad_y), want,
                               {&saved.children.back().tensors.at(0), &grad_s});
  if (!shortcut_.empty())
    grad_s = backward_row(ctx, row(shortcut_, main_params_, params), children.subspan(main_.size(), shortcut_.size()),
                          std::move(grad_s), want);
  if (want == InputGrad::kNotNeeded) return {};
  add(ctx, grad_x, grad_s, grad_x);
  return grad_x;
}

bool Residual::ends_in_norm() const { return dynamic_cast<const NormLayer*>(main_.back().second.get()) != nullptr; }

Tensor Residual::do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const {
  saved.children.resize(main_.size() + shortcut_.size() + 1);
  if (ends_in_norm()) saved.fusion = fusion_for(ctx, pass.fusion);
  if (saved.fusion == Fusion::kOn) return forward_fused(ctx, params, std::move(x), saved, pass);
  // Both paths read x where it stands.
  Tensor y = run(main_, 0, 0, ctx, params, Tensor::borrow(x), saved, pass);
  const Tensor s = run(shortcut_, main_.size(), main_params_, ctx, params, Tensor::borrow(x), saved, pass);
  add(ctx, y, s, y);
  y = act_.forward(ctx, {}, std::move(y), saved.children.back(), pass);
  if (pass.mode == Mode::kEvaluate)
    saved.children.clear();
  else
    saved.tensors.push_back(std::move(x));
  return y;
}

Tensor Residual::do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const {
  if (saved.fusion == Fusion::kOn) return backward_fused(ctx, params, saved, std::move(grad_y), want);
  Tensor grad = act_.backward(ctx, {}, saved.children.at(main_.size() + shortcut_.size()), std::move(grad_y), InputGrad::kNeeded);
  // A norm's backward leaves the gradient that it is given; other layers may write over it.
  Tensor grad_x = run_back(main_, 0, 0, ctx, params, saved, ends_in_norm() ? Tensor::borrow(grad) : ctx.clone(grad), want);
  const Tensor grad_s = run_back(shortcut_, main_.size(), main_params_, ctx, params, saved, std::move(grad), want);
  if (want == InputGrad::kNotNeeded) return {};
  add(ctx, grad_x, grad_s, grad_x);
  return grad_x;
}

LayerPtr make_norm(NormKind norm, std::int64_t channels) {
  if (norm == NormKind::kBatch) return std::make_unique<BatchNorm>(channels);
  return std::make_unique<GroupNorm>(default_groups(channels), channels);
}

LayerPtr basic_block(std::int64_t channels, std::int64_t filters, std::int64_t stride, NormKind norm) {
  NamedLayers main_path;
  main_path.emplace_back("conv1",
                         std::make_unique<Conv2d>(channels, filters, Conv2dSpec{3, 3, stride, stride, 1, 1}, Bias::kNone));
  main_path.emplace_back("norm1", make_norm(norm, filters));
  main_path.emplace_back("act1", std::make_unique<Relu>());
  main_path.emplace_back("conv2", std::make_unique<Conv2d>(filters, filters, Conv2dSpec{3, 3, 1, 1, 1, 1}, Bias::kNone));
  main_path.emplace_back("norm2", make_norm(norm, filters));
  NamedLayers shortcut;
  if (stride != 1 || channels != filters) {
    shortcut.emplace_back("conv",
                          std::make_unique<Conv2d>(channels, filters, Conv2dSpec{1, 1, stride, stride, 0, 0}, Bias::kNone));
    shortcut.emplace_back("norm", make_norm(norm, filters));
  }
  return std::make_unique<Residual>(std::move(main_path), std::move(shortcut));
}

LayerPtr make_residual(OptionReader& options, const Shape& x) {
  const std::int64_t filters = options.needed_integer("filters", 1);
  const std::int64_t stride = options.integer("stride", 1, 1);
  const NormKind norm = options.choice("norm", "group", {"group", "batch"}) == "batch" ? NormKind::kBatch : NormKind::kGroup;
  if (x.rank() != 4) options.fail("takes images [N, H, W, C], got " + x.text());
  return basic_block(x[3], filters, stride, norm);
}

}  // namespace sutura
