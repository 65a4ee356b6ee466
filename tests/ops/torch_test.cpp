#include <gtest/gtest.h>

#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/ops/clip_gradients/clip_gradients.h"
#include "kernels/ops/conv2d/conv2d.h"
#include "kernels/ops/gelu/gelu.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "kernels/ops/linear/linear.h"
#include "kernels/ops/mean_squared_error/mean_squared_error.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/sgd/sgd.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "operation.h"
#include "tests/support/tensor_file.h"

// The same inputs through PyTorch (make_torch_fixture.py): layout, conventions and constants, not just formulas.
namespace sutura::testing {
namespace {

/// Both sides compute in float32 in different orders: sums of up to 500 terms of size 1, each side off by about
/// sqrt(500) * 2^-24 = 1.3e-6 of the sum of sizes against the largest result; 1e-5 is four times their difference.
constexpr double kTolerance = 1e-5;

class Torch : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    ctx_ = make_context(GetParam());
    if (!ctx_) GTEST_SKIP();
  }
  const Tensor& get(const std::string& name) const { return fixture_.at(name); }
  Tensor here(const std::string& name) const { return ctx_->clone(get(name)); }  ///< a copy where the context computes
  void expect(const std::string& name, const Tensor& got, double tolerance = kTolerance) const {
    EXPECT_EQ(got.shape(), get(name).shape()) << name;
    EXPECT_LE(worst_error(to_doubles(ctx_->host(Tensor::borrow(got))), {to_doubles(get(name)), {}}), tolerance) << name;
  }
  std::optional<Context> ctx_;
  TensorFile fixture_{std::string(SUTURA_SOURCE_DIR) + "/tests/fixtures/torch_ops.bin"};
};
INSTANTIATE_TEST_SUITE_P(Backends, Torch, ::testing::ValuesIn(f32_variants()), [](const auto& i) { return text(i.param); });

TEST_P(Torch, Conv2d) {
  for (const std::string name : {"conv0", "conv1", "conv2"}) {
    const auto s = get(name + ".spec").as<std::int32_t>();
    const Conv2dSpec spec{s[0], s[1], s[2], s[3], s[4], s[5]};
    const Tensor x = here(name + ".x"), weight = here(name + ".weight"), grad_y = here(name + ".grad_y");
    Tensor y = ctx_->tensor(grad_y.shape()), grad_x = ctx_->tensor(x.shape());
    Tensor grad_w = ctx_->zeros(weight.shape()), grad_b = ctx_->zeros(get(name + ".bias").shape());
    conv2d_forward(*ctx_, spec, x, weight, here(name + ".bias"), y);
    conv2d_backward_data(*ctx_, spec, grad_y, weight, grad_x);
    conv2d_backward_weights(*ctx_, spec, x, grad_y, grad_w, grad_b);
    expect(name + ".y", y);
    expect(name + ".grad_x", grad_x);
    expect(name + ".grad_weight", grad_w);
    expect(name + ".grad_bias", grad_b);
  }
}

TEST_P(Torch, Linear) {
  const Tensor x = here("linear0.x"), weight = here("linear0.weight"), grad_y = here("linear0.grad_y");
  Tensor y = ctx_->tensor(grad_y.shape()), grad_x = ctx_->tensor(x.shape());
  Tensor grad_w = ctx_->zeros(weight.shape()), grad_b = ctx_->zeros(get("linear0.bias").shape());
  linear_forward(*ctx_, x, weight, here("linear0.bias"), y);
  linear_backward_data(*ctx_, grad_y, weight, grad_x);
  linear_backward_weights(*ctx_, x, grad_y, grad_w, grad_b);
  expect("linear0.y", y);
  expect("linear0.grad_x", grad_x);
  expect("linear0.grad_weight", grad_w);
  expect("linear0.grad_bias", grad_b);
}

