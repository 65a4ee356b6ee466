#include "runtime/config/sections.h"

namespace sutura {
namespace {

constexpr Choice<Role> kRoles[] = {{"client", Role::kClient}, {"server", Role::kServer}};
constexpr Choice<Count> kCounts[] = {{"one", Count::kOne}, {"many", Count::kMany}};
constexpr Choice<NodeKind> kSources[] = {{"features", NodeKind::kFeatures}, {"labels", NodeKind::kLabels}};
constexpr Choice<NodeKind> kLosses[] = {{"study", NodeKind::kLoss}};
constexpr Choice<JoinKind> kJoins[] = {
    {"concat", JoinKind::kConcat}, {"sum", JoinKind::kSum}, {"mean", JoinKind::kMean}, {"max", JoinKind::kMax}};
constexpr Choice<GuardKind> kGuards[] = {{"none", GuardKind::kNone}, {"rows", GuardKind::kRows}};

void read_node(Section& item, NodeConfig& node) {
  item.text({"name", "Name of the node, used by routes.", Need::kRequired}, TextRule::kIdentifier, node.name);
  item.text({"at", "Party that the node sits on.", Need::kRequired}, TextRule::kIdentifier, node.at);
  int kinds = 0;
  for (const std::string_view kind : {"source", "segment", "join", "loss"}) kinds += item.has(kind) ? 1 : 0;
  if (kinds != 1 && !item.describes())
    item.error(item.path() + " must hold exactly one of source, segment, join, loss (found " + std::to_string(kinds) + ")",
               "for example {name: front, at: hospital, segment: front}");
  if (item.has("source")) {
    std::optional<NodeKind> kind;
    item.choice({"source", "The node gives the records' features or their labels."}, kSources, kind);
    node.kind = kind.value_or(NodeKind::kFeatures);
  }
  if (item.has("loss")) {
    std::optional<NodeKind> kind;
    item.choice({"loss", "The node computes the loss that `training.loss` names."}, kLosses, kind);
    node.kind = NodeKind::kLoss;
  }
  if (item.has("join")) {
    std::optional<JoinKind> join;
    item.choice({"join", "The node merges its inputs, in the order of their routes."}, kJoins, join);
    node.kind = NodeKind::kJoin;
    node.join = join.value_or(JoinKind::kConcat);
  }
  if (item.has("segment")) {
    item.text({"segment", "The node runs this segment of the network."}, TextRule::kIdentifier, node.segment);
    node.kind = NodeKind::kSegment;
  }
}

GuardKind read_guard(Section& route, const Key& leg) {
  GuardKind guard = GuardKind::kNone;
  route.section_or_defaults(leg).choice(
      {"guard", "`rows`: what crosses is released through the mechanism of `privacy`; `none`: it crosses as it is."}, kGuards,
      guard);
  return guard;
}

}  // namespace

void read_topology(Section& root, TopologyConfig& topology) {
  const auto found =
      root.section({"topology", "Nodes on parties, joined by routes; include one of configs/topologies.", Need::kRequired});
  if (!found) return;
  Section section = *found;
  section.text({"name", "Name of the topology in reports.", Need::kRequired}, TextRule::kName, topology.name);
  for (Section& item : section.sections({"parties", "Who takes part.", Need::kRequired})) {
    PartyConfig& party = topology.parties.emplace_back();
    item.text({"name", "Name of the party, used by nodes.", Need::kRequired}, TextRule::kIdentifier, party.name);
    item.choice({"role", "Clients dial out and hold records; the server binds.", Need::kRequired}, kRoles, party.role);
    item.choice({"count", "`many`: one replica for each of `data.sites`."}, kCounts, party.count);
  }
  for (Section& item : section.sections({"nodes", "What is computed where.", Need::kRequired}))
    read_node(item, topology.nodes.emplace_back());
  for (Section& item : section.sections({"routes", "Which node feeds which.", Need::kRequired})) {
    RouteConfig& route = topology.routes.emplace_back();
    item.text({"from", "Node that sends activations.", Need::kRequired}, TextRule::kIdentifier, route.from);
    item.text({"to", "Node that receives them and sends gradients back.", Need::kRequired}, TextRule::kIdentifier, route.to);
    route.activation = read_guard(item, {"activation", "The forward leg."});
    route.gradient = read_guard(item, {"gradient", "The backward leg."});
  }
  for (Section& item : section.sections({"deliver", "Weights handed over when training ends."})) {
    DeliverConfig& deliver = topology.deliver.emplace_back();
    item.text({"segment", "Segment whose weights are handed over.", Need::kRequired}, TextRule::kIdentifier, deliver.segment);
    item.text({"to", "Party that receives them.", Need::kRequired}, TextRule::kIdentifier, deliver.to);
  }
}

}  // namespace sutura
