#pragma once
#include <cstdint>
#include <string>

#include "runtime/config/study.h"
#include "runtime/privacy/guard.h"
#include "runtime/privacy/row_plan.h"

namespace sutura {

/// log2 of the delta that finite precision adds: (1 + e^eps) d releases 2^-116 from the noise table, stated as no less
/// than 2^-60.
double implementation_delta_log2(double epsilon, std::int64_t row_elements, std::uint64_t releases);

/// A positive number rounded up to three digits after the point (or three significant ones below 0.1), so that a printed
/// claim never says less than was computed.
std::string rounded_up(double value);

/// What may be said about a study's privacy, in one paragraph: the regime, the relation, the integers, and either a claim
/// with its conditions or the plain words that there is none.
/// `plan` is required unless the mechanism is none; `row_elements` is the number of values of one released row.
/// `releasing_parties`: how many parties release a part of the same record (vertical splits); the claim is then each party's
/// part, and the whole record's is stated beside it. Where records are grouped (patients), the unit is named.
std::string privacy_statement(const StudyConfig& study, const RowPlan* plan, std::int64_t row_elements, int releasing_parties,
                              NoiseSource source);
/// The same for ungrouped records that one party releases whole.
std::string privacy_statement(const PrivacyConfig& config, const RowPlan* plan, std::int64_t row_elements, NoiseSource source);

}  // namespace sutura
