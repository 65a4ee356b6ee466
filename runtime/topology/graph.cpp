#include "runtime/topology/graph.h"

#include <algorithm>
#include <functional>
#include <queue>

#include "core/error.h"
#include "runtime/topology/plan_checks.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

/// -1 if no node bears the name.
int index_of(const TopologyConfig& t, const std::string& name) {
  const auto it = std::ranges::find(t.nodes, name, &NodeConfig::name);
  return it == t.nodes.end() ? -1 : static_cast<int>(it - t.nodes.begin());
}

int find_node(const TopologyConfig& t, const std::string& name) {
  const int n = index_of(t, name);
  if (n < 0) refuse("a route names the node '" + name + "', which does not exist");
  return n;
}

}  // namespace

/// Kahn's algorithm, lowest index first.
std::vector<int> forward_order(const TopologyConfig& t) {
  std::vector<std::vector<int>> consumers(t.nodes.size());
  std::vector<int> missing(t.nodes.size(), 0);
  for (const RouteConfig& r : t.routes) {
    const int from = index_of(t, r.from), to = index_of(t, r.to);
    if (from < 0 || to < 0) continue;
    consumers[static_cast<std::size_t>(from)].push_back(to);
    ++missing[static_cast<std::size_t>(to)];
  }
  std::priority_queue<int, std::vector<int>, std::greater<>> ready;
  for (std::size_t n = 0; n < t.nodes.size(); ++n)
    if (missing[n] == 0) ready.push(static_cast<int>(n));
  std::vector<int> order;
  while (!ready.empty()) {
    const int n = ready.top();
    ready.pop();
    order.push_back(n);
    for (const int c : consumers[static_cast<std::size_t>(n)])
      if (--missing[static_cast<std::size_t>(c)] == 0) ready.push(c);
  }
  return order;
}

std::vector<int> sorted_nodes(const TopologyConfig& t) {
  std::vector<int> order = forward_order(t);
  if (order.size() == t.nodes.size()) return order;
  // What is left is a cycle and what hangs behind it: of the latter, nothing is named.
  std::vector<bool> left(t.nodes.size(), true);
  for (const int n : order) left[static_cast<std::size_t>(n)] = false;
  for (bool shrunk = true; shrunk;) {
    shrunk = false;
    for (std::size_t n = 0; n < t.nodes.size(); ++n) {
      if (!left[n]) continue;
      const bool feeds = std::ranges::any_of(t.routes, [&](const RouteConfig& r) {
        const int to = index_of(t, r.to);
        return r.from == t.nodes[n].name && to >= 0 && left[static_cast<std::size_t>(to)];
      });
      if (feeds) continue;
      left[n] = false;
      shrunk = true;
    }
  }
  std::string names;
  for (std::size_t n = 0; n < t.nodes.size(); ++n)
    if (left[n]) names += (names.empty() ? "" : ", ") + t.nodes[n].name;
  refuse("the routes form a cycle through " + names);
}

std::vector<Wiring> wire(const TopologyConfig& t) {
  std::vector<Wiring> wiring(t.nodes.size());
  for (std::size_t r = 0; r < t.routes.size(); ++r) {
    const int from = find_node(t, t.routes[r].from);
    const int to = find_node(t, t.routes[r].to);
    const NodeConfig& source = t.nodes[static_cast<std::size_t>(from)];
    Wiring& w = wiring[static_cast<std::size_t>(to)];
    if (is_source(t.nodes[static_cast<std::size_t>(to)])) refuse("a route ends at the source '" + t.routes[r].to + "'");
    if (source.kind == NodeKind::kLabels) {
      if (t.nodes[static_cast<std::size_t>(to)].kind != NodeKind::kLoss)
        refuse("labels '" + source.name + "' may only go to a loss, not to '" + t.routes[r].to + "'");
      if (w.labels >= 0) refuse("the loss '" + t.routes[r].to + "' has two label sources");
      w.labels = from;
      w.label_route = static_cast<int>(r);
    } else {
      w.inputs.push_back(from);
      w.routes.push_back(static_cast<int>(r));
    }
  }
  for (std::size_t n = 0; n < t.nodes.size(); ++n) {
    const NodeConfig& node = t.nodes[n];
    const std::size_t inputs = wiring[n].inputs.size();
    if ((node.kind == NodeKind::kSegment || node.kind == NodeKind::kLoss) && inputs != 1)
      refuse("'" + node.name + "' needs exactly one input, it has " + std::to_string(inputs));
    if (node.kind == NodeKind::kJoin && inputs < 2) refuse("the join '" + node.name + "' has fewer than two inputs");
    if (node.kind == NodeKind::kLoss && wiring[n].labels < 0) refuse("the loss '" + node.name + "' gets no labels");
  }
  return wiring;
}

void check_reach(const Plan& plan) {
  std::vector<bool> reaches = upstream_of(plan, plan.loss_node);
  reaches[static_cast<std::size_t>(plan.wiring[static_cast<std::size_t>(plan.loss_node)].labels)] = true;
  for (std::size_t n = 0; n < reaches.size(); ++n) {
    const NodeConfig& node = plan.topology.nodes[n];
    if (reaches[n]) continue;
    const bool feeds = std::ranges::find(plan.topology.routes, node.name, &RouteConfig::from) != plan.topology.routes.end();
    refuse((feeds ? "" : "nothing consumes '" + node.name + "': ") + "the loss cannot be reached from " +
           (node.kind == NodeKind::kSegment ? "segment '" : "'") + node.name + "'");
  }
}

}  // namespace sutura
