#include "models/network.h"

#include <algorithm>

#include "core/error.h"
#include "kernels/ops/cast/cast.h"

namespace sutura {
namespace {

/// Whether `t` lies in what `saved` keeps.
bool kept_in(const Saved& saved, const Tensor& t) {
  return std::ranges::any_of(saved.tensors, [&](const Tensor& kept) { return kept.data() == t.data(); }) ||
         std::ranges::any_of(saved.children, [&](const Saved& child) { return kept_in(child, t); });
}

}  // namespace

Network& Network::add(const std::string& name, LayerPtr layer) {
  const auto names = layer_names();
  require(std::find(names.begin(), names.end(), name) == names.end(), Errc::kInvalidArgument, "two layers are called " + name);
  layer->set_name(name);
  layers_.push_back(std::move(layer));
  return *this;
}

Shape Network::output_shape(Shape x) const {
  for (const LayerPtr& l : layers_) x = l->output_shape(x);
  return x;
}

double Network::flops(Shape x) const {
  double sum = 0.0;
  for (const LayerPtr& l : layers_) {
    sum += l->flops(x);
    x = l->output_shape(x);
  }
  return sum;
}

std::int64_t Network::parameter_count() const {
  std::int64_t count = 0;
  for (const LayerPtr& l : layers_)
    for (const ParamSpec& p : l->param_specs()) count += p.shape.elements();
  return count;
}

ParamStore Network::make_params(std::uint64_t seed) const {
  std::vector<std::vector<ParamSpec>> specs;
  for (const LayerPtr& l : layers_) specs.push_back(l->param_specs());
  return ParamStore(layer_names(), specs, seed);
}

Tensor Network::forward(Context& ctx, const ParamStore& params, Tensor x, Saved& saved, const Pass& pass) const {
  x = ctx.here(std::move(x));
  if (x.dtype() != ctx.compute()) x = cast(ctx, x, ctx.compute());
  saved = Saved{};
  const std::size_t end = end_of(pass.head);
  saved.children.resize(end);
  saved.fusion = fusion_for(ctx, pass.fusion);
  saved.head = pass.head;
  require(pass.head == Head::kWithNetwork || (end < size() && saved.fusion == Fusion::kOn && pass.mode == Mode::kTrain),
          Errc::kInternal, "a forward left a head to a loss that cannot run it");
  if (saved.fusion == Fusion::kOn) {
    x = forward_row(ctx, row(ctx, params, 0, end), std::move(x), saved.children, pass);
    if (pass.mode == Mode::kEvaluate)
      for (Saved& child : saved.children) child = Saved{};
    // The caller may use outputs after backward has let go of `saved`; features only before it.
    return pass.head == Head::kWithNetwork && kept_in(saved, x) ? ctx.clone(x) : std::move(x);
  }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    x = layers_[i]->forward(ctx, params.view(ctx, i), std::move(x), saved.children[i], pass);
    if (pass.mode == Mode::kEvaluate) saved.children[i] = Saved{};
  }
  return x;
}

Tensor Network::backward(Context& ctx, const ParamStore& params, Saved& saved, Tensor grad, InputGrad want) const {
  const std::size_t end = end_of(saved.head);
  require(saved.children.size() == end, Errc::kInternal, "backward without its forward");
  require(saved.head == Head::kWithNetwork || (grad.defined() && grad.shape().rank() == 4), Errc::kInternal,
          "backward without head_loss(), to which its forward left the head");
  grad = ctx.here(std::move(grad));
  if (grad.dtype() != ctx.compute()) grad = cast(ctx, grad, ctx.compute());
  // Layers below the first one with parameters need no gradient unless the caller wants that of the input.
  std::size_t last = 0;
  if (want == InputGrad::kNotNeeded)
    while (last < end && layers_[last]->param_specs().empty()) ++last;
  if (saved.fusion == Fusion::kOn) {
    grad = backward_row(ctx, row(ctx, params, last, end), std::span(saved.children).subspan(last), std::move(grad), want);
    saved = Saved{};
    return want == InputGrad::kNeeded ? std::move(grad) : Tensor();
  }
  for (std::size_t i = layers_.size(); i-- > last;) {
    const bool needed = i > last || want == InputGrad::kNeeded;
    grad = layers_[i]->backward(ctx, params.view(ctx, i), saved.children[i], std::move(grad),
                                needed ? InputGrad::kNeeded : InputGrad::kNotNeeded);
  }
  saved = Saved{};
  return want == InputGrad::kNeeded ? std::move(grad) : Tensor();
}

bool Network::joins_loss(const Context& ctx, const Loss& loss, Fusion wanted) const {
  return fusion_for(ctx, wanted) == Fusion::kOn && loss.head_terms() && head() < size();
}

Tensor Network::head_loss(Context& ctx, const ParamStore& params, const Loss& loss, const Tensor& features, const Tensor& labels,
                          double scale, LossSum& sum) const {
  require(joins_loss(ctx, loss, Fusion::kOn), Errc::kInternal, "a network without a head for this loss was asked to run it");
  const ParamView p = params.view(ctx, head() + 1);
  const bool biased = p.values.size() > 1;
  const Tensor bias = biased ? Tensor::borrow(p.values[1]) : Tensor();  // [K]
  Tensor grad_weight = Tensor::borrow(p.grads[0]);                      // [K, C]
  Tensor grad_bias = biased ? Tensor::borrow(p.grads[1]) : Tensor();    // [K]
  Tensor grad = ctx.tensor(features.shape(), features.dtype());         // [N, H, W, C]
  Tensor logits = ctx.tensor({features.shape()[0], p.values[0].shape()[0]});
  const HeadTerms terms = *loss.head_terms();
  pooled_head(ctx, terms.loss, features, p.values[0], bias, labels, scale, terms.class_weights, logits,
              {grad, grad_weight, grad_bias}, sum);
  return grad;
}

std::size_t Network::head() const {
  std::vector<const Layer*> all;
  for (const LayerPtr& l : layers_) all.push_back(l.get());
  return head_begin(all);
}

LayerRow Network::row(const Context& ctx, const ParamStore& params, std::size_t begin, std::size_t end) const {
  LayerRow row;
  for (std::size_t i = begin; i < end; ++i) {
    row.layers.push_back(layers_[i].get());
    row.params.push_back(params.view(ctx, i));
  }
  return row;
}

std::vector<Network> Network::cut_after(const std::vector<std::string>& cuts) && {
  std::vector<Network> segments(1);
  std::size_t next = 0;
  const auto names = layer_names();
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    segments.back().layers_.push_back(std::move(layers_[i]));
    if (next < cuts.size() && names[i] == cuts[next]) {
      segments.emplace_back();
      ++next;
    }
  }
  std::string known;
  for (const std::string& n : names) known += (known.empty() ? "" : ", ") + n;
  require(next == cuts.size(), Errc::kConfig,
          "cannot cut after '" + (next < cuts.size() ? cuts[next] : "") + "': the layers in order are " + known);
  for (const Network& s : segments) require(s.size() > 0, Errc::kConfig, "a cut after the last layer leaves an empty segment");
  layers_.clear();
  return segments;
}

std::vector<std::string> Network::layer_names() const {
  std::vector<std::string> names;
  for (const LayerPtr& l : layers_) names.push_back(l->name());
  return names;
}

}  // namespace sutura
