#include "models/layers/activation.h"

#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/relu/relu.h"
#include "kernels/ops/sigmoid/sigmoid.h"

namespace sutura {

Tensor Relu::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());
  relu_forward(ctx, x, y);
  // x is positive where y is, so x serves backward and y can move on without a copy.
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(std::move(x));
  return y;
}

Tensor Relu::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = Tensor::borrow(grad_y);
  relu_backward(ctx, saved.tensors.at(0), grad_y, grad_x);
  return grad_y;
}

Tensor Gelu::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());
  gelu_forward(ctx, x, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(std::move(x));
  return y;
}

Tensor Gelu::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(grad_y.shape(), grad_y.dtype());
  gelu_backward(ctx, saved.tensors.at(0), grad_y, grad_x);
  return grad_x;
}

Tensor Sigmoid::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(x.shape(), x.dtype());
  sigmoid_forward(ctx, x, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(ctx.clone(y));
  return y;
}

Tensor Sigmoid::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(grad_y.shape(), grad_y.dtype());
  sigmoid_backward(ctx, saved.tensors.at(0), grad_y, grad_x);
  return grad_x;
}

}  // namespace sutura
