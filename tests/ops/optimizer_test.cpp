#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/adamw/adamw.h"
#include "kernels/ops/clip_gradients/clip_gradients.h"
#include "kernels/ops/sgd/sgd.h"
#include "operation.h"

namespace sutura::testing {
namespace {

class Optimizer : public ::testing::TestWithParam<std::tuple<std::int64_t, Variant>> {
 protected:
  void SetUp() override {
    ctx_ = make_context(std::get<1>(GetParam()));
    if (!ctx_) GTEST_SKIP();
  }
  std::vector<double> draw(const std::string& name) const {
    return draw_values({name, {std::get<0>(GetParam())}}, DType::kFloat32, 9);
  }
  Tensor on_device(const std::vector<double>& values) const {
    return ctx_->here(to_tensor(values, {static_cast<std::int64_t>(values.size())}, DType::kFloat32));
  }
  std::vector<double> read(const Tensor& t) const { return to_doubles(ctx_->host(Tensor::borrow(t))); }
  std::optional<Context> ctx_;
};
INSTANTIATE_TEST_SUITE_P(
    Sizes, Optimizer,
    ::testing::Combine(::testing::Values(0, 1, 3, 15, 16, 17, 33, 1000, 5000, 70000), ::testing::ValuesIn(f32_variants())),
    [](const auto& i) {
      return std::string("p").append(std::to_string(std::get<0>(i.param))).append("_").append(text(std::get<1>(i.param)));
    });

// Five steps of two or three float roundings each on values up to 8: 5 * 3 * 2^-24 is 9e-7 of the largest.
constexpr double kTolerance = 2e-6;

void load(Guarded& to, const std::vector<double>& values) { to.set(to_tensor(values, to.tensor().shape(), DType::kFloat32)); }

TEST_P(Optimizer, SgdFollowsTheFormula) {
  const Shape shape{std::get<0>(GetParam())};
  for (const float momentum : {0.0f, 0.9f}) {
    const SgdSettings s{0.05f, momentum, 0.01f};
    std::vector<double> p = draw("p"), v(p.size(), 0.0);
    Guarded params(*ctx_, shape), velocity(*ctx_, shape);
    load(params, p);
    load(velocity, v);
    for (int step = 0; step < 5; ++step) {
      const std::vector<double> g = draw(std::string("g").append(std::to_string(step)));
      sgd_step(*ctx_, s, on_device(g), params.tensor(), velocity.tensor());
      for (std::size_t i = 0; i < p.size(); ++i) {
        const double d = g[i] + double{s.weight_decay} * p[i];
        v[i] = step == 0 ? d : double{s.momentum} * v[i] + d;
        p[i] -= double{s.learning_rate} * v[i];
      }
    }
    EXPECT_LE(worst_error(to_doubles(params.values()), {p, {}}), kTolerance);
    if (momentum != 0.0f) {
      EXPECT_LE(worst_error(to_doubles(velocity.values()), {v, {}}), kTolerance);
    } else {
      EXPECT_TRUE(std::ranges::all_of(velocity.values().f32(), [](float x) { return x == 0.0f; }));
    }
    EXPECT_TRUE(params.intact() && velocity.intact());
  }
}

TEST_P(Optimizer, SgdWithoutMomentumNeedsNoVelocity) {
  const Shape shape{std::get<0>(GetParam())};
  Tensor params = ctx_->zeros(shape), none;
  sgd_step(*ctx_, {0.5f, 0.0f, 0.0f}, on_device(draw("g")), params, none);
  std::vector<double> want = draw("g");
  for (double& w : want) w *= -0.5;
  EXPECT_EQ(read(params), want);
}

TEST_P(Optimizer, AdamWFollowsTheFormula) {
  const Shape shape{std::get<0>(GetParam())};
  const AdamWSettings s{0.01f, 0.9f, 0.999f, 1e-8f, 0.1f};
  std::vector<double> p = draw("p"), m(p.size()), v(p.size());
  Guarded params(*ctx_, shape), first(*ctx_, shape), second(*ctx_, shape);
  load(params, p);
  load(first, m);
  load(second, v);
  for (int t = 1; t <= 5; ++t) {
    const std::vector<double> g = draw(std::string("g").append(std::to_string(t)));
    adamw_step(*ctx_, s, t, on_device(g), params.tensor(), first.tensor(), second.tensor());
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] *= 1.0 - double{s.learning_rate} * s.weight_decay;
      m[i] = s.beta1 * m[i] + (1.0 - s.beta1) * g[i];
      v[i] = s.beta2 * v[i] + (1.0 - s.beta2) * g[i] * g[i];
      const double m_hat = m[i] / (1.0 - std::pow(double{s.beta1}, t)), v_hat = v[i] / (1.0 - std::pow(double{s.beta2}, t));
      p[i] -= s.learning_rate * m_hat / (std::sqrt(v_hat) + s.eps);
    }
  }
  EXPECT_LE(worst_error(to_doubles(params.values()), {p, {}}), kTolerance);
  EXPECT_LE(worst_error(to_doubles(first.values()), {m, {}}), kTolerance);
  EXPECT_LE(worst_error(to_doubles(second.values()), {v, {}}), kTolerance);
  EXPECT_TRUE(params.intact() && first.intact() && second.intact());
}

