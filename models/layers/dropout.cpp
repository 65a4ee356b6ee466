#include "models/layers/dropout.h"

#include "core/error.h"
#include "kernels/ops/dropout/dropout.h"
#include "models/draw_words.h"
#include "models/layers/option_reader.h"

namespace sutura {

Dropout::Dropout(float rate) : rate_(rate) {
  require(rate >= 0.0f && rate < 1.0f, Errc::kInvalidArgument, "a dropout rate is at least 0 and below 1");
}

Tensor Dropout::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  if (pass.mode == Mode::kEvaluate) return x;
  const std::string stream = "dropout:" + name() + ":" + std::to_string(pass.lane) + ":" + std::to_string(pass.micro_batch);
  Tensor y = ctx.tensor(x.shape(), x.dtype());
  Tensor mask = ctx.tensor(x.shape(), DType::kUint8);
  if (pass.draws != nullptr)
    dropout_forward(ctx, rate_, pass.draws->words(ctx, pass.seed, stream, pass.step), x, y, mask);
  else
    dropout_forward(ctx, rate_, {pass.seed, stream, pass.step}, x, y, mask);
  saved.tensors.push_back(std::move(mask));
  return y;
}

Tensor Dropout::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(grad_y.shape(), grad_y.dtype());
  dropout_backward(ctx, rate_, saved.tensors.at(0), grad_y, grad_x);
  return grad_x;
}

LayerPtr make_dropout(OptionReader& options, const Shape&) {
  return std::make_unique<Dropout>(static_cast<float>(options.number("rate", 0.5, 0.0, 1.0)));
}

}  // namespace sutura
