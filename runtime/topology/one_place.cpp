#include "runtime/topology/one_place.h"

#include <algorithm>

#include "core/error.h"

namespace sutura {
namespace {

const NodeConfig* find_node(const TopologyConfig& t, const std::string& name) {
  const auto it = std::ranges::find(t.nodes, name, &NodeConfig::name);
  return it == t.nodes.end() ? nullptr : &*it;
}

bool is_source(const NodeConfig& n) { return n.kind == NodeKind::kFeatures || n.kind == NodeKind::kLabels; }

/// Routes that bring values, not labels, to a node.
std::vector<RouteConfig> value_routes_to(const TopologyConfig& t, const std::string& node) {
  std::vector<RouteConfig> routes;
  for (const RouteConfig& r : t.routes) {
    const NodeConfig* from = find_node(t, r.from);
    require(from != nullptr, Errc::kConfig, "topology: a route names the node '" + r.from + "', which does not exist");
    if (r.to == node && from->kind != NodeKind::kLabels) routes.push_back(r);
  }
  return routes;
}

void remove_node(TopologyConfig& t, const std::string& name) {
  std::erase_if(t.routes, [&](const RouteConfig& r) { return r.from == name || r.to == name; });
  std::erase_if(t.nodes, [&](const NodeConfig& n) { return n.name == name; });
}

/// Removes one node that nothing reaches; false when there is none.
bool remove_unreached(TopologyConfig& t) {
  for (const NodeConfig& n : t.nodes) {
    if (is_source(n) || !value_routes_to(t, n.name).empty()) continue;
    const std::string name = n.name;
    remove_node(t, name);
    return true;
  }
  return false;
}

/// Replaces one join that has a single input by that input; false when there is none. The routes that left the join keep
/// their places, so that the order of the inputs of later joins stays.
bool bypass_join(TopologyConfig& t) {
  for (const NodeConfig& n : t.nodes) {
    if (n.kind != NodeKind::kJoin) continue;
    const auto inputs = value_routes_to(t, n.name);
    if (inputs.size() != 1) continue;
    const std::string join = n.name;
    for (RouteConfig& r : t.routes)
      if (r.from == join) r.from = inputs[0].from;
    remove_node(t, join);
    return true;
  }
  return false;
}

/// Labels that no loss asks for any more.
void remove_idle_labels(TopologyConfig& t) {
  std::erase_if(t.nodes, [&](const NodeConfig& n) {
    return n.kind == NodeKind::kLabels && std::ranges::none_of(t.routes, [&](const RouteConfig& r) { return r.from == n.name; });
  });
}

}  // namespace

std::vector<std::string> feature_holders(const TopologyConfig& topology) {
  std::vector<std::string> holders;
  for (const NodeConfig& n : topology.nodes)
    if (n.kind == NodeKind::kFeatures && std::ranges::find(holders, n.at) == holders.end()) holders.push_back(n.at);
  return holders;
}

TopologyConfig at_one_place(TopologyConfig topology, const std::string& party) {
  topology.parties = {{party, Role::kClient, Count::kOne}};
  topology.deliver.clear();
  for (NodeConfig& n : topology.nodes) n.at = party;
  for (RouteConfig& r : topology.routes) r.activation = r.gradient = GuardKind::kNone;
  return topology;
}

TopologyConfig alone(const TopologyConfig& topology, const std::string& party) {
  const auto holders = feature_holders(topology);
  require(std::ranges::find(holders, party) != holders.end(), Errc::kConfig, "topology: '" + party + "' holds no features");
  TopologyConfig t = topology;
  std::vector<std::string> others;
  for (const NodeConfig& n : t.nodes)
    if (n.kind == NodeKind::kFeatures && n.at != party) others.push_back(n.name);
  for (const std::string& name : others) remove_node(t, name);
  while (remove_unreached(t)) continue;
  while (bypass_join(t)) continue;
  remove_idle_labels(t);
  require(std::ranges::any_of(t.nodes, [](const NodeConfig& n) { return n.kind == NodeKind::kLoss; }), Errc::kConfig,
          "topology: the features of '" + party + "' alone do not reach the loss");
  return at_one_place(std::move(t), party);
}

}  // namespace sutura