TEST_P(Torch, GroupNorm) {
  const Tensor x = here("group.x"), gamma = here("group.gamma");
  Tensor y = ctx_->tensor(x.shape()), mean = ctx_->tensor({3, 4}), rstd = ctx_->tensor({3, 4}), grad_x = ctx_->tensor(x.shape());
  Tensor grad_gamma = ctx_->zeros({12}), grad_beta = ctx_->zeros({12});
  group_norm_forward(*ctx_, 4, 1e-5f, x, gamma, here("group.beta"), y, mean, rstd);
  group_norm_backward(*ctx_, 4, x, here("group.grad_y"), gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  expect("group.y", y);
  expect("group.grad_x", grad_x);
  expect("group.grad_gamma", grad_gamma);
  expect("group.grad_beta", grad_beta);
}

TEST_P(Torch, LayerNorm) {
  const Tensor x = here("layer.x"), gamma = here("layer.gamma");
  Tensor y = ctx_->tensor(x.shape()), mean = ctx_->tensor({6}), rstd = ctx_->tensor({6}), grad_x = ctx_->tensor(x.shape());
  Tensor grad_gamma = ctx_->zeros({33}), grad_beta = ctx_->zeros({33});
  layer_norm_forward(*ctx_, 1e-5f, x, gamma, here("layer.beta"), y, mean, rstd);
  layer_norm_backward(*ctx_, x, here("layer.grad_y"), gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  expect("layer.y", y);
  expect("layer.grad_x", grad_x);
  expect("layer.grad_gamma", grad_gamma);
  expect("layer.grad_beta", grad_beta);
}

TEST_P(Torch, BatchNorm) {
  const Tensor x = here("batch.x"), gamma = here("batch.gamma");
  Tensor running_mean = here("batch.running_mean_before"), running_var = here("batch.running_var_before");
  Tensor y = ctx_->tensor(x.shape()), mean = ctx_->tensor({6}), rstd = ctx_->tensor({6}), grad_x = ctx_->tensor(x.shape());
  Tensor grad_gamma = ctx_->zeros({6}), grad_beta = ctx_->zeros({6});
  batch_norm_forward_train(*ctx_, 1e-5f, 0.1f, x, gamma, here("batch.beta"), running_mean, running_var, y, mean, rstd);
  batch_norm_backward(*ctx_, x, here("batch.grad_y"), gamma, mean, rstd, grad_x, grad_gamma, grad_beta);
  expect("batch.y", y);
  expect("batch.grad_x", grad_x);
  expect("batch.grad_gamma", grad_gamma);
  expect("batch.grad_beta", grad_beta);
  expect("batch.running_mean_after", running_mean);
  expect("batch.running_var_after", running_var);
  Tensor evaluated = ctx_->tensor(get("evaluate.y").shape());
  batch_norm_forward_evaluate(*ctx_, 1e-5f, here("evaluate.x"), here("evaluate.gamma"), here("evaluate.beta"), running_mean,
                              running_var, evaluated);
  expect("evaluate.y", evaluated);
}

TEST_P(Torch, Gelu) {
  Tensor y = ctx_->tensor({200}), grad_x = ctx_->tensor({200});
  gelu_forward(*ctx_, here("gelu.x"), y);
  gelu_backward(*ctx_, here("gelu.x"), here("gelu.grad_y"), grad_x);
  expect("gelu.y", y, 1e-6);  // element by element: a few roundings
  expect("gelu.grad_x", grad_x, 1e-6);
}

TEST_P(Torch, Pooling) {
  const Pool2dSpec spec{3, 3, 2, 2, 1, 1};
  const Shape out = spec.output_shape(get("max_pool.x").shape());
  Tensor y = ctx_->tensor(out), index = ctx_->tensor(out, DType::kInt32), grad_x = ctx_->tensor(get("max_pool.x").shape());
  max_pool_forward(*ctx_, spec, here("max_pool.x"), y, index);
  max_pool_backward(*ctx_, spec, index, here("max_pool.grad_y"), grad_x);
  expect("max_pool.y", y, 0.0);
  expect("max_pool.grad_x", grad_x, 1e-6);
  avg_pool_forward(*ctx_, spec, here("avg_pool.x"), y);
  avg_pool_backward(*ctx_, spec, here("avg_pool.grad_y"), grad_x);
  expect("avg_pool.y", y, 1e-6);
  expect("avg_pool.grad_x", grad_x, 1e-6);
}

TEST_P(Torch, Losses) {
  Tensor grad = ctx_->tensor({9, 7});
  double loss = softmax_cross_entropy(*ctx_, here("cross_entropy.logits"), here("cross_entropy.labels"), 1.0 / 9.0, grad);
  EXPECT_NEAR(loss, get("cross_entropy.loss").f32()[0], 1e-6 * (1.0 + loss));
  expect("cross_entropy.grad", grad, 1e-6);
  Tensor column = ctx_->tensor({9, 1});
  loss = binary_cross_entropy_with_logits(*ctx_, here("binary.logits"), here("binary.labels"), 1.0 / 9.0, column);
  EXPECT_NEAR(loss, get("binary.loss").f32()[0], 1e-6 * (1.0 + loss));
  expect("binary.grad", column, 1e-6);
  Tensor rows = ctx_->tensor({9, 4});
  loss = mean_squared_error(*ctx_, here("squared.y"), here("squared.target"), 1.0 / 9.0, rows);
  EXPECT_NEAR(loss, get("squared.loss").f32()[0], 1e-6 * (1.0 + loss));
  expect("squared.grad", rows, 1e-6);
}

TEST_P(Torch, Optimizers) {
  // Three steps of a few float roundings each: 1e-6 of the largest value.
  Tensor params = here("sgd.params0"), velocity = ctx_->zeros({50});
  for (const std::string step : {"1", "2", "3"}) {
    sgd_step(*ctx_, {0.1f, 0.9f, 0.01f}, here("sgd.grads" + step), params, velocity);
    expect("sgd.params" + step, params, 1e-6);
  }
  params = here("adamw.params0");
  Tensor m = ctx_->zeros({50}), v = ctx_->zeros({50});
  for (int t = 1; t <= 3; ++t) {
    adamw_step(*ctx_, {0.01f, 0.9f, 0.999f, 1e-8f, 0.1f}, t, here(std::string("adamw.grads").append(std::to_string(t))), params, m, v);
    expect(std::string("adamw.params").append(std::to_string(t)), params, 1e-6);
  }
  Tensor grads = here("clip.before");
  EXPECT_NEAR(clip_gradients(*ctx_, 1.5, grads), get("clip.norm").f32()[0], 1e-5);
  expect("clip.after", grads, 1e-6);
}

}  // namespace
}  // namespace sutura::testing
