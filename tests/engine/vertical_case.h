#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "tests/engine/crew.h"
#include "tests/equivalence/straight_line.h"

/// Clinic and laboratory with four and two columns of the same records, and the straight line of a study in which the
/// laboratory goes away.
namespace sutura::testing {

inline constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();

StudyText vertical_study();
std::vector<SiteData> vertical_cohort();

struct VerticalLine {
  std::vector<double> losses;                   ///< of each step that was trained
  std::vector<float> clinic, laboratory, tail;  ///< flat weights
  std::vector<float> validation;                ///< scores with the laboratory as it was at the end
};
/// Written from the formula: from step `lost` until step `back` the laboratory's rows are zeros, the mean of those before
/// (in double), or the step is left out.
VerticalLine train_without(MissingParty policy, std::int64_t lost, std::int64_t back, const StudyText& text,
                           const SiteData& site);

}  // namespace sutura::testing
