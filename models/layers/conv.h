#pragma once
#include "kernels/ops/conv2d/conv2d.h"
#include "models/layers/linear.h"

namespace sutura {

/// Two-dimensional convolution (cross-correlation, as in every framework). Shapes: x [N, H, W, C], y [N, OH, OW, K];
/// parameters weight [K, R, S, C], bias [K]. A 1-D signal is an image of height 1.
/// Errors: kShapeMismatch naming the layer.
class Conv2d final : public ProductLayer {
 public:
  Conv2d(std::int64_t channels, std::int64_t filters, const Conv2dSpec& spec, Bias bias = Bias::kAdded)
      : channels_(channels), filters_(filters), spec_(spec), bias_(bias) {}
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;
  Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass, Activation activation,
                       Tensor* statistics) const override;

 protected:
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  std::int64_t channels_;
  std::int64_t filters_;
  Conv2dSpec spec_;
  Bias bias_;
};

/// Options of conv2d: `filters`, `kernel` (needed), `stride` (1), `pad` (0), each a number or [height, width]; `bias`.
LayerPtr make_conv2d(OptionReader& options, const Shape& x);
/// The same along the length of a signal [N, 1, L, C]: `kernel`, `stride`, `pad` are single numbers.
LayerPtr make_conv1d(OptionReader& options, const Shape& x);

}  // namespace sutura