TEST_P(Optimizer, ClipScalesToTheNorm) {
  const Shape shape{std::get<0>(GetParam())};
  const std::vector<double> g = draw("g");
  double squares = 0.0;
  for (const double x : g) squares += x * x;
  const double norm = std::sqrt(squares);
  Guarded grads(*ctx_, shape);
  load(grads, g);
  EXPECT_NEAR(clip_gradients(*ctx_, 1e6, grads.tensor()), norm, 1e-6 * norm);
  EXPECT_EQ(to_doubles(grads.values()), g) << "below the limit nothing changes";
  EXPECT_NEAR(clip_gradients(*ctx_, 0.125, grads.tensor()), norm, 1e-6 * norm);
  std::vector<double> want = g;
  if (norm > 0.125) {
    for (double& w : want) w *= 0.125 / (norm + 1e-6);
  }
  EXPECT_LE(worst_error(to_doubles(grads.values()), {want, {}}), kTolerance);
  EXPECT_TRUE(grads.intact());
  // A norm that 1e-6 is visible beside.
  Tensor small = on_device({3e-3, 4e-3});
  clip_gradients(*ctx_, 1e-3, small);
  EXPECT_LE(worst_error(read(small), {{3e-6 / (5e-3 + 1e-6), 4e-6 / (5e-3 + 1e-6)}, {}}), kTolerance);
}

void expect_nan_at_1(const std::vector<double>& params) {
  for (std::size_t i = 0; i < params.size(); ++i) EXPECT_EQ(std::isnan(params[i]), i == 1);
}

TEST_P(Optimizer, NanReachesItsOwnParameterOnly) {
  const std::int64_t count = std::get<0>(GetParam());
  if (count < 3) return;
  const Shape shape{count};
  std::vector<double> broken = draw("g");
  broken[1] = NAN;
  const auto is_nan = [](double x) { return std::isnan(x); };
  Tensor g = on_device(broken);
  Tensor p = ctx_->zeros(shape), a = ctx_->zeros(shape), b = ctx_->zeros(shape);
  sgd_step(*ctx_, {0.1f, 0.9f, 0.1f}, g, p, a);
  expect_nan_at_1(read(p));
  p = ctx_->zeros(shape);
  a = ctx_->zeros(shape);
  adamw_step(*ctx_, {0.1f}, 1, g, p, a, b);
  expect_nan_at_1(read(p));
  EXPECT_TRUE(std::isnan(clip_gradients(*ctx_, 1.0, g)));
  EXPECT_TRUE(std::ranges::all_of(read(g), is_nan));
  broken[1] = 0.0;
  broken[2] = std::numeric_limits<double>::infinity();
  g = on_device(broken);
  EXPECT_TRUE(std::isinf(clip_gradients(*ctx_, 1.0, g)));
  EXPECT_TRUE(std::ranges::all_of(read(g), is_nan)) << "a broken gradient looks clipped";
}

