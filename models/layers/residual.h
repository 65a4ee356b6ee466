#pragma once
#include <string>
#include <utility>
#include <vector>

#include "models/fusion.h"
#include "models/layers/activation.h"

namespace sutura {

class OptionReader;
using NamedLayers = std::vector<std::pair<std::string, LayerPtr>>;

/// y = relu(main(x) + shortcut(x)); an empty shortcut is the identity (He et al. 2016, equation 1 and 2).
/// One layer of the network, so a cut lies between blocks. Parameters are those of the main path, then of the shortcut,
/// under the nested names ("conv1.weight", "shortcut.conv.weight").
class Residual final : public Layer {
 public:
  Residual(NamedLayers main_path, NamedLayers shortcut);
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;
  bool couples_records() const override;
  void set_name(const std::string& name) override;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  Tensor run(const NamedLayers& path, std::size_t child, std::size_t param, Context& ctx, const ParamView& params, Tensor x,
             Saved& saved, const Pass& pass) const;
  Tensor run_back(const NamedLayers& path, std::size_t child, std::size_t param, Context& ctx, const ParamView& params,
                  Saved& saved, Tensor grad, InputGrad want) const;

  bool ends_in_norm() const;
  /// Layers of a path, whose parameters begin at `param`.
  LayerRow row(const NamedLayers& path, std::size_t param, const ParamView& params) const;
  /// On a device: the last norm also adds the shortcut and applies the ReLU.
  Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const;
  Tensor backward_fused(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const;

  NamedLayers main_;
  NamedLayers shortcut_;
  Relu act_;
  std::size_t main_params_ = 0;
};

enum class NormKind { kGroup, kBatch };

/// The basic block of ResNet-18 (torchvision's BasicBlock): conv1 3x3, norm1, act1, conv2 3x3, norm2; convolutions without
/// bias; the shortcut is a strided 1x1 convolution and a norm where the shape changes, otherwise the identity.
LayerPtr basic_block(std::int64_t channels, std::int64_t filters, std::int64_t stride, NormKind norm);

/// A normalisation of `channels`: default_groups() groups, or over the batch.
LayerPtr make_norm(NormKind norm, std::int64_t channels);

/// Options: `filters` (needed), `stride` (1), `norm` (group, batch).
LayerPtr make_residual(OptionReader& options, const Shape& x);

}  // namespace sutura
