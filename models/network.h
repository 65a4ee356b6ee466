#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/fusion.h"
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
  /// Adds to params.grads(); returns the gradient of the input, or an undefined tensor if not wanted.
  Tensor backward(Context& ctx, const ParamStore& params, Saved& saved, Tensor grad_y, InputGrad want) const;

  /// Cuts after each named layer, in order: k names give k + 1 segments.
  /// Errors: kConfig naming a cut that no layer bears, is out of order, or leaves an empty segment; a hint lists the names.
  std::vector<Network> cut_after(const std::vector<std::string>& names) &&;
  std::vector<std::string> layer_names() const;

 private:
  /// Layers from `begin` on, with their parameters where `ctx` computes.
  LayerRow row(const Context& ctx, const ParamStore& params, std::size_t begin) const;
  std::vector<LayerPtr> layers_;
};

}  // namespace sutura
