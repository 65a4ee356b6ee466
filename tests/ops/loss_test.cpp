#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/ops/mean_squared_error/mean_squared_error.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"
#include "operation.h"

namespace sutura::testing {
namespace {

constexpr double kScale = 0.37;
// Losses are double sums of float inputs; gradients are rounded to float once (6e-8, below what difference quotients resolve).
// A device's exp and log are within 1 ulp: nothing that this tolerance would see.
constexpr double kLossTolerance = 1e-13;

Tensor labels_on(const Context& ctx, const std::vector<std::int32_t>& labels) {
  return ctx.here(Tensor::from({static_cast<std::int64_t>(labels.size())}, labels));
}
Tensor floats_on(const Context& ctx, const Shape& shape, const std::vector<float>& values) {
  return ctx.here(Tensor::from(shape, values));
}
Tensor doubles_on(const Context& ctx, const std::vector<double>& values, const Shape& shape) {
  return ctx.here(to_tensor(values, shape, DType::kFloat32));
}

class Loss : public ::testing::TestWithParam<std::tuple<Shape, Variant>> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Loss,
                         ::testing::Combine(::testing::Values(Shape{0, 2}, Shape{1, 1}, Shape{1, 2}, Shape{3, 5}, Shape{17, 33},
                                                              Shape{300, 3}, Shape{2, 1000}, Shape{1500, 2}),
                                            ::testing::ValuesIn(f32_variants())),
                         [](const auto& i) {
                           const Shape& s = std::get<0>(i.param);
                           return std::string("n")
                               .append(std::to_string(s[0]))
                               .append("_c")
                               .append(std::to_string(s[1]))
                               .append("_")
                               .append(text(std::get<1>(i.param)));
                         });

std::vector<std::int32_t> draw_labels(std::int64_t count, std::int64_t classes) {
  PhiloxStream random(5, "labels");
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (auto& l : labels) l = static_cast<std::int32_t>(random.next_below(static_cast<std::uint64_t>(classes)));
  return labels;
}

/// Central differences of `loss` at every logit (few) or every 97th.
template <class Function>
void expect_gradient(Function loss, std::vector<double> z, const std::vector<double>& grad, double scale) {
  const std::size_t stride = z.size() > 200 ? 97 : 1;
  for (std::size_t i = 0; i < z.size(); i += stride) {
    const double before = z[i], h = 1e-5;
    z[i] = before + h;
    const double up = loss(z);
    z[i] = before - h;
    const double down = loss(z);
    z[i] = before;
    EXPECT_NEAR(grad[i], (up - down) / (2 * h), 1e-6 * scale) << i;
  }
}

TEST_P(Loss, SoftmaxCrossEntropyMatchesOracle) {
  const auto& [shape, variant] = GetParam();
  auto ctx = make_context(variant);
  if (!ctx) GTEST_SKIP();
  const std::vector<double> z = draw_values({"z", shape}, DType::kFloat32, 1);
  const std::vector<std::int32_t> labels = draw_labels(shape[0], shape[1]);
  const auto classes = static_cast<std::size_t>(shape[1]);
  const auto oracle = [&](const std::vector<double>& v) {
    double sum = 0.0;
    for (std::size_t n = 0; n < labels.size(); ++n) {
      double powers = 0.0;
      for (std::size_t c = 0; c < classes; ++c) powers += std::exp(v[n * classes + c]);
      sum += std::log(powers) - v[n * classes + static_cast<std::size_t>(labels[n])];
    }
    return kScale * sum;
  };
  Guarded grad(*ctx, shape);
  const double loss = softmax_cross_entropy(*ctx, doubles_on(*ctx, z, shape), labels_on(*ctx, labels), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(z), kLossTolerance * 10 * (1.0 + static_cast<double>(shape[0])));
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, z, to_doubles(grad.values()), 1.0);
}

