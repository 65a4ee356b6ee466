#pragma once
#include "kernels/ops/activation.h"
#include "kernels/ops/norm_tail.h"
#include "models/layer.h"

namespace sutura {

/// A layer that is one matrix product: an activation and a norm's sums cost nothing extra while its result is stored.
class ProductLayer : public Layer {
 public:
  /// forward(), then `activation`. statistics: nullptr, or becomes what a following norm takes as partials (undefined where the
  /// backend gives none).
  virtual Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                               Activation activation, Tensor* statistics) const = 0;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const final {
    return forward_fused(ctx, params, std::move(x), saved, pass, Activation::kNone, nullptr);
  }
};

/// A layer that is bound by memory and whose result is mostly added to and cut off at 0: that costs no pass of its own.
class NormLayer : public Layer {
 public:
  /// forward(), then `tail`. partials: sums of x from the layer that made it, or undefined.
  virtual Tensor forward_fused(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass,
                               const NormTail& tail, const Tensor& partials) const = 0;
  /// backward() through `tail`. Leaves `saved` alone.
  virtual Tensor backward_fused(Context& ctx, const ParamView& params, const Saved& saved, const Tensor& grad_y,
                                const NormTailGradient& tail) const = 0;

 protected:
  Tensor do_forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const final {
    return forward_fused(ctx, params, std::move(x), saved, pass, {}, {});
  }
  Tensor do_backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad) const final {
    return backward_fused(ctx, params, saved, grad_y, {});
  }
};

}  // namespace sutura
