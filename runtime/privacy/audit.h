#pragma once
#include <cstdint>
#include <string>

#include "kernels/context.h"
#include "runtime/privacy/guard.h"
#include "runtime/privacy/row_plan.h"

namespace sutura {

/// The two neighbouring rows that the audit tries to tell apart. The relation decides the partner: replace-one takes the
/// opposite row, zero-out the zero row; non-negative rows always take two coordinates (e_1 against e_2, halves for others).
enum class AuditPair { kOneHot, kAllEqual, kAlternatingSigns };

struct AuditSettings {
  std::int64_t releases = 1'000'000;  ///< of each of the two rows
  std::int64_t row_elements = 4;
  double delta = 1e-2;  ///< where claim and attack are compared; small deltas need far more releases
  double confidence = 0.95;
  AuditPair pair = AuditPair::kOneHot;
};

enum class AuditVerdict { kConsistent, kViolation };
/// What an attacker measured against what is claimed.
struct AuditResult {
  double epsilon_lower_bound = 0.0;  ///< with the stated confidence, epsilon is at least this
  double epsilon_claim = 0.0;        ///< of one release, at the audit's delta
  double ratio = 0.0;                ///< lower bound / claim: near 1 for a perfect sampler and the worst pair
  double true_positive_lower = 0.0, false_positive_upper = 0.0;  ///< of the better direction
  std::int64_t releases = 0;
  AuditVerdict verdict = AuditVerdict::kConsistent;
};

/// Attacks `guard` through its real code path: releases both rows many times, decodes as a server would, projects on the
/// difference, chooses a threshold on half of the scores and bounds its rates on the other half (Clopper-Pearson, one
/// share of 1 - confidence for each of the four bounds).
/// It can refute a claim, never prove one. `claim` says what is claimed; `guard` may be anything.
/// Errors   kInvalidArgument for fewer than 1000 releases or a single element where the pair needs two.
/// Source   Jagielski, Ullman & Oprea 2020; Kairouz, Oh & Viswanath 2015 (the trade-off that delta enters).
AuditResult audit_guard(Context& ctx, Guard& guard, const RowPlan& claim, const AuditSettings& settings);

/// The same for the product's own row guard, with ledger and journal in memory.
AuditResult audit_rows(Context& ctx, const RowPlan& plan, const AuditSettings& settings);

}  // namespace sutura
