#pragma once
#include <cstdint>

#include "runtime/tools/study_command.h"

namespace sutura {

struct PlanArguments {
  StudyArguments study;
  bool cuts = false;             ///< what each possible cut costs, instead of the plan
  std::int64_t records = 1000;   ///< training records of the epoch that traffic is counted for
};

/// Declares the study's arguments, --cuts and --records.
void add_plan_arguments(CLI::App& app, PlanArguments& arguments);

/// `sutura plan`: who does what when, how much travels, what leaves, what is promised; or what each cut costs. Exit status.
/// Reads data only where the study does not say the shape of a record. Errors are thrown.
int plan_command(const PlanArguments& arguments);

}  // namespace sutura
