#pragma once
#include <span>
#include <vector>

#include "kernels/ops/norm_tail.h"
#include "models/layer.h"

namespace sutura {

/// How consecutive layers run on a device.
enum class RunKind {
  kLayer,        ///< one layer
  kProductRelu,  ///< convolution or linear layer, and a ReLU
  kNormRelu,     ///< group or batch norm, and a ReLU
  kMlp,          ///< linear layers with a ReLU between them, at least two, as narrow as mlp_forward() takes
};
struct LayerRun {
  RunKind kind;
  std::size_t begin, end;  ///< layers [begin, end)
};

/// Splits layers into runs, from the front, each as long as it can be. All but kLayer begin with a layer that has parameters, so
/// leaving out layers without parameters in front changes no other run.
std::vector<LayerRun> plan_runs(std::span<const Layer* const> layers);

/// Where the head begins, which pooled_head() runs with a loss: global average pool and linear layer, the last two, no larger than
/// it takes. layers.size() where they end otherwise.
std::size_t head_begin(std::span<const Layer* const> layers);

/// Consecutive layers and their parameters.
struct LayerRow {
  std::vector<const Layer*> layers;
  std::vector<ParamView> params;  ///< one per layer
};

/// kOn where `wanted` is and `ctx` computes on a device: the one place that decides.
Fusion fusion_for(const Context& ctx, Fusion wanted);

/// The layers' forwards one after another, by plan_runs(), then `tail`, which needs a NormLayer at the end. `saved` (one per layer)
/// becomes what the layers alone would leave, so backward may run either way; the result may be borrowed from it. Where a batch
/// norm follows a convolution in training, the convolution's kernel takes its statistics.
/// Numbers: what is fused keeps float32 between its parts, where layers of their own round to the type of activations.
Tensor forward_row(Context& ctx, const LayerRow& row, Tensor x, std::span<Saved> saved, const Pass& pass,
                   const NormTail& tail = {});

/// The way back, and through `tail` before it. Consumes `saved`. As Layer::backward, may overwrite grad_y.
Tensor backward_row(Context& ctx, const LayerRow& row, std::span<Saved> saved, Tensor grad_y, InputGrad want,
                    const NormTailGradient& tail = {});

}  // namespace sutura
