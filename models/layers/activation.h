#pragma once
#include "models/layer.h"

namespace sutura {

class OptionReader;

/// y = max(x, 0); NaN passes through. Any shape.
class Relu final : public Layer {
 public:
  Shape output_shape(const Shape& x) const override { return x; }
  double flops(const Shape& x) const override { return static_cast<double>(x.elements()); }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

/// y = x Phi(x), the exact erf form (Hendrycks & Gimpel 2016). Any shape.
class Gelu final : public Layer {
 public:
  Shape output_shape(const Shape& x) const override { return x; }
  double flops(const Shape& x) const override { return 4.0 * static_cast<double>(x.elements()); }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

/// y = 1 / (1 + exp(-x)). Any shape.
class Sigmoid final : public Layer {
 public:
  Shape output_shape(const Shape& x) const override { return x; }
  double flops(const Shape& x) const override { return 4.0 * static_cast<double>(x.elements()); }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

}  // namespace sutura