TEST_P(Loss, MeanSquaredErrorMatchesOracle) {
  const auto& [shape, variant] = GetParam();
  auto ctx = make_context(variant);
  if (!ctx) GTEST_SKIP();
  const std::vector<double> y = draw_values({"y", shape}, DType::kFloat32, 2);
  const std::vector<double> t = draw_values({"t", shape}, DType::kFloat32, 3);
  const auto oracle = [&](const std::vector<double>& v) {
    double sum = 0.0;
    for (std::size_t i = 0; i < v.size(); ++i) sum += (v[i] - t[i]) * (v[i] - t[i]) / static_cast<double>(shape[1]);
    return kScale * sum;
  };
  Guarded grad(*ctx, shape);
  const double loss = mean_squared_error(*ctx, doubles_on(*ctx, y, shape), doubles_on(*ctx, t, shape), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(y),
              kLossTolerance * (1.0 + 100.0 * static_cast<double>(shape[0])));  // squares up to (8 + 8)^2
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, y, to_doubles(grad.values()), 10.0);
  if (shape[1] == 1) {  // a flat target means the same
    Tensor again = ctx->tensor(shape);
    EXPECT_EQ(mean_squared_error(*ctx, doubles_on(*ctx, y, shape), doubles_on(*ctx, t, {shape[0]}), kScale, again), loss);
  }
}

TEST_P(Loss, BinaryCrossEntropyMatchesOracle) {
  const auto& [shape, variant] = GetParam();
  auto ctx = make_context(variant);
  if (!ctx) GTEST_SKIP();
  const Shape column{shape[0], 1};
  const std::vector<double> z = draw_values({"z", column}, DType::kFloat32, 4);
  const std::vector<std::int32_t> labels = draw_labels(shape[0], 2);
  const auto oracle = [&](const std::vector<double>& v) {
    double sum = 0.0;
    for (std::size_t n = 0; n < v.size(); ++n) {
      const double p = 1.0 / (1.0 + std::exp(-v[n]));
      sum -= labels[n] == 1 ? std::log(p) : std::log1p(-p);
    }
    return kScale * sum;
  };
  Guarded grad(*ctx, column);
  const double loss =
      binary_cross_entropy_with_logits(*ctx, doubles_on(*ctx, z, column), labels_on(*ctx, labels), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(z), kLossTolerance * 10 * (1.0 + static_cast<double>(shape[0])));
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, z, to_doubles(grad.values()), 1.0);
}

class LossValues : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    made_ = make_context(GetParam());
    if (!made_) GTEST_SKIP();
  }
  Context& ctx() { return *made_; }
  std::vector<float> floats(const Tensor& t) {
    const Tensor h = made_->host(Tensor::borrow(t));
    return {h.f32().begin(), h.f32().end()};
  }

 private:
  std::optional<Context> made_;
};
INSTANTIATE_TEST_SUITE_P(Variants, LossValues, ::testing::ValuesIn(f32_variants()), [](const auto& i) { return text(i.param); });

TEST_P(LossValues, ExtremeLogitsStayFinite) {
  Tensor grad = ctx().tensor({2, 2});
  const Tensor z = floats_on(ctx(), {2, 2}, {3e38f, -3e38f, -3e38f, 3e38f});
  EXPECT_EQ(softmax_cross_entropy(ctx(), z, labels_on(ctx(), {0, 1}), 1.0, grad), 0.0);
  EXPECT_TRUE(std::isfinite(softmax_cross_entropy(ctx(), z, labels_on(ctx(), {1, 0}), 1.0, grad)));
  EXPECT_EQ(floats(grad)[0], 1.0f);
  EXPECT_EQ(floats(grad)[1], -1.0f);
  std::vector<float> row(50, 1.0f);
  row[40] = 3e38f;  // the largest beyond what a warp reads at once
  Tensor grad_of_row = ctx().tensor({1, 50});
  EXPECT_EQ(softmax_cross_entropy(ctx(), floats_on(ctx(), {1, 50}, row), labels_on(ctx(), {40}), 1.0, grad_of_row), 0.0);
  Tensor column = ctx().tensor({2, 1});
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor matching = labels_on(ctx(), {0, 1});
  EXPECT_EQ(binary_cross_entropy_with_logits(ctx(), floats_on(ctx(), {2, 1}, {-inf, inf}), matching, 1.0, column), 0.0);
  EXPECT_EQ(floats(column)[0], 0.0f);
  EXPECT_NEAR(binary_cross_entropy_with_logits(ctx(), floats_on(ctx(), {2, 1}, {1e4f, -1e4f}), matching, 1.0, column), 2e4, 1e-9);
}

