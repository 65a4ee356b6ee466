#include "kernels/ops/mlp/mlp.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/mlp/mlp_impl.h"
#include "kernels/ops/relu/relu.h"

namespace sutura {

namespace {

/// Layers, their widths, and hidden values; returns the width of the output.
std::int64_t check_chain(const OpCheck& check, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden) {
  check.setting(!weights.empty() && weights.size() <= kMlpMostLayers, "1 to 8 layers");
  check.setting(hidden.size() + 1 == weights.size(), "one hidden tensor fewer than layers");
  check.activation("x", x);
  check.rank("x", x, 2, 2);
  std::int64_t width = x.shape()[1];
  for (std::size_t l = 0; l < weights.size(); ++l) {
    check.type("weight", weights[l], DType::kFloat32);
    check.rank("weight", weights[l], 2, 2, 0);
    check.setting(width <= kMlpWidest, "layers of at most 256");
    check.shape("weight", weights[l], Shape{weights[l].shape()[0], width});
    width = weights[l].shape()[0];
    if (l == hidden.size()) break;
    check.activation_like("hidden", hidden[l], x);
    check.shape("hidden", hidden[l], Shape{x.shape()[0], width});
  }
  check.setting(width <= kMlpWidest, "layers of at most 256");
  return width;
}

void check_biases(const OpCheck& check, std::span<const Tensor> weights, std::span<const Tensor> biases, std::string_view what) {
  check.setting(biases.size() == weights.size(), "one bias, or an undefined tensor, per layer");
  for (std::size_t l = 0; l < weights.size(); ++l)
    if (biases[l].defined()) check.f32(what, biases[l], Shape{weights[l].shape()[0]});
}

}  // namespace

void mlp_forward(Context& ctx, std::span<const Tensor> weights, std::span<const Tensor> biases, const Tensor& x,
                 std::span<Tensor> hidden, Tensor& y) {
  const OpCheck check(ctx, "mlp_forward");
  const std::int64_t outputs = check_chain(check, weights, x, hidden);
  check_biases(check, weights, biases, "bias");
  check.activation_like("y", y, x);
  check.shape("y", y, Shape{x.shape()[0], outputs});
  if (x.shape()[0] == 0) return;
  if (ctx.on_device()) return device_entry(ctx, &DeviceOps::mlp_forward)(ctx, weights, biases, x, hidden, y);
  const Tensor* from = &x;
  for (std::size_t l = 0; l < hidden.size(); ++l) {
    linear_forward(ctx, *from, weights[l], biases[l], hidden[l]);
    relu_forward(ctx, hidden[l], hidden[l]);
    from = &hidden[l];
  }
  linear_forward(ctx, *from, weights.back(), biases.back(), y);
}

void mlp_backward(Context& ctx, std::span<const Tensor> weights, const Tensor& x, std::span<const Tensor> hidden,
                  const Tensor& grad_y, Tensor& grad_x, std::span<Tensor> grad_weights, std::span<Tensor> grad_biases) {
  const OpCheck check(ctx, "mlp_backward");
  const std::int64_t outputs = check_chain(check, weights, x, hidden);
  check.activation_like("grad_y", grad_y, x);
  check.shape("grad_y", grad_y, Shape{x.shape()[0], outputs});
  check.setting(grad_weights.size() == weights.size(), "one gradient per weight");
  for (std::size_t l = 0; l < weights.size(); ++l) check.f32("grad weight", grad_weights[l], weights[l].shape());
  check_biases(check, weights, grad_biases, "grad bias");
  if (grad_x.defined()) {
    check.activation_like("grad_x", grad_x, x);
    check.shape("grad_x", grad_x, x.shape());
  }
  if (x.shape()[0] == 0) return;
  if (ctx.on_device())
    return device_entry(ctx, &DeviceOps::mlp_backward)(ctx, weights, x, hidden, grad_y, grad_x, grad_weights, grad_biases);
  Tensor grad = Tensor::borrow(grad_y);
  for (std::size_t l = weights.size(); l-- > 0;) {
    linear_backward_weights(ctx, l == 0 ? x : hidden[l - 1], grad, grad_weights[l], grad_biases[l]);
    if (l == 0) {
      if (grad_x.defined()) linear_backward_data(ctx, grad, weights[0], grad_x);
      return;
    }
    Tensor below = ctx.tensor(hidden[l - 1].shape(), x.dtype());
    linear_backward_data(ctx, grad, weights[l], below);
    relu_backward(ctx, hidden[l - 1], below, below);
    grad = std::move(below);
  }
}

}  // namespace sutura
