#include "models/layer.h"

#include "core/error.h"

namespace sutura {

ParamView ParamView::slice(std::size_t begin, std::size_t count) const {
  ParamView v;
  for (std::size_t i = begin; i < begin + count; ++i) {
    v.values.push_back(Tensor::borrow(values[i]));
    v.grads.push_back(grads[i].defined() ? Tensor::borrow(grads[i]) : Tensor());
  }
  return v;
}

Tensor Layer::forward(Context& ctx, const ParamView& params, Tensor x, Saved& saved, const Pass& pass) const {
  require(x.defined(), Errc::kInvalidArgument, "layer " + name_ + " got no input");
  const Shape expected = output_shape(x.shape());
  Tensor y = do_forward(ctx, params, std::move(x), saved, pass);
  require(y.shape() == expected, Errc::kInternal,
          "layer " + name_ + " made " + y.shape().text() + " instead of " + expected.text());
  return y;
}

Tensor Layer::backward(Context& ctx, const ParamView& params, Saved& saved, Tensor grad_y, InputGrad want) const {
  require(grad_y.defined(), Errc::kInvalidArgument, "layer " + name_ + " got no gradient");
  Tensor grad_x = do_backward(ctx, params, saved, std::move(grad_y), want);
  saved = Saved{};
  return grad_x;
}

}  // namespace sutura
