#include "models/layers/flatten.h"

#include "core/error.h"
#include "models/layers/saved_shape.h"

namespace sutura {

Shape Flatten::output_shape(const Shape& x) const {
  require(x.rank() >= 2, Errc::kShapeMismatch, "layer " + name() + " (flatten) takes [N, ...], got " + x.text());
  return {x[0], x.row_elements()};
}

Tensor Flatten::do_forward(Context&, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(save_shape(x.shape()));
  const Shape y = output_shape(x.shape());
  return std::move(x).reshaped(y);
}

Tensor Flatten::do_backward(Context&, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  return std::move(grad_y).reshaped(saved_shape(saved.tensors.at(0)));
}

}  // namespace sutura
