#pragma once
#include "models/layer.h"

namespace sutura {

/// Every record becomes one row. Shapes: x [N, ...], y [N, D]. Moves no data.
class Flatten final : public Layer {
 public:
  Shape output_shape(const Shape& x) const override;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

}  // namespace sutura
