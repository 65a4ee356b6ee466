#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/fusion.h"
#include "models/losses/loss.h"
#include "models/param_store.h"

namespace sutura {

/// Layers in order, each with a name. A segment of a cut network is a Network too.
class Network {
 public:
  Network() = default;
  /// Errors: kInvalidArgument for a duplicate name.
  Network& add(const std::string& name, LayerPtr layer);
  std::size_t size() const { return layers_.size(); }
  const Layer& layer(std::size_t i) const { return *layers_[i]; }
  Shape output_shape(Shape x) const;
  double flops(Shape x) const;

  /// Parameters of all layers, statistics included.
  std::int64_t parameter_count() const;
  /// Fresh parameters for all layers; the same values for the same (seed, layer name) however the network is cut.
  ParamStore make_params(std::uint64_t seed) const;
  /// x in any float type; values flow in ctx.compute(). `saved` is filled for backward unless pass.mode is kEvaluate. On a device
  /// neighbouring layers share kernels (models/fusion.h).
  Tensor forward(Context& ctx, const ParamStore& params, Tensor x, Saved& saved, const Pass& pass) const;
  /// Whether head_loss() may run the last two layers with `loss`: they are a head (head_begin()), the loss has terms for it, and
  /// `ctx` computes on a device, with fusion. A pass that uses it has Head::kWithLoss; nobody then sees the outputs.
  bool joins_loss(const Context& ctx, const Loss& loss, Fusion wanted) const;
  /// In a training step between a forward with Head::kWithLoss, which gave `features` (valid until backward), and its backward,
  /// which takes the result: the gradient of the features. Runs head and loss, both ways: adds to `sum`, and to params.grads() for
  /// the linear layer. Shapes and labels as pooled_head(); features [N, H, W, C].
  /// Numbers: float32 between the features and their gradient. Errors: kInternal where the network has no head for this loss.
  Tensor head_loss(Context& ctx, const ParamStore& params, const Loss& loss, const Tensor& features, const Tensor& labels,
                   double scale, LossSum& sum) const;
  /// Adds to params.grads(); returns the gradient of the input, or an undefined tensor if not wanted.
  /// Errors: kInternal without forward, or without head_loss() where the pass left the head to it.
  Tensor backward(Context& ctx, const ParamStore& params, Saved& saved, Tensor grad_y, InputGrad want) const;

  /// Cuts after each named layer, in order: k names give k + 1 segments.
  /// Errors: kConfig naming a cut that no layer bears, is out of order, or leaves an empty segment; a hint lists the names.
  std::vector<Network> cut_after(const std::vector<std::string>& names) &&;
  std::vector<std::string> layer_names() const;

 private:
  /// Layers [begin, end), with their parameters where `ctx` computes.
  LayerRow row(const Context& ctx, const ParamStore& params, std::size_t begin, std::size_t end) const;
  std::size_t head() const;
  /// Where a pass's layers end: the rest is left to head_loss().
  std::size_t end_of(Head head) const { return head == Head::kWithLoss ? this->head() : size(); }
  std::vector<LayerPtr> layers_;
};

}  // namespace sutura
