#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/ops/add/add.h"
#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "kernels/ops/relu/relu.h"
#include "operation.h"

namespace sutura::testing {
namespace {

constexpr float kEps = 1e-3f;
// Float32 tolerances: an output is (x - mean) * rstd * gamma + beta with |x| <= 8 against a deviation near 1, so five roundings
// of values up to 10 against the largest output, 5 * 10 * 2^-24 = 3e-6; onednn also sums in float32. Gradients subtract three
// terms of that size. A group of one value or of equal values has rstd = 1 / sqrt(eps) = 32, which multiplies the error again.
constexpr double kTolerance = 1e-5;
constexpr double kGradientTolerance = 1e-4;

/// Normalises the elements in each cell: cell_of(element index) names the set, then scales by channel.
Values normalise(const Arrays& a, std::int64_t channels, std::int64_t cells,
                 const std::function<std::int64_t(std::int64_t)>& cell_of) {
  const auto at = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  std::vector<double> count(at(cells)), mean(at(cells)), variance(at(cells));
  const auto elements = static_cast<std::int64_t>(a[0].size());
  for (std::int64_t i = 0; i < elements; ++i) {
    count[at(cell_of(i))] += 1.0;
    mean[at(cell_of(i))] += a[0][at(i)];
  }
  for (std::int64_t k = 0; k < cells; ++k) mean[at(k)] /= count[at(k)];
  for (std::int64_t i = 0; i < elements; ++i) variance[at(cell_of(i))] += std::pow(a[0][at(i)] - mean[at(cell_of(i))], 2);
  Values y;
  for (std::int64_t i = 0; i < elements; ++i) {
    const std::size_t k = at(cell_of(i));
    y.value.push_back((a[0][at(i)] - mean[k]) / std::sqrt(variance[k] / count[k] + kEps) * a[1][at(i % channels)] +
                      a[2][at(i % channels)]);
  }
  return y;
}

Operation norm_operation(const std::string& name, const Shape& x) {
  const std::int64_t channels = x[x.rank() - 1];
  Operation o;
  o.name = name;
  for (const std::int64_t d : x.dims()) o.name.append("_").append(std::to_string(d));
  o.inputs = {{"x", x}, {"gamma", {channels}, Role::kParameter, Draw::kPositive}, {"beta", {channels}, Role::kParameter}};
  o.output = x;
  o.tolerance = kTolerance;
  o.gradient_tolerance = kGradientTolerance;
  return o;
}

Operation group_operation(const Shape& x, std::int64_t groups) {
  Operation o = norm_operation("group" + std::to_string(groups), x);
  const std::int64_t channels = x[x.rank() - 1], row = x.row_elements();
  o.oracle = [=](const Arrays& a) {
    return normalise(a, channels, x[0] * groups,
                     [=](std::int64_t i) { return i / row * groups + i % channels / (channels / groups); });
  };
  o.saved = {{Shape{x[0], groups}, DType::kFloat32}, {Shape{x[0], groups}, DType::kFloat32}};
  o.forward = [=](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    group_norm_forward(ctx, groups, kEps, t[0], t[1], t[2], y, s[0], s[1]);
  };
  o.backward = [=](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>& s, const Tensor& g,
                   std::vector<Tensor>& d) { group_norm_backward(ctx, groups, t[0], g, t[1], s[0], s[1], d[0], d[1], d[2]); };
  return o;
}

Operation layer_operation(const Shape& x) {
  Operation o = norm_operation("layer", x);
  const std::int64_t channels = x[x.rank() - 1], rows = x.elements() / channels;
  o.oracle = [=](const Arrays& a) { return normalise(a, channels, rows, [=](std::int64_t i) { return i / channels; }); };
  o.saved = {{Shape{rows}, DType::kFloat32}, {Shape{rows}, DType::kFloat32}};
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    layer_norm_forward(ctx, kEps, t[0], t[1], t[2], y, s[0], s[1]);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>& s, const Tensor& g,
                  std::vector<Tensor>& d) { layer_norm_backward(ctx, t[0], g, t[1], s[0], s[1], d[0], d[1], d[2]); };
  return o;
}

Operation batch_operation(const Shape& x) {
  Operation o = norm_operation("batch", x);
  o.records = Operation::Records::kCoupled;
  const std::int64_t channels = x[x.rank() - 1];
  o.oracle = [=](const Arrays& a) { return normalise(a, channels, channels, [=](std::int64_t i) { return i % channels; }); };
  o.saved = {{Shape{channels}, DType::kFloat32}, {Shape{channels}, DType::kFloat32}};
  o.forward = [=](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    Tensor running_mean = ctx.zeros({channels}), running_var = ctx.zeros({channels});
    batch_norm_forward_train(ctx, kEps, 0.1f, t[0], t[1], t[2], running_mean, running_var, y, s[0], s[1]);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>& t, const Tensor&, const std::vector<Tensor>& s, const Tensor& g,
                  std::vector<Tensor>& d) { batch_norm_backward(ctx, t[0], g, t[1], s[0], s[1], d[0], d[1], d[2]); };
  return o;
}

Operation batch_evaluate_operation(const Shape& x) {
  Operation o = norm_operation("evaluate", x);
  const std::int64_t channels = x[x.rank() - 1];
  o.inputs.push_back({"running_mean", {channels}, Role::kParameter});
  o.inputs.push_back({"running_var", {channels}, Role::kParameter, Draw::kPositive});
  o.oracle = [=](const Arrays& a) {
    Values y;
    for (std::size_t i = 0; i < a[0].size(); ++i) {
      const std::size_t c = i % static_cast<std::size_t>(channels);
      y.value.push_back((a[0][i] - a[3][c]) / std::sqrt(a[4][c] + kEps) * a[1][c] + a[2][c]);
    }
    return y;
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    batch_norm_forward_evaluate(ctx, kEps, t[0], t[1], t[2], t[3], t[4], y);
  };
  return o;
}

/// `plain` with a residual (its input 3) and a ReLU behind the norm. forward and backward are the caller's.
Operation with_tail(Operation plain) {
  Operation o = std::move(plain);
  o.name += "_fused";
  o.inputs.push_back({"residual", o.output});
  // In half precision a CPU rounds the norm before it adds: by 2^-9 of up to 4, which turns the ReLU of values within 0.008 of 0.
  // At a density below 0.4 those are under 0.7 % of the values, and each moves a parameter's gradient by about |g h| = 0.8: of
  // 288 values two, together up to 1.4 against a largest gradient of about 3 standard deviations, 3 * 0.7 * sqrt(288) = 36.
  o.half_gradient_tolerance += 0.04;
  o.oracle = [norm = o.oracle](const Arrays& a) {
    Values y = norm(a);
    for (std::size_t i = 0; i < y.value.size(); ++i) y.value[i] = std::max(0.0, y.value[i] + a[3][i]);
    return y;
  };
  return o;
}

Operation group_fused_operation(const Shape& x, std::int64_t groups) {
  Operation o = with_tail(group_operation(x, groups));
  o.forward = [=](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    group_norm_forward_fused(ctx, groups, kEps, t[0], t[1], t[2], {&t[3], Activation::kRelu}, y, s[0], s[1]);
  };
  o.backward = [=](Context& ctx, const std::vector<Tensor>& t, const Tensor& y, const std::vector<Tensor>& s, const Tensor& g,
                   std::vector<Tensor>& d) {
    group_norm_backward_fused(ctx, groups, t[0], g, t[1], s[0], s[1], {&y, &d[3]}, d[0], d[1], d[2]);
  };
  return o;
}

/// Sums and sums of squares of blocks of `rows_per_block` rows, as a convolution's epilogue leaves them.
Tensor partial_sums(Context& ctx, const Tensor& x_here, std::int64_t rows_per_block) {
  const std::vector<double> x = to_doubles(ctx.host(Tensor::borrow(x_here)));
  const std::int64_t channels = x_here.shape()[x_here.shape().rank() - 1], rows = x_here.elements() / channels;
  const std::int64_t blocks = (rows + rows_per_block - 1) / rows_per_block;
  Tensor sums = Tensor::zeros({blocks, 2, channels});
  for (std::int64_t i = 0; i < rows * channels; ++i) {
    const double v = x[static_cast<std::size_t>(i)];
    const std::int64_t at = i / channels / rows_per_block * 2 * channels + i % channels;
    sums.f32()[static_cast<std::size_t>(at)] += static_cast<float>(v);
    sums.f32()[static_cast<std::size_t>(at + channels)] += static_cast<float>(v * v);
  }
  return ctx.here(std::move(sums));
}

/// Whose statistics a fused batch norm takes.
enum class Sums { kOwn, kGiven };

Operation batch_fused_operation(const Shape& x, Sums sums) {
  Operation o = with_tail(batch_operation(x));
  if (sums == Sums::kGiven) o.name += "_partials";
  const std::int64_t channels = x[x.rank() - 1];
  o.forward = [=](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>& s) {
    Tensor running_mean = ctx.zeros({channels}), running_var = ctx.zeros({channels});
    const Tensor partials = sums == Sums::kGiven ? partial_sums(ctx, t[0], 7) : Tensor();
    batch_norm_forward_train_fused(ctx, kEps, 0.1f, t[0], t[1], t[2], running_mean, running_var, {&t[3], Activation::kRelu},
                                   partials, y, s[0], s[1]);
  };
  o.backward = [](Context& ctx, const std::vector<Tensor>& t, const Tensor& y, const std::vector<Tensor>& s, const Tensor& g,
                  std::vector<Tensor>& d) {
    batch_norm_backward_fused(ctx, t[0], g, t[1], s[0], s[1], {&y, &d[3]}, d[0], d[1], d[2]);
  };
  return o;
}

Operation batch_evaluate_fused_operation(const Shape& x) {
  Operation o = batch_evaluate_operation(x);
  o.name += "_fused";
  o.inputs.push_back({"residual", x});
  o.oracle = [norm = o.oracle](const Arrays& a) {
    Values y = norm(a);
    for (std::size_t i = 0; i < y.value.size(); ++i) y.value[i] = std::max(0.0, y.value[i] + a[5][i]);
    return y;
  };
  o.forward = [](Context& ctx, const std::vector<Tensor>& t, Tensor& y, std::vector<Tensor>&) {
    batch_norm_forward_evaluate_fused(ctx, kEps, t[0], t[1], t[2], t[3], t[4], {&t[5], Activation::kRelu}, y);
  };
  return o;
}

std::vector<Operation> operations() {
  return {
      group_operation({0, 4, 4, 8}, 2), group_operation({1, 1, 1, 1}, 1), group_operation({3, 5, 5, 16}, 4),
      group_operation({2, 7, 3, 33}, 3), group_operation({3, 4, 4, 5}, 5), group_operation({17, 3, 3, 8}, 1),
      group_operation({2, 14, 14, 16}, 2), group_operation({3, 12}, 3), group_operation({2, 1, 20, 6}, 2),
      layer_operation({0, 8}), layer_operation({1, 1}), layer_operation({3, 5}), layer_operation({17, 33}),
      layer_operation({2, 3, 16}), layer_operation({2, 300}), batch_operation({1, 4, 4, 3}), batch_operation({3, 5, 5, 16}),
      batch_operation({17, 3, 3, 5}), batch_operation({2, 7, 3, 33}), batch_operation({17, 12}), batch_operation({2, 14, 14, 8}),
      batch_evaluate_operation({0, 2, 2, 3}), batch_evaluate_operation({3, 5, 5, 16}), batch_evaluate_operation({5, 33}),
      // What a device cuts differently: one set over several blocks, a set a block, a row a block, chunks of many rows.
      group_operation({1, 64, 65, 8}, 1), group_operation({1, 61, 41, 3}, 1), group_operation({2, 12, 12, 24}, 3),
      layer_operation({3, 2056}), batch_operation({5, 11, 9, 3}), batch_operation({2, 40, 30, 8}),
      group_fused_operation({3, 5, 5, 16}, 4), group_fused_operation({2, 7, 3, 33}, 3), group_fused_operation({1, 64, 65, 8}, 1),
      group_fused_operation({2, 12, 12, 24}, 3), batch_fused_operation({0, 3, 3, 8}, Sums::kOwn),
      batch_fused_operation({3, 5, 5, 16}, Sums::kOwn), batch_fused_operation({17, 3, 3, 5}, Sums::kOwn),
      batch_fused_operation({3, 5, 5, 16}, Sums::kGiven), batch_fused_operation({17, 3, 3, 5}, Sums::kGiven),
      batch_evaluate_fused_operation({3, 5, 5, 16}), batch_evaluate_fused_operation({5, 33})};
}

class Norm : public ::testing::TestWithParam<std::tuple<Operation, Variant>> {};
TEST_P(Norm, MatchesOracle) { check_operation(std::get<0>(GetParam()), std::get<1>(GetParam())); }
INSTANTIATE_TEST_SUITE_P(Shapes, Norm, ::testing::Combine(::testing::ValuesIn(operations()), ::testing::ValuesIn(all_variants())),
                         [](const auto& i) { return std::get<0>(i.param).name + "_" + text(std::get<1>(i.param)); });

class NormBackend : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Backends, NormBackend, ::testing::ValuesIn(f32_variants()), [](const auto& i) { return text(i.param); });

