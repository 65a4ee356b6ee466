#pragma once
#include "models/layers/fusable.h"

namespace sutura {

class OptionReader;

/// Normalises each record over groups of channels (Wu & He 2018). Shapes: x, y [N, ..., C]; weight, bias [C].
/// Records do not influence each other, so it may stand before a private cut. Errors: kShapeMismatch naming the layer.
class GroupNorm final : public NormLayer {
 public:
  /// Errors: kInvalidArgument if `groups` does not divide `channels`.
  GroupNorm(std::int64_t groups, std::int64_t channels, float eps = 1e-5f);
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;
  Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass, const NormTail& tail,
                       const Tensor& partials) const override;
  Tensor backward_fused(Context& ctx, const ParamView& params, const Saved& saved, const Tensor& grad_y,
                        const NormTailGradient& tail) const override;

 private:
  std::int64_t groups_;
  std::int64_t channels_;
  float eps_;
};

/// Normalises each row over its last dimension (Ba et al. 2016). Shapes: x, y [..., C]; weight, bias [C].
class LayerNorm final : public Layer {
 public:
  explicit LayerNorm(std::int64_t channels, float eps = 1e-5f) : channels_(channels), eps_(eps) {}
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  std::int64_t channels_;
  float eps_;
};

/// Normalises each channel over the batch (Ioffe & Szegedy 2015), with running statistics for evaluation as in PyTorch:
/// running = (1 - momentum) running + momentum batch, the variance unbiased. Shapes: x, y [N, ..., C]; weight, bias,
/// running_mean, running_var [C]. A forward in training changes the running statistics: the one exception to "a layer is
/// a pure function". Records influence each other, so couples_records() is true.
class BatchNorm final : public NormLayer {
 public:
  explicit BatchNorm(std::int64_t channels, float eps = 1e-5f, float momentum = 0.1f)
      : channels_(channels), eps_(eps), momentum_(momentum) {}
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;
  bool couples_records() const override { return true; }
  Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass, const NormTail& tail,
                       const Tensor& partials) const override;
  Tensor backward_fused(Context& ctx, const ParamView& params, const Saved& saved, const Tensor& grad_y,
                        const NormTailGradient& tail) const override;

 private:
  std::int64_t channels_;
  float eps_;
  float momentum_;
};

/// The largest divisor of `channels` that is at most 8 and leaves two channels to a group: the number of groups where none
/// is given (8 for the usual widths; one channel to a group would erase each channel's mean).
std::int64_t default_groups(std::int64_t channels);

/// Options: `groups` (default_groups), `eps` (1e-5).
LayerPtr make_group_norm(OptionReader& options, const Shape& x);
/// Options: `eps` (1e-5).
LayerPtr make_layer_norm(OptionReader& options, const Shape& x);
/// Options: `eps` (1e-5), `momentum` (0.1).
LayerPtr make_batch_norm(OptionReader& options, const Shape& x);

}  // namespace sutura
