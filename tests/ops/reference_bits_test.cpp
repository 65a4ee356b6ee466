#include <gtest/gtest.h>

#include "core/bytes.h"
#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "operation.h"

namespace sutura::testing {
namespace {

Tensor drawn(const std::string& name, const Shape& shape) {
  return to_tensor(draw_values({name, shape}, DType::kFloat32, 77), shape, DType::kFloat32);
}

/// Gradients of a small network: convolution, group norm, GELU, pooling, linear, cross entropy. One digest over all of them.
std::string gradient_digest(Context& ctx) {
  const Conv2dSpec conv{3, 3, 1, 1, 1, 1};
  const Shape image{5, 12, 12, 3}, map{5, 12, 12, 16};
  const Tensor x = drawn("x", image), w = drawn("w", {16, 3, 3, 3}), b = drawn("b", {16}), gamma = drawn("gamma", {16});
  const Tensor head = drawn("head", {4, 16}), head_bias = drawn("head_bias", {4});
  const std::vector<std::int32_t> labels{0, 3, 1, 2, 3};
  Tensor a(map), n(map), h(map), mean({5, 4}), rstd({5, 4}), pooled({5, 16}), logits({5, 4}), grad_logits({5, 4});
  conv2d_forward(ctx, conv, x, w, b, a);
  group_norm_forward(ctx, 4, 1e-5f, a, gamma, b, n, mean, rstd);
  gelu_forward(ctx, n, h);
  global_avg_pool_forward(ctx, h, pooled);
  linear_forward(ctx, pooled, head, head_bias, logits);
  softmax_cross_entropy(ctx, logits, Tensor::from({5}, labels), 0.2, grad_logits);
  Tensor grad_pooled({5, 16}), grad_h(map), grad_n(map), grad_a(map), grad_x(image), grad_head = Tensor::zeros({4, 16});
  Tensor grad_head_bias = Tensor::zeros({4}), grad_gamma = Tensor::zeros({16}), grad_beta = Tensor::zeros({16});
  Tensor grad_w = Tensor::zeros(w.shape()), grad_b = Tensor::zeros({16});
  linear_backward_weights(ctx, pooled, grad_logits, grad_head, grad_head_bias);
  linear_backward_data(ctx, grad_logits, head, grad_pooled);
  global_avg_pool_backward(ctx, grad_pooled, grad_h);
  gelu_backward(ctx, n, grad_h, grad_n);
  group_norm_backward(ctx, 4, a, grad_n, gamma, mean, rstd, grad_a, grad_gamma, grad_beta);
  conv2d_backward_weights(ctx, conv, x, grad_a, grad_w, grad_b);
  conv2d_backward_data(ctx, conv, grad_a, w, grad_x);
  Tensor params = drawn("flat", {432}), m = Tensor::zeros({432}), v = Tensor::zeros({432});
  adamw_step(ctx, {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f}, 1, Tensor::borrow(grad_w.data(), {432}), params, m, v);
  Bytes all;
  for (const Tensor* t : {&logits, &grad_head, &grad_head_bias, &grad_gamma, &grad_beta, &grad_w, &grad_b, &grad_x, &params}) {
    all.insert(all.end(), t->bytes().begin(), t->bytes().end());
  }
  return to_hex(blake2b(all)).substr(0, 16);
}

// The promise of the reference backend: these bits on every x86-64, with every compiler. A change here changes what old
// checkpoints continue to and needs an entry in the change log.
TEST(ReferenceBits, ATrainingStepHasAFixedDigest) {
  Context ctx(Backend::kReference);
  EXPECT_EQ(gradient_digest(ctx), "e530a2ae01b59d49");
}

}  // namespace
}  // namespace sutura::testing