TEST_P(NormBackend, BatchNormUpdatesRunningStatistics) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const std::vector<float> xs{1.0f, 10.0f, 2.0f, 20.0f, 6.0f, 60.0f};  // [3, 2]: channel 0 is 1 2 6, channel 1 ten times that
  const std::vector<float> start_mean{1.0f, -1.0f}, start_var{2.0f, 4.0f};
  const Tensor x = ctx->here(Tensor::from({3, 2}, xs)), gamma = ctx->here(Tensor::from({2}, std::vector<float>{1.0f, 1.0f}));
  Guarded running_mean_here(*ctx, {2}), running_var_here(*ctx, {2}), y(*ctx, {3, 2}), mean_here(*ctx, {2}), rstd_here(*ctx, {2});
  running_mean_here.set(Tensor::from({2}, start_mean));
  running_var_here.set(Tensor::from({2}, start_var));
  batch_norm_forward_train(*ctx, kEps, 0.25f, x, gamma, ctx->zeros({2}), running_mean_here.tensor(), running_var_here.tensor(),
                           y.tensor(), mean_here.tensor(), rstd_here.tensor());
  const Tensor running_mean = running_mean_here.values(), running_var = running_var_here.values();
  const Tensor mean = mean_here.values(), rstd = rstd_here.values();
  // Mean 3, unbiased variance (4 + 1 + 9) / 2 = 7, biased 14 / 3.
  EXPECT_NEAR(running_mean.f32()[0], 0.75f * 1.0f + 0.25f * 3.0f, 1e-6);
  EXPECT_NEAR(running_mean.f32()[1], 0.75f * -1.0f + 0.25f * 30.0f, 1e-5);
  EXPECT_NEAR(running_var.f32()[0], 0.75f * 2.0f + 0.25f * 7.0f, 1e-6);
  EXPECT_NEAR(running_var.f32()[1], 0.75f * 4.0f + 0.25f * 700.0f, 1e-4);
  EXPECT_NEAR(mean.f32()[0], 3.0f, 1e-6);
  EXPECT_NEAR(rstd.f32()[0], 1.0 / std::sqrt(14.0 / 3.0 + kEps), 1e-6);
}

