#pragma once
#include <vector>

#include "runtime/topology/plan.h"

namespace sutura {

inline bool is_source(const NodeConfig& n) { return n.kind == NodeKind::kFeatures || n.kind == NodeKind::kLabels; }

/// Nodes in the order of the forward pass, the file's order where the graph leaves a choice. Nodes of a cycle, and nodes
/// behind it, are left out; routes from or to names that do not exist count as none.
std::vector<int> forward_order(const TopologyConfig& topology);

/// forward_order(), complete. Errors: kConfig naming the nodes of a cycle.
std::vector<int> sorted_nodes(const TopologyConfig& topology);

/// Inputs of every node, in the order of the routes: where a branch lies must not change the order of a sum.
/// Errors: kConfig naming the route or node: unknown nodes, routes into sources, labels that go elsewhere than to a loss, a
/// wrong number of inputs.
std::vector<Wiring> wire(const TopologyConfig& topology);

/// Refuses nodes whose value reaches no loss. Needs the wiring and the loss of the plan.
/// Errors: kConfig naming the node.
void check_reach(const Plan& plan);

}  // namespace sutura
