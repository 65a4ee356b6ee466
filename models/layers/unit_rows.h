#pragma once
#include "models/layer.h"

namespace sutura {

/// y = x / ||x||_2 for each row; a zero row stays zero. A public front: no parameters, never trained.
/// Shapes: x, y [N, D], D <= 64: noise on a row grows with its dimensions, so a wide row is refused, not projected.
/// Numbers: norm in double, sequential sum; a row with NaN or infinity becomes NaN where its own values are, no other row.
/// Errors: kShapeMismatch naming the layer; backward is kInternal, because nothing before a public front trains.
class UnitRows final : public Layer {
 public:
  static constexpr std::int64_t kMaxColumns = 64;
  Shape output_shape(const Shape& x) const override;
  double flops(const Shape& x) const override { return 3.0 * static_cast<double>(x.elements()); }
  bool has_backward() const override { return false; }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

}  // namespace sutura