/// What a step on a device adds to the plain one: numbers and a gate that it reads there, and a copy that it writes.
class DeviceStepTest : public Optimizer {
 protected:
  void SetUp() override {
    Optimizer::SetUp();
    if (ctx_ && !ctx_->on_device()) GTEST_SKIP() << "of devices";
    if (ctx_ && count() < 33) GTEST_SKIP() << "no room for two ranges";
  }
  std::int64_t count() const { return std::get<0>(GetParam()); }
  /// Two ranges that are copied, the first from the middle of a chunk, with a gap between them.
  std::vector<FlatRange> ranges() const { return {{3, 13}, {20, count() - 21}}; }
  /// Runs step(step, target) against plain(params), which is the same step of the table test, with the gate open and shut.
  void check(const DeviceStep::Numbers& numbers, auto run, auto plain) {
    const std::vector<double> start = draw("p");
    Tensor want = on_device(start);
    plain(want);
    for (const int flag : {-1, LossSum::kLoss, LossSum::kNotFinite, LossSum::kBadLabels}) {
      SCOPED_TRACE(flag);
      DeviceStep step(*ctx_);
      set_device_step(*ctx_, numbers, step);
      LossSum gate(*ctx_);
      Tensor shut = Tensor::zeros({LossSum::kNumbers}, DType::kFloat64);
      shut.as<double>()[LossSum::kLoss] = flag == LossSum::kLoss ? INFINITY : 0.5;
      if (flag > LossSum::kLoss) shut.as<double>()[static_cast<std::size_t>(flag)] = 1.0;
      ctx_->copy(shut, gate.tensor());
      step.gate = &gate;
      Tensor params = on_device(start);
      WorkingCopy copy = make_working_copy(*ctx_, count(), ranges());
      refresh_working_copy(*ctx_, params, copy);
      StepTarget target{Tensor::borrow(params), &copy};
      run(step, target);
      const std::vector<double> got = read(params), half = read(copy.half);
      EXPECT_EQ(got, flag == -1 ? read(want) : start);
      const std::vector<std::int64_t> offsets = working_offsets(ranges());
      std::size_t wrong = 0;
      for (std::size_t r = 0; r < offsets.size(); ++r)
        for (std::int64_t i = 0; i < ranges()[r].count; ++i) {
          const auto value = static_cast<float>(got[static_cast<std::size_t>(ranges()[r].begin + i)]);
          wrong += half[static_cast<std::size_t>(offsets[r] + i)] == to_float(to_bf16(value)) ? 0 : 1;
        }
      EXPECT_EQ(wrong, 0u) << "the copy is not what was stored";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(
    Sizes, DeviceStepTest, ::testing::Combine(::testing::Values(33, 1000, 9000), ::testing::ValuesIn(f32_variants())),
    [](const auto& i) {
      return std::string("p").append(std::to_string(std::get<0>(i.param))).append("_").append(text(std::get<1>(i.param)));
    });

TEST_P(DeviceStepTest, SgdReadsItsNumbersAndGateAndWritesTheCopy) {
  const SgdSettings s{0.05f, 0.9f, 0.01f};
  const Tensor g = on_device(draw("g"));
  const auto velocity = [&] { return on_device(draw("v")); };
  check(
      sgd_rates(s),
      [&](const DeviceStep& step, StepTarget& target) {
        Tensor v = velocity();
        sgd_step_from_device(*ctx_, {0.0f, s.momentum, s.weight_decay}, step, g, target, v);
      },
      [&](Tensor& params) {
        Tensor v = velocity();
        sgd_step(*ctx_, s, g, params, v);
      });
}

TEST_P(DeviceStepTest, AdamWReadsItsNumbersAndGateAndWritesTheCopy) {
  const AdamWSettings s{0.01f, 0.9f, 0.999f, 1e-8f, 0.1f};
  const Tensor g = on_device(draw("g"));
  const auto moments = [&] { return std::pair{on_device(draw("m")), ctx_->zeros({count()})}; };
  check(
      adamw_rates(s, 3),
      [&](const DeviceStep& step, StepTarget& target) {
        auto [m, v] = moments();
        adamw_step_from_device(*ctx_, {0.0f, s.beta1, s.beta2, s.eps, 0.0f}, step, g, target, m, v);
      },
      [&](Tensor& params) {
        auto [m, v] = moments();
        adamw_step(*ctx_, s, 3, g, params, m, v);
      });
}

TEST(IntegerPower, IsCloseToPow) {
  for (const std::int64_t n : {0, 1, 2, 3, 10, 1000, 123456}) {
    EXPECT_NEAR(integer_power(0.999, n), std::pow(0.999, static_cast<double>(n)), 1e-11);
  }
}

}  // namespace
}  // namespace sutura::testing