TEST_P(NormBackend, EmptyBatchLeavesRunningStatistics) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  Guarded mean_here(*ctx, {1}), rstd_here(*ctx, {1});
  Tensor running_mean = ctx->here(Tensor::from({1}, std::vector<float>{3.0f}));
  Tensor running_var = ctx->here(Tensor::from({1}, std::vector<float>{5.0f})), y = ctx->tensor({0, 1});
  batch_norm_forward_train(*ctx, 0.25f, 0.5f, ctx->tensor({0, 1}), ctx->zeros({1}), ctx->zeros({1}), running_mean, running_var, y,
                           mean_here.tensor(), rstd_here.tensor());
  const Tensor mean = mean_here.values(), rstd = rstd_here.values();
  running_mean = ctx->host(std::move(running_mean));
  running_var = ctx->host(std::move(running_var));
  EXPECT_EQ(running_mean.f32()[0], 3.0f);
  EXPECT_EQ(running_var.f32()[0], 5.0f);
  EXPECT_EQ(mean.f32()[0], 0.0f);
  EXPECT_EQ(rstd.f32()[0], 2.0f);
}

TEST_P(NormBackend, LargeMeanDoesNotCancel) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  std::vector<float> xs;
  for (int i = 0; i < 64; ++i) xs.push_back(4096.0f + static_cast<float>(i % 2));  // deviation 0.5 around 4096.5
  const Tensor x = ctx->here(Tensor::from({1, 64}, xs)), one = ctx->here(Tensor::from({64}, std::vector<float>(64, 1.0f)));
  const Tensor zero = ctx->zeros({64});
  Guarded y(*ctx, {1, 64});
  Tensor mean = ctx->tensor({1}), rstd = ctx->tensor({1});
  // E[x^2] - E[x]^2 in float32 would be off by whole units here.
  const auto expect_normal = [&] {
    const Tensor values = y.values();
    for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(values.f32()[i], i % 2 == 0 ? -1.0f : 1.0f, 1e-3);
  };
  layer_norm_forward(*ctx, 1e-5f, x, one, zero, y.tensor(), mean, rstd);
  expect_normal();
  Tensor mean_g = ctx->tensor({1, 1}), rstd_g = ctx->tensor({1, 1});
  group_norm_forward(*ctx, 1, 1e-5f, x, one, zero, y.tensor(), mean_g, rstd_g);
  expect_normal();
  const Tensor column = Tensor::part(x, 0, {64, 1});
  Tensor column_y = Tensor::part(y.tensor(), 0, {64, 1}), running_mean = ctx->zeros({1}), running_var = ctx->zeros({1});
  batch_norm_forward_train(*ctx, 1e-5f, 0.1f, column, Tensor::part(one, 0, {1}), Tensor::part(zero, 0, {1}), running_mean,
                           running_var, column_y, mean, rstd);
  expect_normal();
}

