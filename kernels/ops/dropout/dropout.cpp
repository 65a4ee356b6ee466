#include "kernels/ops/dropout/dropout.h"

#include <algorithm>

#include "core/random/philox.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/dropout/dropout_impl.h"

namespace sutura {

Tensor dropout_words(const DropoutKey& key) {
  Tensor words({4}, DType::kInt32);
  std::ranges::transform(PhiloxStream(key.seed, key.stream, key.index).words(), words.as<std::int32_t>().begin(),
                         [](std::uint32_t w) { return static_cast<std::int32_t>(w); });
  return words;
}

void dropout_forward(Context& ctx, float rate, const DropoutKey& key, const Tensor& x, Tensor& y, Tensor& mask) {
  dropout_forward(ctx, rate, ctx.here(dropout_words(key)), x, y, mask);
}

void dropout_forward(Context& ctx, float rate, const Tensor& words, const Tensor& x, Tensor& y, Tensor& mask) {
  const OpCheck check(ctx, "dropout_forward");
  check.setting(rate >= 0.0f && rate < 1.0f, "rate must lie in [0, 1)");
  check.activation("x", x);
  check.activation_like("y", y, x);
  check.shape("y", y, x.shape());
  check.type("mask", mask, DType::kUint8);
  check.shape("mask", mask, x.shape());
  check.type("words", words, DType::kInt32);
  check.shape("words", words, Shape{4});
  if (x.elements() == 0) return;
  on_backend(ctx, reference::dropout_draw, reference::dropout_draw, &DeviceOps::dropout_draw)(ctx, rate, words, mask);
  on_backend(ctx, reference::dropout_apply, onednn::dropout_apply, &DeviceOps::dropout_apply)(ctx, rate, mask, x, y);
}

void dropout_backward(Context& ctx, float rate, const Tensor& mask, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check(ctx, "dropout_backward");
  check.setting(rate >= 0.0f && rate < 1.0f, "rate must lie in [0, 1)");
  check.activation("grad_y", grad_y);
  check.activation_like("grad_x", grad_x, grad_y);
  check.shape("grad_x", grad_x, grad_y.shape());
  check.type("mask", mask, DType::kUint8);
  check.shape("mask", mask, grad_y.shape());
  if (grad_y.elements() == 0) return;
  on_backend(ctx, reference::dropout_apply, onednn::dropout_apply, &DeviceOps::dropout_apply)(ctx, rate, mask, grad_y, grad_x);
}

}  // namespace sutura
