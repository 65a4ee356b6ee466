#include "models/losses/loss.h"

#include <gtest/gtest.h>

#include <numeric>

#include "core/error.h"
#include "kernels/ops/cast/cast.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

Tensor rows(const Shape& shape, std::vector<float> values) { return Tensor::from(shape, std::span<const float>(values)); }
Tensor classes(std::vector<std::int32_t> values) {
  return Tensor::from({static_cast<std::int64_t>(values.size())}, std::span<const std::int32_t>(values));
}

TEST(Loss, ScoresAreProbabilities) {
  const auto binary = make_loss(LossKind::kBinaryCrossEntropy)->scores(rows({3, 1}, {0.0f, 2.0f, -200.0f}));
  EXPECT_EQ(binary.f32()[0], 0.5f);
  EXPECT_NEAR(binary.f32()[1], 1.0 / (1.0 + std::exp(-2.0)), 1e-7);
  EXPECT_EQ(binary.f32()[2], 0.0f);
  const auto many = make_loss(LossKind::kCrossEntropy)->scores(rows({2, 3}, {1.0f, 2.0f, 3.0f, 1000.0f, 0.0f, 1000.0f}));
  const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
  for (int c = 0; c < 3; ++c) EXPECT_NEAR(many.f32()[static_cast<std::size_t>(c)], std::exp(1.0 + c) / sum, 1e-7);
  EXPECT_EQ(many.f32()[3], 0.5f);
  EXPECT_EQ(many.f32()[4], 0.0f);
  const auto values = make_loss(LossKind::kMeanSquaredError)->scores(rows({2, 1}, {3.0f, -4.0f}));
  EXPECT_EQ(values.f32()[1], -4.0f);
}

TEST(Loss, NanStaysInItsRow) {
  const float nan = std::nanf("");
  const auto p = make_loss(LossKind::kCrossEntropy)->scores(rows({3, 2}, {1.0f, 1.0f, nan, 0.0f, 0.0f, nan}));
  EXPECT_EQ(p.f32()[0], 0.5f);
  for (std::size_t i = 2; i < 6; ++i) EXPECT_TRUE(std::isnan(p.f32()[i])) << i;
}

TEST(Loss, ScaleMakesMicroBatchesAddUp) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kCrossEntropy);
  const Tensor y = random_values({4, 3}, "logits");
  const Tensor labels = classes({0, 2, 1, 1});
  Tensor whole, first, second;
  const double all = loss->evaluate(ctx, y, labels, 0.25, whole);
  const double parts = loss->evaluate(ctx, y.rows(0, 3), labels.rows(0, 3), 0.25, first) +
                       loss->evaluate(ctx, y.rows(3, 1), labels.rows(3, 1), 0.25, second);
  EXPECT_NEAR(all, parts, 1e-12);
  EXPECT_TRUE(same_bytes(whole.rows(0, 3), first));
  EXPECT_TRUE(same_bytes(whole.rows(3, 1), second));
}

TEST(Loss, BfloatOutputsAreReadAsTheirValues) {
  Context ctx(Backend::kReference);
  const auto loss = make_loss(LossKind::kBinaryCrossEntropy);
  const Tensor exact = rows({2, 1}, {0.5f, -1.25f});  // both are bfloat16 values
  Tensor narrow({2, 1}, DType::kBfloat16);
  for (std::size_t i = 0; i < 2; ++i) narrow.as<bf16>()[i] = to_bf16(exact.f32()[i]);
  Tensor a, b;
  EXPECT_EQ(loss->evaluate(ctx, exact, classes({1, 0}), 1.0, a), loss->evaluate(ctx, narrow, classes({1, 0}), 1.0, b));
  EXPECT_TRUE(same_bytes(a, b));
  EXPECT_TRUE(same_bytes(loss->scores(exact), loss->scores(narrow)));
}

TEST(Loss, RefusesWhatDoesNotFit) {
  Context ctx(Backend::kReference);
  Tensor grad;
  const auto loss = make_loss(LossKind::kCrossEntropy);
  EXPECT_THROW(loss->evaluate(ctx, Tensor({2, 3}), classes({0}), 1.0, grad), Error);
  EXPECT_THROW(loss->evaluate(ctx, random_values({2, 3}, "y"), classes({0, 3}), 1.0, grad), Error);
  EXPECT_THROW(loss->evaluate(ctx, Tensor(), classes({0}), 1.0, grad), Error);
  EXPECT_EQ(outputs_for(LossKind::kBinaryCrossEntropy, 2), 1);
  EXPECT_EQ(outputs_for(LossKind::kCrossEntropy, 5), 5);
  EXPECT_EQ(outputs_for(LossKind::kMeanSquaredError, 0), 1);
  EXPECT_THROW(outputs_for(LossKind::kBinaryCrossEntropy, 3), Error);
  EXPECT_THROW(outputs_for(LossKind::kCrossEntropy, 1), Error);
}

}  // namespace
}  // namespace sutura::testing
