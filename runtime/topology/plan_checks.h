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

/// Weights that pass between parties outside of steps, in this order: the averages of a round as pairs (to the server, and
/// back), hand-overs, deliveries at the end. Needs the wiring and what trains.
/// Errors  kConfig naming the segment and the key that lists it.
void find_weights(Plan& plan, const StudyConfig& study);

}  // namespace sutura