TEST_P(NormBackend, NanStaysInItsSet) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{2, 2, 2, 4};
  Tensor x = to_tensor(draw_values({"x", shape}, DType::kFloat32, 5), shape, DType::kFloat32);
  x.f32()[16 + 5] = NAN;  // record 1, channel 1
  x = ctx->here(std::move(x));
  const Tensor gamma = ctx->here(Tensor::from({4}, std::vector<float>(4, 1.0f))), beta = ctx->zeros({4});
  Guarded y_here(*ctx, shape);
  Tensor y, mean = ctx->tensor({2, 2}), rstd = ctx->tensor({2, 2});
  group_norm_forward(*ctx, 2, kEps, x, gamma, beta, y_here.tensor(), mean, rstd);
  y = y_here.values();
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i >= 16 && i % 4 < 2) << "group norm " << i;
  Tensor row_mean = ctx->tensor({8}), row_rstd = ctx->tensor({8});
  layer_norm_forward(*ctx, kEps, x, gamma, beta, y_here.tensor(), row_mean, row_rstd);
  y = y_here.values();
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i / 4 == 5) << "layer norm " << i;
  Tensor batch_mean = ctx->tensor({4}), batch_rstd = ctx->tensor({4}), running_mean = ctx->zeros({4}),
         running_var = ctx->zeros({4});
  batch_norm_forward_train(*ctx, kEps, 0.1f, x, gamma, beta, running_mean, running_var, y_here.tensor(), batch_mean, batch_rstd);
  y = y_here.values();
  running_mean = ctx->host(std::move(running_mean));
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i % 4 == 1) << "batch norm " << i;
  EXPECT_TRUE(std::isnan(running_mean.f32()[1]));
  EXPECT_FALSE(std::isnan(running_mean.f32()[0]));
}

