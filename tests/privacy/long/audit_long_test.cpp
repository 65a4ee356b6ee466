#include <gtest/gtest.h>

#include <cstdio>

#include "runtime/privacy/audit.h"
#include "tests/privacy/audit_guards.h"

namespace sutura {
namespace {

using privacy_tests::HalfNoiseGuard;
using privacy_tests::plan_with;
using privacy_tests::seeded_audit;

AuditResult audited(double z, DType wire, Relation relation, AuditPair pair, std::int64_t d) {
  const AuditResult r = seeded_audit(plan_with(z, wire, relation), {.releases = 1'000'000, .row_elements = d, .pair = pair});
  std::printf("z %.1f wire %s pair %d d %d: bound %.4f claim %.4f ratio %.4f\n", z, std::string(name(wire)).c_str(),
              static_cast<int>(pair), static_cast<int>(d), r.epsilon_lower_bound, r.epsilon_claim, r.ratio);
  return r;
}

TEST(AuditLong, AMillionReleasesFindNinetyPercentOfTheClaimAndNeverMore) {
  for (const double z : {0.6, 1.0, 2.0}) {
    for (const DType wire : {DType::kInt8, DType::kInt16}) {
      const AuditResult r = audited(z, wire, Relation::kReplaceOne, AuditPair::kOneHot, 1);
      EXPECT_EQ(r.verdict, AuditVerdict::kConsistent);
      EXPECT_GE(r.ratio, 0.9);
    }
  }
}

TEST(AuditLong, OtherPairsAndRelationsStayBelowTheClaim) {
  for (const AuditPair pair : {AuditPair::kAllEqual, AuditPair::kAlternatingSigns}) {
    const AuditResult r = audited(1.0, DType::kInt8, Relation::kReplaceOne, pair, 16);
    EXPECT_EQ(r.verdict, AuditVerdict::kConsistent);
    EXPECT_GE(r.ratio, 0.85);
  }
  for (const Relation relation : {Relation::kZeroOut, Relation::kReplaceOneNonnegative}) {
    const AuditResult r = audited(1.0, DType::kInt8, relation, AuditPair::kOneHot, 2);
    EXPECT_EQ(r.verdict, AuditVerdict::kConsistent);
    EXPECT_GE(r.ratio, 0.9);
  }
}

TEST(AuditLong, HalfTheNoiseFailsAtEveryLevel) {
  Context ctx(Backend::kReference);
  for (const double z : {0.6, 1.0, 2.0}) {
    const RowPlan plan = plan_with(z, DType::kInt8);
    HalfNoiseGuard guard(plan);
    const AuditResult r = audit_guard(ctx, guard, plan, {.releases = 300'000, .row_elements = 1});
    EXPECT_EQ(r.verdict, AuditVerdict::kViolation) << z;
  }
}

}  // namespace
}  // namespace sutura
