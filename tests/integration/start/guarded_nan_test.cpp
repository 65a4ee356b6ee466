// NaN and infinity behind a guard: such a row leaves as a zero row does, to the byte; the receiver cannot tell.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "runtime/privacy/guard.h"

namespace sutura::testing {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kWidth = 8;

RowPlan plan() {
  PrivacyConfig config;
  config.mechanism = Mechanism::kRows;
  config.epsilon = 250;
  config.delta = 1e-5;
  config.clip_norm = 4;
  return plan_rows(config, 2);
}

Tensor ordinary_rows() {
  Tensor rows({kRows, kWidth});
  for (std::size_t i = 0; i < rows.f32().size(); ++i) rows.f32()[i] = 0.25f * static_cast<float>(i % 5) - 0.5f;
  return rows;
}

/// The bytes that leave for these rows under one fixed noise.
std::vector<std::int8_t> released(const Tensor& rows) {
  Ledger ledger(memory_store(), "site", {250, 1e-5});
  Journal journal(memory_store(), "run");
  RowGuard guard(plan(), "site", ledger, journal, NotPrivateTestNoise{5});
  Context ctx(Backend::kReference, 1);
  const std::vector<std::int64_t> records{0, 1, 2, 3};
  const Tensor wire = guard.release(ctx, rows, records, {0, 1, 0, 0});
  EXPECT_EQ(ledger.most_releases(), 1u) << "a row that is not finite is a release like any other";
  const auto values = wire.as<std::int8_t>();
  return {values.begin(), values.end()};
}

class GuardedRow : public ::testing::TestWithParam<float> {};

TEST_P(GuardedRow, ThatIsNotFiniteLeavesAsAZeroRow) {
  Tensor bad = ordinary_rows();
  bad.f32()[kWidth + 3] = GetParam();
  Tensor zero = ordinary_rows();
  std::fill_n(zero.f32().begin() + kWidth, kWidth, 0.0f);
  EXPECT_EQ(released(bad), released(zero));
  EXPECT_NE(released(bad), released(ordinary_rows())) << "the control: the row itself would look different";
}

TEST_P(GuardedRow, ThatIsNotFiniteGetsNoGradient) {
  Tensor bad = ordinary_rows();
  bad.f32()[kWidth + 3] = GetParam();
  Tensor grad({kRows, kWidth});
  std::fill(grad.f32().begin(), grad.f32().end(), 1.0f);
  Ledger ledger(memory_store(), "site", {250, 1e-5});
  Journal journal(memory_store(), "run");
  const RowGuard guard(plan(), "site", ledger, journal, NotPrivateTestNoise{5});
  Context ctx(Backend::kReference, 1);
  const Tensor back = guard.backward(ctx, bad, grad);
  for (std::int64_t r = 0; r < kRows; ++r)
    for (std::int64_t j = 0; j < kWidth; ++j)
      EXPECT_EQ(back.f32()[static_cast<std::size_t>(r * kWidth + j)], r == 1 ? 0.0f : 1.0f) << "row " << r;
}

INSTANTIATE_TEST_SUITE_P(Values, GuardedRow,
                         ::testing::Values(std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                                           -std::numeric_limits<float>::infinity()));

}  // namespace
}  // namespace sutura::testing