TEST_P(NormBackend, InfinityLeavesNothingFiniteInItsSet) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{2, 2, 2, 4};
  const Tensor gamma = ctx->here(Tensor::from({4}, std::vector<float>(4, 1.0f))), beta = ctx->zeros({4});
  for (const float infinity : {INFINITY, -INFINITY}) {
    Tensor x = to_tensor(draw_values({"x", shape}, DType::kFloat32, 5), shape, DType::kFloat32);
    x.f32()[16 + 5] = infinity;  // record 1, channel 1
    x = ctx->here(std::move(x));
    Guarded y(*ctx, shape);
    Tensor mean = ctx->tensor({2, 2}), rstd = ctx->tensor({2, 2}), row_mean = ctx->tensor({8}), row_rstd = ctx->tensor({8});
    group_norm_forward(*ctx, 2, kEps, x, gamma, beta, y.tensor(), mean, rstd);
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.values().f32()[i]), i >= 16 && i % 4 < 2) << "group norm " << i;
    layer_norm_forward(*ctx, kEps, x, gamma, beta, y.tensor(), row_mean, row_rstd);
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.values().f32()[i]), i / 4 == 5) << "layer norm " << i;
    Tensor batch_mean = ctx->tensor({4}), batch_rstd = ctx->tensor({4}), running_mean = ctx->zeros({4}),
           running_var = ctx->zeros({4});
    batch_norm_forward_train(*ctx, kEps, 0.1f, x, gamma, beta, running_mean, running_var, y.tensor(), batch_mean, batch_rstd);
    for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.values().f32()[i]), i % 4 == 1) << "batch norm " << i;
    const std::vector<double> means = to_doubles(ctx->host(std::move(running_mean))),
                              vars = to_doubles(ctx->host(std::move(running_var)));
    for (std::size_t c = 0; c < 4; ++c) {
      EXPECT_EQ(std::isfinite(means[c]), c != 1) << "running mean " << c;
      EXPECT_EQ(std::isfinite(vars[c]), c != 1) << "running variance " << c;
    }
  }
}

