#include <algorithm>
#include <set>

#include "runtime/config/scalar.h"
#include "runtime/config/sections.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

using Names = std::vector<std::string>;

bool holds(const Names& names, const std::string& name) { return std::find(names.begin(), names.end(), name) != names.end(); }

/// An empty name has been reported where it was read.
void need(Reader& reader, const std::string& path, const char* what, const std::string& name, const Names& names) {
  if (!name.empty() && !holds(names, name))
    reader.error_at(path, std::string("no ") + what + " is named " + printable(name), nearest_hint(name, names));
}

template <class T>
Names unique_names(Reader& reader, const std::vector<T>& items, const std::string& list, const char* what) {
  Names names;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (holds(names, items[i].name) && !items[i].name.empty())
      reader.error_at(item_path(list, i) + ".name", std::string("two ") + what + " are named " + items[i].name);
    names.push_back(items[i].name);
  }
  return names;
}

Names segments_of(const TopologyConfig& topology) {
  Names segments;
  for (const NodeConfig& node : topology.nodes)
    if (node.kind == NodeKind::kSegment && !node.segment.empty() && !holds(segments, node.segment))
      segments.push_back(node.segment);
  return segments;
}

void check_topology(const TopologyConfig& topology, const Names& segments, Reader& reader) {
  const Names parties = unique_names(reader, topology.parties, "topology.parties", "parties");
  const Names nodes = unique_names(reader, topology.nodes, "topology.nodes", "nodes");
  for (std::size_t i = 0; i < topology.parties.size(); ++i)
    if (topology.parties[i].name == "default")
      reader.error_at(item_path("topology.parties", i) + ".name", "a party must not be named default",
                      "compute.default has a meaning");
  for (std::size_t i = 0; i < topology.nodes.size(); ++i)
    need(reader, item_path("topology.nodes", i) + ".at", "party", topology.nodes[i].at, parties);
  std::set<std::pair<std::string, std::string>> routes;
  for (std::size_t i = 0; i < topology.routes.size(); ++i) {
    const RouteConfig& route = topology.routes[i];
    const std::string path = item_path("topology.routes", i);
    need(reader, path + ".from", "node", route.from, nodes);
    need(reader, path + ".to", "node", route.to, nodes);
    if (!route.from.empty() && !routes.emplace(route.from, route.to).second)
      reader.error_at(path + ".from", "the route " + route.from + ">" + route.to + " is there twice");
  }
  for (std::size_t i = 0; i < topology.deliver.size(); ++i) {
    need(reader, item_path("topology.deliver", i) + ".segment", "segment", topology.deliver[i].segment, segments);
    need(reader, item_path("topology.deliver", i) + ".to", "party", topology.deliver[i].to, parties);
  }
}

void check_network(const NetworkConfig& network, const Names& segments, Reader& reader) {
  for (std::size_t i = 0; i < network.frozen.size(); ++i)
    need(reader, item_path("network.frozen", i), "segment", network.frozen[i], segments);
  if (!network.segments.empty()) {
    for (const auto& [name, spec] : network.segments)
      need(reader, member_path("network.segments", name), "segment", name, segments);
    for (const std::string& segment : segments)
      if (!network.segments.contains(segment))
        reader.error_at("network.segments", "network.segments does not hold the segment " + segment + " of the topology");
    return;
  }
  if (!network.whole.layers.empty()) {
    Names layers;
    for (const LayerSpec& layer : network.whole.layers) layers.push_back(layer.name);
    for (std::size_t i = 0; i < network.cuts.size(); ++i)
      need(reader, item_path("network.cuts", i), "layer", network.cuts[i], layers);
  }
  const NodeForm cuts = reader.form("network.cuts");
  const bool readable =
      (cuts == NodeForm::kNull || cuts == NodeForm::kList) && (!network.whole.zoo.empty() || !network.whole.layers.empty());
  if (readable && !segments.empty() && network.cuts.size() + 1 != segments.size()) {
    std::string all;
    for (const std::string& segment : segments) all += (all.empty() ? "" : ", ") + segment;
    reader.error_at("network.cuts",
                    "network.cuts names " + std::to_string(network.cuts.size()) + " layers, but the topology needs " +
                        std::to_string(segments.size() - 1),
                    "its segments are " + all);
  }
}

/// Each party with a source has a table of its own, and the label stands in the table of the party with the labels.
void check_party_tables(const StudyConfig& study, const Names& parties, Reader& reader) {
  const auto& tables = study.data.party_tables;
  for (const auto& [party, table] : tables) {
    const std::string path = member_path("data.party_tables", party);
    need(reader, path, "party", party, parties);
    const auto has = [&, &name = party](NodeKind kind) {
      return std::ranges::any_of(study.topology.nodes, [&](const NodeConfig& n) { return n.at == name && n.kind == kind; });
    };
    const bool labels = has(NodeKind::kLabels);
    if (!labels && !table.label.empty())
      reader.error_at(path + ".label", "the table of " + party + " has a label, but no labels node sits on " + party);
    if (labels && table.label.empty()) reader.error_at(path, "the labels node sits on " + party + ", whose table has no label");
    if (holds(parties, party) && !labels && table.label.empty() && !has(NodeKind::kFeatures))
      reader.error_at(path, "no source of the topology sits on " + party);
  }
  if (tables.empty()) return;
  for (const NodeConfig& node : study.topology.nodes)
    if ((node.kind == NodeKind::kFeatures || node.kind == NodeKind::kLabels) && !node.at.empty() && !tables.contains(node.at))
      reader.error_at("data.party_tables",
                      "data.party_tables holds no table of " + node.at + ", where the source " + node.name + " sits");
}

}  // namespace

void check_names(const StudyConfig& study, Reader& reader) {
  const Names segments = segments_of(study.topology);
  check_topology(study.topology, segments, reader);
  if (study.topology.nodes.empty()) return;
  check_network(study.network, segments, reader);
  for (std::size_t i = 0; i < study.schedule.average.size(); ++i)
    need(reader, item_path("schedule.average", i), "segment", study.schedule.average[i], segments);
  for (std::size_t i = 0; i < study.schedule.hand_on.size(); ++i)
    need(reader, item_path("schedule.hand_on", i), "segment", study.schedule.hand_on[i], segments);
  Names parties;
  for (const PartyConfig& party : study.topology.parties) parties.push_back(party.name);
  for (const auto& [party, columns] : study.data.party_columns)
    need(reader, member_path("data.party_columns", party), "party", party, parties);
  check_party_tables(study, parties, reader);
  for (const auto& [party, shape] : study.data.party_shapes)
    need(reader, member_path("data.party_shapes", party), "party", party, parties);
  for (const auto& [party, compute] : study.compute)
    if (party != "default") need(reader, member_path("compute", party), "party", party, parties);
}

}  // namespace sutura