TEST_P(LossValues, NanStaysInItsRowOfTheGradient) {
  Tensor grad = ctx().tensor({3, 2});
  const Tensor z = floats_on(ctx(), {3, 2}, {1, 2, 3, NAN, 5, 6});
  EXPECT_TRUE(std::isnan(softmax_cross_entropy(ctx(), z, labels_on(ctx(), {0, 0, 1}), 1.0, grad)));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(floats(grad)[i]), i / 2 == 1) << i;
  EXPECT_TRUE(std::isnan(mean_squared_error(ctx(), z, ctx().zeros({3, 2}), 1.0, grad)));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(floats(grad)[i]), i == 3) << i;
  Tensor column = ctx().tensor({2, 1});
  const Tensor nan_first = floats_on(ctx(), {2, 1}, {NAN, 2});
  EXPECT_TRUE(std::isnan(binary_cross_entropy_with_logits(ctx(), nan_first, labels_on(ctx(), {0, 1}), 1.0, column)));
  EXPECT_TRUE(std::isnan(floats(column)[0]));
  EXPECT_FALSE(std::isnan(floats(column)[1]));
}

TEST_P(LossValues, ABadLabelIsRefusedBeforeAnythingIsWritten) {
  Tensor grad = ctx().zeros({2, 3});
  const Tensor z = floats_on(ctx(), {2, 3}, {1, 2, 3, 4, 5, 6});
  for (const std::int32_t bad : {-1, 3, 717171}) {
    try {
      softmax_cross_entropy(ctx(), z, labels_on(ctx(), {0, bad}), 1.0, grad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kInvalidArgument);
      EXPECT_EQ(std::string(e.what()).find("717171"), std::string::npos) << "the message shows a label";
    }
  }
  EXPECT_TRUE(std::ranges::all_of(floats(grad), [](float g) { return g == 0.0f; }));
  std::vector<std::int32_t> many(1500, 1);
  many.back() = 3;
  Tensor grad_of_many = ctx().zeros({1500, 3});
  EXPECT_THROW(softmax_cross_entropy(ctx(), ctx().zeros({1500, 3}), labels_on(ctx(), many), 1.0, grad_of_many), Error);
  Tensor column = ctx().zeros({2, 1});
  EXPECT_THROW(binary_cross_entropy_with_logits(ctx(), ctx().zeros({2, 1}), labels_on(ctx(), {0, 2}), 1.0, column), Error);
  EXPECT_TRUE(std::ranges::all_of(floats(column), [](float g) { return g == 0.0f; }));
}