TEST_P(NormBackend, GradientMayOverwriteItsInput) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 2, 2, 4};
  const auto drawn = [&](const std::string& name, const Shape& s) {
    return ctx->here(to_tensor(draw_values({name, s}, DType::kFloat32, 6), s, DType::kFloat32));
  };
  const Tensor x = drawn("x", shape), g = drawn("g", shape), gamma = drawn("gamma", {4});
  const auto values = [&](const Tensor& t) { return to_doubles(ctx->host(Tensor::borrow(t))); };
  const auto compare = [&](auto backward) {
    Tensor apart = ctx->tensor(shape), in_place = ctx->clone(g);
    Tensor a = ctx->zeros({4}), b = ctx->zeros({4}), c = ctx->zeros({4}), d = ctx->zeros({4});
    backward(g, apart, a, b);
    const Tensor alias = Tensor::borrow(in_place);
    backward(alias, in_place, c, d);
    EXPECT_EQ(values(apart), values(in_place));
    EXPECT_EQ(values(a), values(c));
    EXPECT_EQ(values(b), values(d));
  };
  Tensor y = ctx->tensor(shape), mean = ctx->tensor({3, 2}), rstd = ctx->tensor({3, 2});
  group_norm_forward(*ctx, 2, kEps, x, gamma, gamma, y, mean, rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    group_norm_backward(*ctx, 2, x, from, gamma, mean, rstd, to, u, v);
  });
  Tensor rows_mean = ctx->tensor({12}), rows_rstd = ctx->tensor({12});
  layer_norm_forward(*ctx, kEps, x, gamma, gamma, y, rows_mean, rows_rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    layer_norm_backward(*ctx, x, from, gamma, rows_mean, rows_rstd, to, u, v);
  });
  Tensor batch_mean = ctx->tensor({4}), batch_rstd = ctx->tensor({4}), running_mean = ctx->zeros({4}),
         running_var = ctx->zeros({4});
  batch_norm_forward_train(*ctx, kEps, 0.1f, x, gamma, gamma, running_mean, running_var, y, batch_mean, batch_rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    batch_norm_backward(*ctx, x, from, gamma, batch_mean, batch_rstd, to, u, v);
  });
}

