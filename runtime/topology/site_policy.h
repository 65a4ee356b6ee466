#pragma once
#include "runtime/config/site_policy.h"
#include "runtime/topology/plan.h"

namespace sutura {

/// Refuses a plan by which more would leave `party` (an index of the plan's parties) than its policy lists: activations,
/// gradients and labels on every edge, weights at round ends, hand-overs and deliveries, numbers of records, metrics and
/// what alignment sends; a budget above the policy's; a cut after a layer that it does not name. Needs no data: call it
/// before any is read.
/// Errors  kConfig with a line for each refusal: the edge, what it carries, and the line of the policy that is too strict.
void enforce(const SitePolicy& policy, const Plan& plan, const StudyConfig& study, int party);

}  // namespace sutura
