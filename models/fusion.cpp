#include "models/fusion.h"

#include <utility>

#include "core/error.h"
#include "kernels/ops/mlp/mlp.h"
#include "kernels/ops/pooled_head/pooled_head.h"
#include "models/layers/activation.h"
#include "models/layers/fusable.h"
#include "models/layers/linear.h"
#include "models/layers/pool.h"

namespace sutura {
namespace {

template <class Kind>
const Kind* as(const Layer* layer) {
  return dynamic_cast<const Kind*>(layer);
}

/// Whether `layer` is a linear one of at most so many inputs and outputs.
bool is_linear(const Layer* layer, std::int64_t inputs, std::int64_t outputs) {
  if (as<Linear>(layer) == nullptr) return false;
  const Shape weight = layer->param_specs()[0].shape;  // [O, I]
  return weight[1] <= inputs && weight[0] <= outputs;
}

bool is_narrow_linear(const Layer* layer) { return is_linear(layer, kMlpWidest, kMlpWidest); }

/// The end of the chain of linear layers that begins at `begin`; begin + 1 where it is one layer or none.
std::size_t mlp_end(std::span<const Layer* const> layers, std::size_t begin) {
  std::size_t end = begin + 1;
  if (!is_narrow_linear(layers[begin])) return end;
  for (std::size_t linears = 1; linears < kMlpMostLayers && end + 1 < layers.size(); ++linears, end += 2)
    if (as<Relu>(layers[end]) == nullptr || !is_narrow_linear(layers[end + 1])) break;
  return end;
}

/// The parameters of a kMlp run, as its kernels take them.
struct Mlp {
  std::vector<Tensor> weights, biases, grad_weights, grad_biases;
  Mlp(const LayerRow& row, const LayerRun& run) {
    for (std::size_t i = run.begin; i < run.end; i += 2) {
      const ParamView& p = row.params[i];
      weights.push_back(Tensor::borrow(p.values[0]));
      grad_weights.push_back(Tensor::borrow(p.grads[0]));
      biases.push_back(p.values.size() > 1 ? Tensor::borrow(p.values[1]) : Tensor());
      grad_biases.push_back(p.grads.size() > 1 ? Tensor::borrow(p.grads[1]) : Tensor());
    }
  }
};

Tensor forward_mlp(Context& ctx, const LayerRow& row, const LayerRun& run, Tensor x, std::span<Saved> saved, const Pass& pass) {
  const Mlp mlp(row, run);
  const std::int64_t records = x.shape()[0];
  std::vector<Tensor> hidden;
  for (std::size_t l = 0; l + 1 < mlp.weights.size(); ++l)
    hidden.push_back(ctx.tensor({records, mlp.weights[l].shape()[0]}, x.dtype()));
  Tensor y = ctx.tensor({records, mlp.weights.back().shape()[0]}, x.dtype());
  mlp_forward(ctx, mlp.weights, mlp.biases, x, hidden, y);
  if (pass.mode == Mode::kEvaluate) return y;
  saved[run.begin].tensors.push_back(std::move(x));
  for (std::size_t l = 0; l < hidden.size(); ++l) {
    const std::size_t relu = run.begin + 2 * l + 1;
    saved[relu + 1].tensors.push_back(Tensor::borrow(hidden[l]));
    saved[relu].tensors.push_back(std::move(hidden[l]));
  }
  return y;
}

Tensor backward_mlp(Context& ctx, const LayerRow& row, const LayerRun& run, std::span<Saved> saved, const Tensor& grad_y,
                    InputGrad want) {
  Mlp mlp(row, run);
  const Tensor& x = saved[run.begin].tensors.at(0);
  std::vector<Tensor> hidden;
  for (std::size_t i = run.begin + 1; i < run.end; i += 2) hidden.push_back(Tensor::borrow(saved[i].tensors.at(0)));
  Tensor grad_x = want == InputGrad::kNeeded ? ctx.tensor(x.shape(), x.dtype()) : Tensor();
  mlp_backward(ctx, mlp.weights, x, hidden, grad_y, grad_x, mlp.grad_weights, mlp.grad_biases);
  return grad_x;
}

/// What a ReLU leaves for its backward is what it was given; its result is positive in the same places, and here the one there is.
/// The next layer reads it where it stands.
Tensor keep(Tensor y, Saved& of_relu, const Pass& pass) {
  if (pass.mode == Mode::kEvaluate) return y;
  of_relu.tensors.push_back(std::move(y));
  return Tensor::borrow(of_relu.tensors.back());
}

}  // namespace

std::vector<LayerRun> plan_runs(std::span<const Layer* const> layers) {
  std::vector<LayerRun> runs;
  for (std::size_t i = 0; i < layers.size(); i = runs.back().end) {
    const bool relu_next = i + 1 < layers.size() && as<Relu>(layers[i + 1]) != nullptr;
    if (const std::size_t end = mlp_end(layers, i); end > i + 1)
      runs.push_back({RunKind::kMlp, i, end});
    else if (relu_next && as<ProductLayer>(layers[i]) != nullptr)
      runs.push_back({RunKind::kProductRelu, i, i + 2});
    else if (relu_next && as<NormLayer>(layers[i]) != nullptr)
      runs.push_back({RunKind::kNormRelu, i, i + 2});
    else
      runs.push_back({RunKind::kLayer, i, i + 1});
  }
  return runs;
}

std::size_t head_begin(std::span<const Layer* const> layers) {
  const std::size_t n = layers.size();
  const bool found =
      n >= 2 && as<GlobalAvgPool>(layers[n - 2]) != nullptr && is_linear(layers[n - 1], kHeadMostChannels, kHeadMostClasses);
  return found ? n - 2 : n;
}

Fusion fusion_for(const Context& ctx, Fusion wanted) { return ctx.on_device() ? wanted : Fusion::kOff; }

Tensor forward_row(Context& ctx, const LayerRow& row, Tensor x, std::span<Saved> saved, const Pass& pass, const NormTail& tail) {
  Tensor statistics;  // of x, where the convolution that made it gave them
  for (const LayerRun& r : plan_runs(row.layers)) {
    const Layer& first = *row.layers[r.begin];
    const ParamView& params = row.params[r.begin];
    require(x.defined(), Errc::kInvalidArgument, "layer " + first.name() + " got no input");
    static_cast<void>(first.output_shape(x.shape()));  // refuses with the layer's name
    const Tensor partials = std::exchange(statistics, Tensor());
    const bool is_last = r.end == row.layers.size();
    switch (r.kind) {
      case RunKind::kMlp: x = forward_mlp(ctx, row, r, std::move(x), saved, pass); break;
      case RunKind::kProductRelu:
        x = keep(
            as<ProductLayer>(&first)->forward_fused(ctx, params, std::move(x), saved[r.begin], pass, Activation::kRelu, nullptr),
            saved[r.begin + 1], pass);
        break;
      case RunKind::kNormRelu:
        x = keep(as<NormLayer>(&first)->forward_fused(ctx, params, std::move(x), saved[r.begin], pass,
                                                      {nullptr, Activation::kRelu}, partials),
                 saved[r.begin + 1], pass);
        break;
      case RunKind::kLayer:
        if (const auto* product = as<ProductLayer>(&first)) {
          // Only a norm over the batch can use sums over the batch.
          const bool wanted = !is_last && pass.mode == Mode::kTrain && as<NormLayer>(row.layers[r.end]) != nullptr &&
                              row.layers[r.end]->couples_records();
          x = product->forward_fused(ctx, params, std::move(x), saved[r.begin], pass, Activation::kNone,
                                     wanted ? &statistics : nullptr);
        } else if (const auto* norm = as<NormLayer>(&first)) {
          x = norm->forward_fused(ctx, params, std::move(x), saved[r.begin], pass, is_last ? tail : NormTail{}, partials);
        } else {
          x = first.forward(ctx, params, std::move(x), saved[r.begin], pass);
        }
    }
  }
  return x;
}

Tensor backward_row(Context& ctx, const LayerRow& row, std::span<Saved> saved, Tensor grad, InputGrad want,
                    const NormTailGradient& tail) {
  const std::vector<LayerRun> runs = plan_runs(row.layers);
  for (std::size_t i = runs.size(); i-- > 0;) {
    const LayerRun& r = runs[i];
    const Layer& first = *row.layers[r.begin];
    const ParamView& params = row.params[r.begin];
    const InputGrad needed = i == 0 ? want : InputGrad::kNeeded;
    require(grad.defined(), Errc::kInvalidArgument, "layer " + first.name() + " got no gradient");
    const auto* norm = as<NormLayer>(&first);
    if (r.kind == RunKind::kMlp) {
      grad = backward_mlp(ctx, row, r, saved, grad, needed);
    } else if (r.kind == RunKind::kNormRelu) {
      grad = norm->backward_fused(ctx, params, saved[r.begin], grad, {&saved[r.begin + 1].tensors.at(0), nullptr});
    } else if (norm != nullptr) {
      grad = norm->backward_fused(ctx, params, saved[r.begin], grad, i + 1 == runs.size() ? tail : NormTailGradient{});
    } else {
      for (std::size_t l = r.end; l-- > r.begin;)
        grad = row.layers[l]->backward(ctx, row.params[l], saved[l], std::move(grad), l == r.begin ? needed : InputGrad::kNeeded);
    }
    for (std::size_t l = r.begin; l < r.end; ++l) saved[l] = Saved{};
  }
  return grad;
}

}  // namespace sutura
