#include "models/losses/loss.h"

#include <gtest/gtest.h>

#include <limits>
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

struct Weighted {
  LossKind kind;
  Shape shape;
  std::vector<float> outputs;
  std::vector<std::int32_t> labels;
  std::vector<double> weights;
  double loss;                // torch 1.13 in double: reduction='sum' with the weight of each label, divided by N
  std::vector<double> grads;  // of that loss
};

std::vector<Weighted> weighted_cases() {
  return {{LossKind::kCrossEntropy,
           {4, 3},
           {0.5f, -1.25f, 2.0f, 1.5f, 0.25f, -0.75f, -2.0f, 3.0f, 0.125f, 0.0f, 0.0f, 1.0f},
           {0, 2, 1, 2},
           {0.5, 2.0, 3.0},
           2.5962857620082334,
           {-0.102897477237, 0.0038408425408, 0.0990566346958, 0.538830255863, 0.154377452998, -0.693207708862, 0.00316884781079,
            -0.029701285686, 0.0265324378752, 0.158956168213, 0.158956168213, -0.317912336426}},
          {LossKind::kBinaryCrossEntropy,
           {4, 1},
           {0.5f, -1.25f, 2.0f, -3.0f},
           {0, 1, 1, 0},
           {0.75, 4.0},
           1.8206066553421922,
           {0.1167111246, -0.777299861175, -0.119202922022, 0.00889235122079}}};
}

TEST(Loss, ClassWeightsAgreeWithTorchAndWithDifferences) {
  Context ctx(Backend::kReference);
  for (const Weighted& c : weighted_cases()) {
    const auto loss = make_loss(c.kind, c.weights);
    Tensor grad, ignored;
    const double scale = 1.0 / static_cast<double>(c.labels.size());
    EXPECT_NEAR(loss->evaluate(ctx, rows(c.shape, c.outputs), classes(c.labels), scale, grad), c.loss, 1e-14);
    for (std::size_t i = 0; i < c.outputs.size(); ++i) {
      EXPECT_NEAR(grad.f32()[i], c.grads[i], 1e-7) << i;  // float32 of a value below 1
      // A power of two is exact in float32; the third derivative times h^2 / 6 stays below 1e-4.
      constexpr float kH = 1.0f / 32;
      std::vector<float> up = c.outputs, down = c.outputs;
      up[i] += kH;
      down[i] -= kH;
      const double rise = loss->evaluate(ctx, rows(c.shape, up), classes(c.labels), scale, ignored) -
                          loss->evaluate(ctx, rows(c.shape, down), classes(c.labels), scale, ignored);
      EXPECT_NEAR(grad.f32()[i], rise / (2.0 * kH), 1e-4) << i;
    }
    // Negative control: without weights the value is another one.
    EXPECT_GT(std::abs(make_loss(c.kind)->evaluate(ctx, rows(c.shape, c.outputs), classes(c.labels), scale, grad) - c.loss), 0.1);
  }
}

TEST(Loss, WeightsOfOneChangeNoBitAndPartsAddUp) {
  Context ctx(Backend::kReference);
  for (const Weighted& c : weighted_cases()) {
    const std::vector<double> ones(c.weights.size(), 1.0);
    Tensor plain, weighted, first, second;
    const Tensor y = rows(c.shape, c.outputs), labels = classes(c.labels);
    EXPECT_EQ(make_loss(c.kind)->evaluate(ctx, y, labels, 0.25, plain),
              make_loss(c.kind, ones)->evaluate(ctx, y, labels, 0.25, weighted));
    EXPECT_TRUE(same_bytes(plain, weighted));
    const auto loss = make_loss(c.kind, c.weights);
    const double parts = loss->evaluate(ctx, y.rows(0, 3), labels.rows(0, 3), 0.25, first) +
                         loss->evaluate(ctx, y.rows(3, 1), labels.rows(3, 1), 0.25, second);
    EXPECT_NEAR(loss->evaluate(ctx, y, labels, 0.25, weighted), parts, 1e-12);
    EXPECT_TRUE(same_bytes(weighted.rows(0, 3), first));
    EXPECT_TRUE(same_bytes(weighted.rows(3, 1), second));
  }
}

TEST(Loss, RefusesWeightsThatDoNotFit) {
  Context ctx(Backend::kReference);
  Tensor grad;
  EXPECT_THROW(make_loss(LossKind::kMeanSquaredError, {1.0}), Error);
  EXPECT_THROW(make_loss(LossKind::kBinaryCrossEntropy, {1.0}), Error);
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    EXPECT_THROW(make_loss(LossKind::kCrossEntropy, {1.0, bad}), Error) << bad;
  const auto two = make_loss(LossKind::kCrossEntropy, {1.0, 2.0});
  EXPECT_THROW(two->evaluate(ctx, random_values({2, 3}, "y"), classes({0, 1}), 1.0, grad), Error);
  EXPECT_NO_THROW(two->evaluate(ctx, random_values({2, 2}, "y"), classes({0, 1}), 1.0, grad));
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
