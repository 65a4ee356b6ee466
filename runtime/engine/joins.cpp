#include "kernels/ops/add/add.h"
#include "kernels/ops/concat/concat.h"
#include "runtime/engine/executor_slots.h"

namespace sutura {
namespace {

/// A mean and a maximum are computed on the host, wherever the other work lies: few values of studies with several holders, and
/// no kernel of their own.
bool is_for_host(const Context& ctx, JoinKind kind) {
  return ctx.on_device() && (kind == JoinKind::kMean || kind == JoinKind::kMax);
}

}  // namespace

Tensor join_forward(Context& ctx, JoinKind kind, const std::vector<Tensor>& xs, Tensor& winners) {
  if (is_for_host(ctx, kind)) {
    Context host(Backend::kReference);
    std::vector<Tensor> there;
    for (const Tensor& x : xs) there.push_back(ctx.host(Tensor::borrow(x)));
    return ctx.here(join_forward(host, kind, there, winners));
  }
  if (kind == JoinKind::kConcat) {
    std::vector<std::int64_t> dims(xs[0].shape().dims().begin(), xs[0].shape().dims().end());
    std::vector<const Tensor*> inputs;
    dims.back() = 0;
    for (const Tensor& x : xs) {
      dims.back() += x.shape()[x.shape().rank() - 1];
      inputs.push_back(&x);
    }
    Tensor y = ctx.tensor(Shape(std::span<const std::int64_t>(dims)));
    concat_forward(ctx, inputs, y);
    return y;
  }
  Tensor y = ctx.clone(xs[0]);
  if (kind == JoinKind::kSum) {
    for (std::size_t k = 1; k < xs.size(); ++k) add(ctx, y, xs[k], y);
    return y;
  }
  const auto out = y.f32();
  if (kind == JoinKind::kMax) winners = Tensor::zeros(y.shape(), DType::kInt32);
  for (std::size_t k = 1; k < xs.size(); ++k) {
    if (kind == JoinKind::kMean) {
      add(ctx, y, xs[k], y);
      continue;
    }
    const auto x = xs[k].f32();
    const auto win = winners.as<std::int32_t>();
    for (std::size_t i = 0; i < out.size(); ++i)
      if (x[i] > out[i]) {
        out[i] = x[i];
        win[i] = static_cast<std::int32_t>(k);
      }
  }
  if (kind == JoinKind::kMean)
    for (float& v : out) v /= static_cast<float>(xs.size());
  return y;
}

std::vector<Tensor> join_backward(Context& ctx, JoinKind kind, const Tensor& grad, const std::vector<Shape>& shapes,
                                  const Tensor& winners) {
  std::vector<Tensor> grads;
  if (is_for_host(ctx, kind)) {
    Context host(Backend::kReference);
    grads = join_backward(host, kind, ctx.host(Tensor::borrow(grad)), shapes, winners);
    for (Tensor& g : grads) g = ctx.here(std::move(g));
    return grads;
  }
  if (kind == JoinKind::kSum) {
    for (std::size_t k = 0; k < shapes.size(); ++k) grads.push_back(ctx.clone(grad));
    return grads;
  }
  for (const Shape& s : shapes) grads.push_back(ctx.tensor(s));
  if (kind == JoinKind::kConcat) {
    std::vector<Tensor*> outputs;
    for (Tensor& g : grads) outputs.push_back(&g);
    concat_backward(ctx, grad, outputs);
    return grads;
  }
  const auto g = grad.f32();
  for (std::size_t k = 0; k < grads.size(); ++k) {
    const auto out = grads[k].f32();
    for (std::size_t i = 0; i < out.size(); ++i) {
      if (kind == JoinKind::kMean) out[i] = g[i] / static_cast<float>(grads.size());
      if (kind == JoinKind::kMax) out[i] = winners.as<std::int32_t>()[i] == static_cast<std::int32_t>(k) ? g[i] : 0.0f;
    }
  }
  return grads;
}

}  // namespace sutura
