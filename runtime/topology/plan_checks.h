#pragma once
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

/// Per node: whether it is `node` or before it.
std::vector<bool> upstream_of(const Plan& plan, int node);

/// Refuses what would leak, or what would say more than holds. Needs wiring, shapes, gradients and edges of the plan.
/// Errors  kConfig naming the route, layer or key.
void check_privacy(const Plan& plan, const StudyConfig& study, const Segments& segments);

/// Refuses a layer without a backward (a public front) that a gradient would have to pass.
/// Errors  kConfig naming the layer and its segment.
void check_backward(const Plan& plan, const Segments& segments);

/// Refuses a schedule that has no meaning on this graph: an order of visits that nothing depends on, copies that nothing
/// makes, sites that would train alone, policies for sites or parties that cannot be missing. Needs the edges of the plan.
/// Errors  kConfig naming the key and the reason.
void check_schedule(const Plan& plan, const StudyConfig& study);
/// Refuses stale steps where no party waits inside a step. Needs the programs.
void check_stale(const Plan& plan, const TrainingConfig& training);

/// Weights that pass between parties outside of steps, in this order: the averages of a round as pairs (to the server, and
/// back), hand-overs, deliveries at the end. Needs the wiring and what trains.
/// Errors  kConfig naming the segment and the key that lists it.
void find_weights(Plan& plan, const StudyConfig& study);

}  // namespace sutura