// Each half of a tail alone: what the table's residual with ReLU does not reach.
TEST_P(NormBackend, TailsOfOnePartEqualThePlainOps) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 2, 2, 4};
  const auto drawn = [&](const std::string& name, const Shape& s) {
    return ctx->here(to_tensor(draw_values({name, s}, DType::kFloat32, 8), s, DType::kFloat32));
  };
  const Tensor x = drawn("x", shape), r = drawn("r", shape), g = drawn("g", shape), gamma = drawn("gamma", {4});
  const auto values = [&](const Tensor& t) { return to_doubles(ctx->host(Tensor::borrow(t))); };
  Tensor plain = ctx->tensor(shape), want = ctx->tensor(shape), got = ctx->tensor(shape);
  Tensor mean = ctx->tensor({3, 2}), rstd = ctx->tensor({3, 2});
  group_norm_forward(*ctx, 2, kEps, x, gamma, gamma, plain, mean, rstd);
  group_norm_forward_fused(*ctx, 2, kEps, x, gamma, gamma, {}, got, mean, rstd);
  EXPECT_EQ(values(got), values(plain));
  group_norm_forward_fused(*ctx, 2, kEps, x, gamma, gamma, {&r, Activation::kNone}, got, mean, rstd);
  add(*ctx, plain, r, want);
  EXPECT_EQ(values(got), values(want));
  group_norm_forward_fused(*ctx, 2, kEps, x, gamma, gamma, {nullptr, Activation::kRelu}, got, mean, rstd);
  relu_forward(*ctx, plain, want);
  EXPECT_EQ(values(got), values(want));

  const auto backward = [&](const Tensor& from, const NormTailGradient& tail) {
    Tensor grad_x = ctx->tensor(shape), a = ctx->zeros({4}), b = ctx->zeros({4});
    group_norm_backward_fused(*ctx, 2, x, from, gamma, mean, rstd, tail, grad_x, a, b);
    return std::vector{values(grad_x), values(a), values(b)};
  };
  Tensor masked = ctx->tensor(shape), own = ctx->tensor(shape), alias = ctx->clone(g);
  relu_backward(*ctx, got, g, masked);
  const auto through_relu = backward(masked, {}), straight = backward(g, {});
  EXPECT_EQ(backward(g, {&got, nullptr}), through_relu);
  EXPECT_EQ(backward(g, {&got, &own}), through_relu);
  EXPECT_EQ(values(own), values(masked));
  EXPECT_EQ(backward(g, {nullptr, &own}), straight);
  EXPECT_EQ(values(own), values(g));
  EXPECT_EQ(backward(Tensor::borrow(alias), {&got, &alias}), through_relu) << "grad_residual is grad_y";
  EXPECT_EQ(values(alias), values(masked));

  // The ReLU of a tail hides no NaN.
  std::vector<double> broken = values(r);
  broken[5] = NAN;
  const Tensor nan_at_5 = ctx->here(to_tensor(broken, shape, DType::kFloat32));
  group_norm_forward_fused(*ctx, 2, kEps, x, gamma, gamma, {&nan_at_5, Activation::kRelu}, got, mean, rstd);
  for (std::size_t i = 0; i < broken.size(); ++i) EXPECT_EQ(std::isnan(values(got)[i]), i == 5) << i;
}

