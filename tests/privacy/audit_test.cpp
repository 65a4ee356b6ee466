#include "runtime/privacy/audit.h"

#include <gtest/gtest.h>

#include "audit_guards.h"
#include "core/error.h"
#include "runtime/privacy/binomial_bounds.h"

namespace sutura {
namespace {

using privacy_tests::HalfNoiseGuard;
using privacy_tests::plan_with;
using privacy_tests::seeded_audit;

TEST(BinomialBounds, EqualScipy) {
  // scipy.special.betainc(a, b, x)
  const double betas[][4] = {{0.5, 0.5, 0.3, 0.369010119565545},
                             {2, 3, 0.4, 0.5248},
                             {10, 1, 0.9, 0.3486784401},
                             {1000, 2000, 0.33, 0.350632676132958},
                             {500000, 3, 0.999995, 0.543810229913072},
                             {3, 500000, 5e-06, 0.456189770075255}};
  for (const auto& [a, b, x, expected] : betas) EXPECT_NEAR(incomplete_beta(a, b, x), expected, 1e-9) << a;
  struct Case {
    std::int64_t hits, trials;
    double alpha, lower, upper;
  };
  // scipy.stats.beta.ppf(alpha, k, n - k + 1), beta.ppf(1 - alpha, k + 1, n - k)
  const Case cases[] = {{0, 100, 0.05, 0, 0.0295130496070399},
                        {1, 100, 0.025, 0.000253146032977421, 0.0544593853920806},
                        {5, 20, 0.05, 0.104080835910136, 0.455582404001749},
                        {500, 1000, 0.01, 0.462778066760998, 0.537221933239002},
                        {123456, 500000, 0.0125, 0.245545994105145, 0.248281737678353},
                        {499999, 500000, 0.0125, 0.999987238217273, 0.999999974842436},
                        {3, 500000, 0.0125, 9.48199038864389e-07, 1.94783272121213e-05},
                        {20, 20, 0.05, 0.860891659331735, 1}};
  for (const Case& c : cases) {
    EXPECT_NEAR(clopper_pearson_lower(c.hits, c.trials, c.alpha), c.lower, 1e-8 * c.lower) << c.hits;
    EXPECT_NEAR(clopper_pearson_upper(c.hits, c.trials, c.alpha), c.upper, 1e-8 * c.upper) << c.hits;
  }
  EXPECT_THROW(clopper_pearson_lower(3, 2, 0.05), Error);
  EXPECT_THROW(clopper_pearson_upper(1, 2, 0.0), Error);
}

TEST(Audit, FindsNoMoreThanTheClaimAndMostOfIt) {
  for (const DType wire : {DType::kInt8, DType::kInt16}) {
    const AuditResult r = seeded_audit(plan_with(1.0, wire), {.releases = 100'000, .row_elements = 2});
    EXPECT_EQ(r.verdict, AuditVerdict::kConsistent);
    EXPECT_LE(r.epsilon_lower_bound, r.epsilon_claim);
    EXPECT_GT(r.ratio, 0.75);
  }
}

TEST(Audit, TheNoiseOfThisVeryProcessIsConsistent) {
  Context ctx(Backend::kReference);
  const AuditResult r =
      audit_rows(ctx, plan_with(1.0, DType::kInt8), {.releases = 50'000, .row_elements = 2, .confidence = 1 - 1e-8});
  EXPECT_EQ(r.verdict, AuditVerdict::kConsistent);
  EXPECT_GT(r.ratio, 0.3);
}

TEST(Audit, HalfTheNoiseFails) {
  Context ctx(Backend::kReference);
  const RowPlan plan = plan_with(1.0, DType::kInt8);
  HalfNoiseGuard guard(plan);
  const AuditResult r = audit_guard(ctx, guard, plan, {.releases = 100'000, .row_elements = 2});
  EXPECT_EQ(r.verdict, AuditVerdict::kViolation);
  EXPECT_GT(r.ratio, 1.2);
}

TEST(Audit, AFactorThatClaimsTooLittleFails) {
  // The mechanism is used for replace-one but claimed as zero-out: the distance is twice what is stated.
  Context ctx(Backend::kReference);
  RowPlan claim = plan_with(1.0, DType::kInt16);
  claim.noise_multiplier *= 2;
  EXPECT_EQ(audit_rows(ctx, claim, {.releases = 100'000, .row_elements = 2}).verdict, AuditVerdict::kViolation);
}

TEST(Audit, RefusesTooLittleData) {
  Context ctx(Backend::kReference);
  EXPECT_THROW(audit_rows(ctx, plan_with(1.0, DType::kInt8), {.releases = 10}), Error);
  EXPECT_THROW(
      audit_rows(ctx, plan_with(1.0, DType::kInt8, Relation::kReplaceOneNonnegative), {.releases = 2000, .row_elements = 1}),
      Error);
}

}  // namespace
}  // namespace sutura
