#include "models/layers/pool.h"

#include "core/error.h"
#include "models/layers/option_reader.h"
#include "models/layers/saved_shape.h"

namespace sutura {
namespace {

Shape pooled(const Layer& layer, const Pool2dSpec& spec, const Shape& x) {
  require(x.rank() == 4, Errc::kShapeMismatch, "layer " + layer.name() + " (pooling) takes [N, H, W, C], got " + x.text());
  require(x[1] + 2 * spec.pad_h >= spec.kernel_h && x[2] + 2 * spec.pad_w >= spec.kernel_w, Errc::kShapeMismatch,
          "layer " + layer.name() + " (pooling): the window is larger than its padded input " + x.text());
  return spec.output_shape(x);
}

Pool2dSpec read_spec(OptionReader& options) {
  const Pair kernel = options.needed_pair("kernel", 1);
  const Pair stride = options.pair("stride", kernel, 1);
  const Pair pad = options.pair("pad", {0, 0}, 0);
  if (2 * pad[0] > kernel[0] || 2 * pad[1] > kernel[1]) options.fail("option 'pad' must be at most half the kernel");
  return {kernel[0], kernel[1], stride[0], stride[1], pad[0], pad[1]};
}

double window_flops(const Pool2dSpec& spec, const Shape& y) {
  return static_cast<double>(y.elements()) * static_cast<double>(spec.kernel_h * spec.kernel_w);
}

}  // namespace

Shape MaxPool::output_shape(const Shape& x) const { return pooled(*this, spec_, x); }
double MaxPool::flops(const Shape& x) const { return window_flops(spec_, output_shape(x)); }

Tensor MaxPool::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(output_shape(x.shape()), x.dtype());  // [N, OH, OW, C]
  Tensor index = ctx.tensor(y.shape(), DType::kInt32);        // [N, OH, OW, C]
  max_pool_forward(ctx, spec_, x, y, index);
  if (pass.mode == Mode::kTrain) {
    saved.tensors.push_back(std::move(index));
    saved.tensors.push_back(save_shape(x.shape()));
  }
  return y;
}

Tensor MaxPool::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(saved_shape(saved.tensors.at(1)), grad_y.dtype());  // [N, H, W, C]
  max_pool_backward(ctx, spec_, saved.tensors.at(0), grad_y, grad_x);
  return grad_x;
}

Shape AvgPool::output_shape(const Shape& x) const { return pooled(*this, spec_, x); }
double AvgPool::flops(const Shape& x) const { return window_flops(spec_, output_shape(x)); }

Tensor AvgPool::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(output_shape(x.shape()), x.dtype());  // [N, OH, OW, C]
  avg_pool_forward(ctx, spec_, x, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(save_shape(x.shape()));
  return y;
}

Tensor AvgPool::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(saved_shape(saved.tensors.at(0)), grad_y.dtype());  // [N, H, W, C]
  avg_pool_backward(ctx, spec_, grad_y, grad_x);
  return grad_x;
}

Shape GlobalAvgPool::output_shape(const Shape& x) const {
  require(x.rank() == 4 && x[1] * x[2] >= 1, Errc::kShapeMismatch,
          "layer " + name() + " (global average pool) takes [N, H, W, C], got " + x.text());
  return {x[0], x[3]};
}

Tensor GlobalAvgPool::do_forward(Context& ctx, const ParamView&, Tensor x, Saved& saved, const Pass& pass) const {
  Tensor y = ctx.tensor(output_shape(x.shape()), x.dtype());  // [N, C]
  global_avg_pool_forward(ctx, x, y);
  if (pass.mode == Mode::kTrain) saved.tensors.push_back(save_shape(x.shape()));
  return y;
}

Tensor GlobalAvgPool::do_backward(Context& ctx, const ParamView&, Saved& saved, Tensor grad_y, InputGrad) const {
  Tensor grad_x = ctx.tensor(saved_shape(saved.tensors.at(0)), grad_y.dtype());  // [N, H, W, C]
  global_avg_pool_backward(ctx, grad_y, grad_x);
  return grad_x;
}

LayerPtr make_max_pool(OptionReader& options, const Shape&) { return std::make_unique<MaxPool>(read_spec(options)); }
LayerPtr make_avg_pool(OptionReader& options, const Shape&) { return std::make_unique<AvgPool>(read_spec(options)); }

}  // namespace sutura