TEST_P(LossValues, ClassWeightsScaleTheRowsOfTheirClass) {
  const Shape shape{40, 3};
  const std::vector<double> z = draw_values({"z", shape}, DType::kFloat32, 11), weights{0.5, 2.0, 3.0};
  const std::vector<std::int32_t> labels = draw_labels(40, 3);
  Tensor grad = ctx().tensor(shape), plain = ctx().tensor(shape), column = ctx().tensor({40, 1});
  const double loss = softmax_cross_entropy(ctx(), doubles_on(ctx(), z, shape), labels_on(ctx(), labels), kScale, grad, weights);
  softmax_cross_entropy(ctx(), doubles_on(ctx(), z, shape), labels_on(ctx(), labels), kScale, plain);
  double want = 0.0;
  for (std::size_t n = 0; n < 40; ++n) {
    double powers = 0.0;
    for (std::size_t c = 0; c < 3; ++c) powers += std::exp(z[3 * n + c]);
    want += kScale * weights[static_cast<std::size_t>(labels[n])] *
            (std::log(powers) - z[3 * n + static_cast<std::size_t>(labels[n])]);
    for (std::size_t c = 0; c < 3; ++c)  // one float rounding on each side
      EXPECT_NEAR(floats(grad)[3 * n + c], weights[static_cast<std::size_t>(labels[n])] * floats(plain)[3 * n + c], 4e-7);
  }
  EXPECT_NEAR(loss, want, 40 * 3e-12);
  const std::vector<std::int32_t> two = draw_labels(40, 2);
  const std::vector<double> first(z.begin(), z.begin() + 40);
  want = 0.0;
  for (std::size_t n = 0; n < 40; ++n)
    want += kScale * weights[static_cast<std::size_t>(two[n])] * std::log1p(std::exp(two[n] == 1 ? -first[n] : first[n]));
  EXPECT_NEAR(binary_cross_entropy_with_logits(ctx(), doubles_on(ctx(), first, {40, 1}), labels_on(ctx(), two), kScale, column,
                                               std::span(weights).first(2)),
              want, 40 * 3e-12);
  Tensor plain_column = ctx().tensor({40, 1});
  binary_cross_entropy_with_logits(ctx(), doubles_on(ctx(), first, {40, 1}), labels_on(ctx(), two), kScale, plain_column);
  for (std::size_t n = 0; n < 40; ++n)
    EXPECT_NEAR(floats(column)[n], weights[static_cast<std::size_t>(two[n])] * floats(plain_column)[n], 4e-7) << n;
  std::vector<double> bad = weights;
  bad[1] = 0.0;
  EXPECT_THROW(softmax_cross_entropy(ctx(), doubles_on(ctx(), z, shape), labels_on(ctx(), labels), kScale, grad, bad), Error);
}

TEST_P(LossValues, ASumTakesSeveralEvaluationsAndTellsWhatWasWrong) {
  LossSum sum(ctx());
  Tensor grad = ctx().tensor({2, 2}), column = ctx().tensor({2, 1});
  const Tensor z = floats_on(ctx(), {2, 2}, {1, 2, 3, 5}), labels = labels_on(ctx(), {1, 0});
  const double alone = softmax_cross_entropy(ctx(), z, labels, 0.5, grad);
  softmax_cross_entropy_into(ctx(), z, labels, 0.5, grad, {}, sum);
  mean_squared_error_into(ctx(), z, ctx().zeros({2, 2}), 1.0, grad, sum);
  EXPECT_NEAR(sum.read(ctx()).loss, alone + 2.5 + 17.0, 1e-13);
  EXPECT_TRUE(sum.read(ctx()).sound());
  // An infinite logit can leave a finite loss: it is told all the same.
  const float inf = std::numeric_limits<float>::infinity();
  softmax_cross_entropy_into(ctx(), floats_on(ctx(), {2, 2}, {-inf, 2, 3, 5}), labels, 0.5, grad, {}, sum);
  EXPECT_TRUE(std::isfinite(sum.read(ctx()).loss));
  EXPECT_EQ(sum.read(ctx()).not_finite, 1.0);
  EXPECT_FALSE(sum.read(ctx()).sound());
  sum.clear(ctx());
  EXPECT_TRUE(sum.read(ctx()).sound());
  EXPECT_EQ(sum.read(ctx()).loss, 0.0);
  std::vector<float> row(50, 1.0f);
  row[40] = -inf;  // beyond what a warp reads at once
  Tensor grad_of_row = ctx().tensor({1, 50});
  softmax_cross_entropy_into(ctx(), floats_on(ctx(), {1, 50}, row), labels_on(ctx(), {0}), 1.0, grad_of_row, {}, sum);
  EXPECT_TRUE(std::isfinite(sum.read(ctx()).loss));
  EXPECT_EQ(sum.read(ctx()).not_finite, 1.0);
  sum.clear(ctx());
  binary_cross_entropy_with_logits_into(ctx(), floats_on(ctx(), {2, 1}, {inf, NAN}), labels, 1.0, column, {}, sum);
  EXPECT_EQ(sum.read(ctx()).not_finite, 2.0);
  if (!ctx().on_device()) {
    EXPECT_THROW(softmax_cross_entropy_into(ctx(), z, labels_on(ctx(), {0, 2}), 1.0, grad, {}, sum), Error);
    return;
  }
  sum.clear(ctx());
  ctx().fill_zero(grad);
  softmax_cross_entropy_into(ctx(), z, labels_on(ctx(), {0, 2}), 1.0, grad, {}, sum);
  EXPECT_EQ(sum.read(ctx()).bad_labels, 1.0);
  EXPECT_EQ(sum.read(ctx()).loss, 0.0);
  EXPECT_TRUE(std::ranges::all_of(floats(grad), [](float g) { return g == 0.0f; }));
}

