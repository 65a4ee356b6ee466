#include "models/optimizers/optimizer.h"

#include <gtest/gtest.h>

#include <numbers>

#include "core/error.h"
#include "models/cosine.h"
#include "tests/models/zoo_cases.h"

namespace sutura::testing {
namespace {

ParamStore store_of(std::int64_t n) {
  ParamStore p({"layer"}, {{{"weight", {n}, Init::kFanInUniform, 4}, {"mean", {3}, Init::kOnes, 0, ParamRole::kStatistic}}}, 3);
  PhiloxStream random(4, "grads");
  for (float& g : p.grads().f32()) g = static_cast<float>(random.next_normal());
  return p;
}

class EachOptimizer : public ::testing::TestWithParam<OptimizerKind> {
 protected:
  OptimizerSettings settings() const {
    OptimizerSettings s;
    s.kind = GetParam();
    s.weight_decay = 0.01;
    return s;
  }
  Context ctx{Backend::kReference};
};

TEST_P(EachOptimizer, StateOutlivesTheStepAndMovesTheNext) {
  ParamStore kept = store_of(10), fresh = store_of(10);
  const auto optimizer = make_optimizer(settings(), 10);
  optimizer->step(ctx, kept, 0.1);
  optimizer->step(ctx, kept, 0.1);
  EXPECT_EQ(optimizer->steps(), 2);
  // Rebuilt before each step, as a known bug elsewhere does it: another result.
  for (int i = 0; i < 2; ++i) make_optimizer(settings(), 10)->step(ctx, fresh, 0.1);
  EXPECT_FALSE(same_bytes(kept.values(), fresh.values()));
}

TEST_P(EachOptimizer, RestoredStateGoesOnToTheLastBit) {
  ParamStore a = store_of(10), b = store_of(10);
  const auto unbroken = make_optimizer(settings(), 10);
  for (int i = 0; i < 5; ++i) unbroken->step(ctx, a, 0.1);

  const auto before = make_optimizer(settings(), 10);
  for (int i = 0; i < 3; ++i) before->step(ctx, b, 0.1);
  const auto after = make_optimizer(settings(), 10);
  const auto from = before->state(), to = after->state();
  ASSERT_EQ(from.size(), to.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    EXPECT_EQ(from[i].first, to[i].first);
    std::ranges::copy(from[i].second->f32(), to[i].second->f32().begin());
  }
  after->set_steps(before->steps());
  for (int i = 0; i < 2; ++i) after->step(ctx, b, 0.1);
  EXPECT_TRUE(same_bytes(a.values(), b.values()));
}

TEST_P(EachOptimizer, StatisticsAreNeverStepped) {
  ParamStore p = store_of(10);
  const Tensor before = p.values().clone();
  make_optimizer(settings(), 10)->step(ctx, p, 0.1);
  EXPECT_FALSE(std::ranges::equal(p.values().f32().first(10), before.f32().first(10)));
  EXPECT_TRUE(std::ranges::equal(p.values().f32().last(3), before.f32().last(3)));
}

TEST_P(EachOptimizer, ClipsTheWholeGradientBeforeTheStep) {
  ParamStore clipped = store_of(10), scaled = store_of(10);
  double square = 0.0;
  for (const float g : scaled.grads().f32()) square += static_cast<double>(g) * g;
  OptimizerSettings s = settings();
  s.clip_gradients = 0.5;
  make_optimizer(s, 10)->step(ctx, clipped, 0.1);
  for (float& g : scaled.grads().f32()) g = static_cast<float>(g * 0.5 / (std::sqrt(square) + 1e-6));
  make_optimizer(settings(), 10)->step(ctx, scaled, 0.1);
  // Only the rounding of the factor may differ.
  EXPECT_LT(relative_error(clipped.values().f32(), scaled.values().f32()), 1e-6);
  double after = 0.0;
  for (const float g : clipped.grads().f32()) after += static_cast<double>(g) * g;
  EXPECT_NEAR(std::sqrt(after), 0.5, 1e-5);
}

TEST_P(EachOptimizer, RefusesAnotherSegmentAndBadSettings) {
  ParamStore p = store_of(10);
  EXPECT_THROW(make_optimizer(settings(), 9)->step(ctx, p, 0.1), Error);
  for (double OptimizerSettings::*field : {&OptimizerSettings::momentum, &OptimizerSettings::beta1, &OptimizerSettings::beta2,
                                           &OptimizerSettings::weight_decay, &OptimizerSettings::clip_gradients}) {
    OptimizerSettings s = settings();
    s.*field = -1.0;
    EXPECT_THROW(make_optimizer(s, 10), Error);
    s.*field = std::nan("");
    EXPECT_THROW(make_optimizer(s, 10), Error);
  }
  OptimizerSettings s = settings();
  s.momentum = 1.0;
  EXPECT_THROW(make_optimizer(s, 10), Error);
}

INSTANTIATE_TEST_SUITE_P(Kinds, EachOptimizer, ::testing::Values(OptimizerKind::kSgd, OptimizerKind::kAdamW),
                         [](const auto& param_info) { return param_info.param == OptimizerKind::kSgd ? "sgd" : "adamw"; });

TEST(Optimizer, ASegmentWithoutParametersIsNoError) {
  ParamStore p({"flat"}, {{}}, 1);
  Context ctx(Backend::kReference);
  const auto optimizer = make_optimizer({}, 0);
  optimizer->step(ctx, p, 0.1);
  EXPECT_EQ(optimizer->steps(), 1);
}

TEST(Rate, SchedulesFollowTheirFormulas) {
  RateSettings s;
  s.learning_rate = 0.2;
  EXPECT_EQ(rate_at(s, 0, 100, 10), 0.2);
  EXPECT_EQ(rate_at(s, 99, 100, 10), 0.2);

  s.schedule = RateSchedule::kStep;
  s.step_epochs = 3;
  s.step_factor = 0.5;
  EXPECT_EQ(rate_at(s, 29, 100, 10), 0.2);
  EXPECT_EQ(rate_at(s, 30, 100, 10), 0.1);
  EXPECT_EQ(rate_at(s, 99, 100, 10), 0.025);

  s.schedule = RateSchedule::kCosine;
  s.warmup_fraction = 0.2;
  EXPECT_DOUBLE_EQ(rate_at(s, 0, 100, 10), 0.01);
  EXPECT_DOUBLE_EQ(rate_at(s, 19, 100, 10), 0.2);
  EXPECT_DOUBLE_EQ(rate_at(s, 20, 100, 10), 0.2);
  EXPECT_DOUBLE_EQ(rate_at(s, 60, 100, 10), 0.1);
  EXPECT_NEAR(rate_at(s, 99, 100, 10), 0.1 * (1.0 + std::cos(std::numbers::pi * 79 / 80)), 1e-15);
  for (int i = 21; i < 100; ++i) EXPECT_LT(rate_at(s, i, 100, 10), rate_at(s, i - 1, 100, 10));

  EXPECT_THROW(rate_at(s, 100, 100, 10), Error);
  EXPECT_THROW(rate_at(s, -1, 100, 10), Error);
  EXPECT_THROW(rate_at(s, 0, 100, 0), Error);
  s.warmup_fraction = 1.5;
  EXPECT_THROW(rate_at(s, 0, 100, 10), Error);
}

TEST(CosPi, AgreesWithLibmToRounding) {
  for (int i = -4000; i <= 4000; ++i) {
    const double x = i / 1000.0;
    EXPECT_NEAR(cos_pi(x), std::cos(std::numbers::pi * x), 3e-15) << x;  // libm sees pi x rounded
  }
  EXPECT_EQ(cos_pi(0.0), 1.0);
  EXPECT_EQ(cos_pi(0.5), 0.0);
  EXPECT_EQ(cos_pi(1.0), -1.0);
  EXPECT_EQ(cos_pi(1.5), 0.0);
  EXPECT_TRUE(std::isnan(cos_pi(std::nan(""))));
}

}  // namespace
}  // namespace sutura::testing
