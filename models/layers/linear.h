#pragma once
#include "models/layers/fusable.h"

namespace sutura {

class OptionReader;
enum class Bias { kNone, kAdded };

/// y = x W^T + b. Shapes: x [N, I], y [N, O]; parameters weight [O, I], bias [O].
/// Numbers: on `reference` every sum runs over a fixed tree. Errors: kShapeMismatch naming the layer.
class Linear final : public ProductLayer {
 public:
  Linear(std::int64_t inputs, std::int64_t outputs, Bias bias = Bias::kAdded) : inputs_(inputs), outputs_(outputs), bias_(bias) {}
  Shape output_shape(const Shape& x) const override;
  std::vector<ParamSpec> param_specs() const override;
  double flops(const Shape& x) const override;
  /// Never gives statistics.
  Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass, Activation activation,
                       Tensor* statistics) const override;

 protected:
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  std::int64_t inputs_;
  std::int64_t outputs_;
  Bias bias_;
};

/// Options: `outputs` (needed; -1 takes `task_outputs`), `bias` (true, false).
LayerPtr make_linear(OptionReader& options, const Shape& x, std::int64_t task_outputs);

}  // namespace sutura