TEST_P(LossValues, TheSameInputGivesTheSameBits) {
  const Shape shape{257, 37};
  const Tensor z = doubles_on(ctx(), draw_values({"z", shape}, DType::kFloat32, 12), shape);
  const Tensor labels = labels_on(ctx(), draw_labels(257, 37));
  Tensor a = ctx().tensor(shape), b = ctx().tensor(shape);
  EXPECT_EQ(softmax_cross_entropy(ctx(), z, labels, kScale, a), softmax_cross_entropy(ctx(), z, labels, kScale, b));
  EXPECT_EQ(floats(a), floats(b));
  Tensor in_place = ctx().clone(z);
  softmax_cross_entropy(ctx(), in_place, labels, kScale, in_place);
  EXPECT_EQ(floats(in_place), floats(a)) << "the gradient may take the logits' memory";
}

TEST_P(LossValues, OnDevicesOutputsMayBeBfloat16) {
  if (!ctx().on_device()) GTEST_SKIP() << "the CPU's losses take float32";
  const Shape shape{19, 5}, column{19, 1};
  const std::vector<double> z = draw_values({"z", shape}, DType::kBfloat16, 13);
  const std::vector<double> first(z.begin(), z.begin() + 19);
  const Tensor labels = labels_on(ctx(), draw_labels(19, 2));
  const auto compare = [&](const std::vector<double>& values, const Shape& s, auto evaluate) {
    Tensor want = ctx().tensor(s), wide = ctx().tensor(s), narrow = ctx().tensor(s, DType::kBfloat16);
    const Tensor half = ctx().here(to_tensor(values, s, DType::kBfloat16));
    const double loss = evaluate(doubles_on(ctx(), values, s), want);
    EXPECT_EQ(evaluate(half, wide), loss);
    EXPECT_EQ(evaluate(half, narrow), loss);
    EXPECT_EQ(floats(wide), floats(want));
    const Tensor rounded = ctx().host(std::move(narrow));
    for (std::size_t i = 0; i < values.size(); ++i) EXPECT_EQ(rounded.as<bf16>()[i].bits, to_bf16(floats(want)[i]).bits) << i;
  };
  compare(z, shape, [&](const Tensor& x, Tensor& g) { return softmax_cross_entropy(ctx(), x, labels, kScale, g); });
  compare(first, column,
          [&](const Tensor& x, Tensor& g) { return binary_cross_entropy_with_logits(ctx(), x, labels, kScale, g); });
  const Tensor target = doubles_on(ctx(), draw_values({"t", shape}, DType::kFloat32, 14), shape);
  compare(z, shape, [&](const Tensor& x, Tensor& g) { return mean_squared_error(ctx(), x, target, kScale, g); });
}

}  // namespace
}  // namespace sutura::testing