// The sums of an epilogue are rounded, so the variance of equal values may come out below zero.
TEST_P(NormBackend, GivenSumsOfEqualValuesGiveNoNan) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  constexpr std::int64_t kRows = 50, kChannels = 16;
  std::vector<float> xs(kRows * kChannels);
  for (std::size_t i = 0; i < xs.size(); ++i) xs[i] = 100.1f + 3.3f * static_cast<float>(i % kChannels);
  const Tensor x = ctx->here(Tensor::from({kRows, kChannels}, xs)), zero = ctx->zeros({kChannels});
  const Tensor one = ctx->here(Tensor::from({kChannels}, std::vector<float>(kChannels, 1.0f)));
  Guarded y(*ctx, x.shape());
  Tensor mean = ctx->tensor({kChannels}), rstd = ctx->tensor({kChannels});
  Tensor running_mean = ctx->zeros({kChannels}), running_var = ctx->zeros({kChannels});
  batch_norm_forward_train_fused(*ctx, 1e-5f, 0.1f, x, one, zero, running_mean, running_var, {nullptr, Activation::kRelu},
                                 partial_sums(*ctx, x, 7), y.tensor(), mean, rstd);
  // A mean of sums of 7 rounded values errs by 7 * 2^-24 of 150, 6e-5, which 1 / sqrt(eps) = 316 makes 0.02.
  const Tensor got = y.values();
  for (const float v : got.f32()) EXPECT_NEAR(v, 0.0f, 0.02f);
  for (const double v : to_doubles(ctx->host(std::move(running_var)))) EXPECT_GE(v, 0.0);
}

// Kernels that move 16 bytes at a time take another way for tensors that begin elsewhere; the order of sums may differ, no more.
TEST_P(NormBackend, UnalignedTensorsGiveTheSameValues) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 2, 2, 8};
  const std::int64_t n = shape.elements();
  const auto drawn = [&](const std::string& name, const Shape& s) {
    return ctx->here(to_tensor(draw_values({name, s}, DType::kFloat32, 9), s, DType::kFloat32));
  };
  const Tensor x = drawn("x", shape), g = drawn("g", shape), gamma = drawn("gamma", {8});
  const auto check = [&](auto op) {
    Tensor memory = ctx->zeros({4 * n + 8});
    Tensor from = Tensor::part(memory, 1, shape), back = Tensor::part(memory, n + 2, shape);
    Tensor y = Tensor::part(memory, 2 * n + 3, shape), grad_x = Tensor::part(memory, 3 * n + 5, shape);
    Tensor aligned_y = ctx->tensor(shape), aligned_grad_x = ctx->tensor(shape);
    ctx->copy(x, from);
    ctx->copy(g, back);
    op(x, g, aligned_y, aligned_grad_x);
    op(from, back, y, grad_x);
    const auto expect_near = [&](const Tensor& got, const Tensor& want) {
      const Values expected{to_doubles(ctx->host(ctx->clone(want))), {}};
      EXPECT_LE(worst_error(to_doubles(ctx->host(ctx->clone(got))), expected), kTolerance);
    };
    expect_near(y, aligned_y);
    expect_near(grad_x, aligned_grad_x);
  };
  check([&](const Tensor& from, const Tensor& back, Tensor& y, Tensor& grad_x) {
    Tensor mean = ctx->tensor({3, 2}), rstd = ctx->tensor({3, 2}), a = ctx->zeros({8}), b = ctx->zeros({8});
    group_norm_forward(*ctx, 2, kEps, from, gamma, gamma, y, mean, rstd);
    group_norm_backward(*ctx, 2, from, back, gamma, mean, rstd, grad_x, a, b);
  });
  check([&](const Tensor& from, const Tensor& back, Tensor& y, Tensor& grad_x) {
    Tensor mean = ctx->tensor({8}), rstd = ctx->tensor({8}), a = ctx->zeros({8}), b = ctx->zeros({8});
    Tensor running_mean = ctx->zeros({8}), running_var = ctx->zeros({8});
    batch_norm_forward_train(*ctx, kEps, 0.1f, from, gamma, gamma, running_mean, running_var, y, mean, rstd);
    batch_norm_backward(*ctx, from, back, gamma, mean, rstd, grad_x, a, b);
  });
}

}  // namespace
}  // namespace sutura::testing
