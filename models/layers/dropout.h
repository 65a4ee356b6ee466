#pragma once
#include "models/layer.h"

namespace sutura {

class OptionReader;

/// Sets a share `rate` of the values to zero in training and scales the others by 1 / (1 - rate) (Srivastava et al. 2014);
/// passes x through in evaluation. Any shape. The mask is a pure function of (pass.seed, layer name, lane, micro-batch,
/// step, element), so a split network draws the same mask as a whole one.
class Dropout final : public Layer {
 public:
  /// `rate` in [0, 1). Errors: kInvalidArgument.
  explicit Dropout(float rate);
  Shape output_shape(const Shape& x) const override { return x; }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  float rate_;
};

/// Options: `rate` (0.5).
LayerPtr make_dropout(OptionReader& options, const Shape& x);

}  // namespace sutura
