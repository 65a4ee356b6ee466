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
constexpr double kLossTolerance = 1e-13;

class Loss : public ::testing::TestWithParam<std::tuple<Shape, Variant>> {};
INSTANTIATE_TEST_SUITE_P(Shapes, Loss,
                         ::testing::Combine(::testing::Values(Shape{0, 2}, Shape{1, 1}, Shape{1, 2}, Shape{3, 5}, Shape{17, 33},
                                                              Shape{300, 3}, Shape{2, 1000}),
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
  const double loss =
      softmax_cross_entropy(*ctx, to_tensor(z, shape, DType::kFloat32), Tensor::from({shape[0]}, labels), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(z), kLossTolerance * 10 * (1.0 + static_cast<double>(shape[0])));
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, z, to_doubles(grad.tensor()), 1.0);
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
  const double loss =
      mean_squared_error(*ctx, to_tensor(y, shape, DType::kFloat32), to_tensor(t, shape, DType::kFloat32), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(y),
              kLossTolerance * (1.0 + 100.0 * static_cast<double>(shape[0])));  // squares up to (8 + 8)^2
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, y, to_doubles(grad.tensor()), 10.0);
  if (shape[1] == 1) {  // a flat target means the same
    Tensor again(shape);
    EXPECT_EQ(
        mean_squared_error(*ctx, to_tensor(y, shape, DType::kFloat32), to_tensor(t, {shape[0]}, DType::kFloat32), kScale, again),
        loss);
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
  const double loss = binary_cross_entropy_with_logits(*ctx, to_tensor(z, column, DType::kFloat32),
                                                       Tensor::from({shape[0]}, labels), kScale, grad.tensor());
  EXPECT_NEAR(loss, oracle(z), kLossTolerance * 10 * (1.0 + static_cast<double>(shape[0])));
  EXPECT_TRUE(grad.intact());
  expect_gradient(oracle, z, to_doubles(grad.tensor()), 1.0);
}

TEST(LossValues, ExtremeLogitsStayFinite) {
  Context ctx(Backend::kReference);
  Tensor grad({2, 2});
  const Tensor z = Tensor::from({2, 2}, std::vector<float>{3e38f, -3e38f, -3e38f, 3e38f});
  const std::vector<std::int32_t> right{0, 1}, wrong{1, 0};
  EXPECT_EQ(softmax_cross_entropy(ctx, z, Tensor::from({2}, right), 1.0, grad), 0.0);
  EXPECT_TRUE(std::isfinite(softmax_cross_entropy(ctx, z, Tensor::from({2}, wrong), 1.0, grad)));
  EXPECT_EQ(grad.f32()[0], 1.0f);
  EXPECT_EQ(grad.f32()[1], -1.0f);
  Tensor column({2, 1});
  const float inf = std::numeric_limits<float>::infinity();
  const Tensor far = Tensor::from({2, 1}, std::vector<float>{-inf, inf});
  const std::vector<std::int32_t> matching{0, 1};
  EXPECT_EQ(binary_cross_entropy_with_logits(ctx, far, Tensor::from({2}, matching), 1.0, column), 0.0);
  EXPECT_EQ(column.f32()[0], 0.0f);
  EXPECT_NEAR(binary_cross_entropy_with_logits(ctx, Tensor::from({2, 1}, std::vector<float>{1e4f, -1e4f}),
                                               Tensor::from({2}, matching), 1.0, column),
              2e4, 1e-9);
}

TEST(LossValues, NanStaysInItsRowOfTheGradient) {
  Context ctx(Backend::kReference);
  Tensor grad({3, 2});
  const Tensor z = Tensor::from({3, 2}, std::vector<float>{1, 2, 3, NAN, 5, 6});
  const std::vector<std::int32_t> labels{0, 0, 1};
  EXPECT_TRUE(std::isnan(softmax_cross_entropy(ctx, z, Tensor::from({3}, labels), 1.0, grad)));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(grad.f32()[i]), i / 2 == 1) << i;
  EXPECT_TRUE(std::isnan(mean_squared_error(ctx, z, Tensor::zeros({3, 2}), 1.0, grad)));
  for (std::size_t i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(grad.f32()[i]), i == 3) << i;
}

TEST(LossValues, ABadLabelIsRefusedBeforeAnythingIsWritten) {
  Context ctx(Backend::kReference);
  Tensor grad = Tensor::zeros({2, 3});
  const Tensor z = Tensor::from({2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  for (const std::int32_t bad : {-1, 3, 717171}) {
    const std::vector<std::int32_t> labels{0, bad};
    try {
      softmax_cross_entropy(ctx, z, Tensor::from({2}, labels), 1.0, grad);
      ADD_FAILURE() << "accepted";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kInvalidArgument);
      EXPECT_EQ(std::string(e.what()).find("717171"), std::string::npos) << "the message shows a label";
    }
  }
  EXPECT_TRUE(std::ranges::all_of(grad.f32(), [](float g) { return g == 0.0f; }));
  Tensor column = Tensor::zeros({2, 1});
  const std::vector<std::int32_t> two{0, 2};
  EXPECT_THROW(binary_cross_entropy_with_logits(ctx, Tensor::zeros({2, 1}), Tensor::from({2}, two), 1.0, column), Error);
}

}  // namespace
}  // namespace sutura::testing
