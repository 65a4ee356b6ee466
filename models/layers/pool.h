#pragma once
#include "kernels/ops/pool2d/pool2d.h"
#include "models/layer.h"

namespace sutura {

class OptionReader;

/// Largest value of each window; the lowest index wins ties. Shapes: x [N, H, W, C], y [N, OH, OW, C].
class MaxPool final : public Layer {
 public:
  explicit MaxPool(const Pool2dSpec& spec) : spec_(spec) {}
  Shape output_shape(const Shape& x) const override;
  double flops(const Shape& x) const override;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  Pool2dSpec spec_;
};

/// Mean of each window, padding counted as zeros (PyTorch's default). Shapes: x [N, H, W, C], y [N, OH, OW, C].
class AvgPool final : public Layer {
 public:
  explicit AvgPool(const Pool2dSpec& spec) : spec_(spec) {}
  Shape output_shape(const Shape& x) const override;
  double flops(const Shape& x) const override;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;

 private:
  Pool2dSpec spec_;
};

/// Mean over all positions. Shapes: x [N, H, W, C], y [N, C].
class GlobalAvgPool final : public Layer {
 public:
  Shape output_shape(const Shape& x) const override;
  double flops(const Shape& x) const override { return static_cast<double>(x.elements()); }

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const override;
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const override;
};

/// Options of max_pool and avg_pool: `kernel` (needed), `stride` (the kernel), `pad` (0), each a number or [height, width].
LayerPtr make_max_pool(OptionReader& options, const Shape& x);
LayerPtr make_avg_pool(OptionReader& options, const Shape& x);

}  // namespace sutura
