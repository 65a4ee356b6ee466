#include <gtest/gtest.h>

#include <cmath>

#include "kernels/ops/batch_norm/batch_norm.h"
#include "kernels/ops/group_norm/group_norm.h"
#include "kernels/ops/layer_norm/layer_norm.h"
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
    Tensor running_mean = Tensor::zeros({channels}), running_var = Tensor::zeros({channels});
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

std::vector<Operation> operations() {
  return {group_operation({0, 4, 4, 8}, 2),
          group_operation({1, 1, 1, 1}, 1),
          group_operation({3, 5, 5, 16}, 4),
          group_operation({2, 7, 3, 33}, 3),
          group_operation({3, 4, 4, 5}, 5),
          group_operation({17, 3, 3, 8}, 1),
          group_operation({2, 14, 14, 16}, 2),
          group_operation({3, 12}, 3),
          group_operation({2, 1, 20, 6}, 2),
          layer_operation({0, 8}),
          layer_operation({1, 1}),
          layer_operation({3, 5}),
          layer_operation({17, 33}),
          layer_operation({2, 3, 16}),
          layer_operation({2, 300}),
          batch_operation({1, 4, 4, 3}),
          batch_operation({3, 5, 5, 16}),
          batch_operation({17, 3, 3, 5}),
          batch_operation({2, 7, 3, 33}),
          batch_operation({17, 12}),
          batch_operation({2, 14, 14, 8}),
          batch_evaluate_operation({0, 2, 2, 3}),
          batch_evaluate_operation({3, 5, 5, 16}),
          batch_evaluate_operation({5, 33})};
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
  const Tensor x = Tensor::from({3, 2}, xs);
  Tensor running_mean = Tensor::from({2}, start_mean), running_var = Tensor::from({2}, start_var);
  Tensor gamma = Tensor::from({2}, std::vector<float>{1.0f, 1.0f}), y({3, 2}), mean({2}), rstd({2});
  batch_norm_forward_train(*ctx, kEps, 0.25f, x, gamma, Tensor::zeros({2}), running_mean, running_var, y, mean, rstd);
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
  Tensor running_mean = Tensor::from({1}, std::vector<float>{3.0f}), running_var = Tensor::from({1}, std::vector<float>{5.0f});
  Tensor y({0, 1}), mean({1}), rstd({1});
  batch_norm_forward_train(*ctx, 0.25f, 0.5f, Tensor({0, 1}), Tensor::zeros({1}), Tensor::zeros({1}), running_mean, running_var,
                           y, mean, rstd);
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
  const Tensor x = Tensor::from({1, 64}, xs), one = Tensor::from({64}, std::vector<float>(64, 1.0f));
  Tensor y({1, 64}), mean({1}), rstd({1});
  layer_norm_forward(*ctx, 1e-5f, x, one, Tensor::zeros({64}), y, mean, rstd);
  // E[x^2] - E[x]^2 in float32 would be off by whole units here.
  for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(y.f32()[i], i % 2 == 0 ? -1.0f : 1.0f, 1e-3);
  Tensor mean_g({1, 1}), rstd_g({1, 1});
  group_norm_forward(*ctx, 1, 1e-5f, x, one, Tensor::zeros({64}), y, mean_g, rstd_g);
  for (std::size_t i = 0; i < 64; ++i) EXPECT_NEAR(y.f32()[i], i % 2 == 0 ? -1.0f : 1.0f, 1e-3);
}

TEST_P(NormBackend, NanStaysInItsSet) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{2, 2, 2, 4};
  Tensor x = to_tensor(draw_values({"x", shape}, DType::kFloat32, 5), shape, DType::kFloat32);
  x.f32()[16 + 5] = NAN;  // record 1, channel 1
  const Tensor gamma = Tensor::from({4}, std::vector<float>(4, 1.0f)), beta = Tensor::zeros({4});
  Tensor y(shape);
  Tensor mean({2, 2}), rstd({2, 2});
  group_norm_forward(*ctx, 2, kEps, x, gamma, beta, y, mean, rstd);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i >= 16 && i % 4 < 2) << "group norm " << i;
  Tensor row_mean({8}), row_rstd({8});
  layer_norm_forward(*ctx, kEps, x, gamma, beta, y, row_mean, row_rstd);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i / 4 == 5) << "layer norm " << i;
  Tensor batch_mean({4}), batch_rstd({4}), running_mean = Tensor::zeros({4}), running_var = Tensor::zeros({4});
  batch_norm_forward_train(*ctx, kEps, 0.1f, x, gamma, beta, running_mean, running_var, y, batch_mean, batch_rstd);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(std::isnan(y.f32()[i]), i % 4 == 1) << "batch norm " << i;
  EXPECT_TRUE(std::isnan(running_mean.f32()[1]));
  EXPECT_FALSE(std::isnan(running_mean.f32()[0]));
}

TEST_P(NormBackend, GradientMayOverwriteItsInput) {
  auto ctx = make_context(GetParam());
  if (!ctx) GTEST_SKIP();
  const Shape shape{3, 2, 2, 4};
  const Tensor x = to_tensor(draw_values({"x", shape}, DType::kFloat32, 6), shape, DType::kFloat32);
  const Tensor g = to_tensor(draw_values({"g", shape}, DType::kFloat32, 6), shape, DType::kFloat32);
  const Tensor gamma = to_tensor(draw_values({"gamma", {4}}, DType::kFloat32, 6), {4}, DType::kFloat32);
  const auto compare = [&](auto backward) {
    Tensor apart(shape), in_place = g.clone();
    Tensor a = Tensor::zeros({4}), b = Tensor::zeros({4}), c = Tensor::zeros({4}), d = Tensor::zeros({4});
    backward(g, apart, a, b);
    const Tensor alias = Tensor::borrow(in_place);
    backward(alias, in_place, c, d);
    EXPECT_EQ(to_doubles(apart), to_doubles(in_place));
    EXPECT_EQ(to_doubles(a), to_doubles(c));
    EXPECT_EQ(to_doubles(b), to_doubles(d));
  };
  Tensor y(shape), mean({3, 2}), rstd({3, 2});
  group_norm_forward(*ctx, 2, kEps, x, gamma, gamma, y, mean, rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    group_norm_backward(*ctx, 2, x, from, gamma, mean, rstd, to, u, v);
  });
  Tensor rows_mean({12}), rows_rstd({12});
  layer_norm_forward(*ctx, kEps, x, gamma, gamma, y, rows_mean, rows_rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    layer_norm_backward(*ctx, x, from, gamma, rows_mean, rows_rstd, to, u, v);
  });
  Tensor batch_mean({4}), batch_rstd({4}), running_mean = Tensor::zeros({4}), running_var = Tensor::zeros({4});
  batch_norm_forward_train(*ctx, kEps, 0.1f, x, gamma, gamma, running_mean, running_var, y, batch_mean, batch_rstd);
  compare([&](const Tensor& from, Tensor& to, Tensor& u, Tensor& v) {
    batch_norm_backward(*ctx, x, from, gamma, batch_mean, batch_rstd, to, u, v);
  });
}

}  // namespace
}  // namespace sutura::testing
