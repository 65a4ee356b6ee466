#include <algorithm>
#include <map>

#include "core/error.h"
#include "runtime/topology/graph.h"

namespace sutura {

std::size_t Segments::index(const std::string& name) const {
  const auto it = std::find(names.begin(), names.end(), name);
  require(it != names.end(), Errc::kConfig, "topology: there is no segment '" + name + "'");
  return static_cast<std::size_t>(it - names.begin());
}

namespace {

/// Shape of one record's value at `node`, following the routes back to the sources and building segments on the way.
class Builder {
 public:
  Builder(const StudyConfig& study, const std::vector<Shape>& feature_rows, std::int64_t outputs)
      : study_(study), rows_(feature_rows), outputs_(outputs) {}

  Shape shape_of(const std::string& name, int depth = 0) {
    const auto& nodes = study_.topology.nodes;
    require(depth <= static_cast<int>(nodes.size()), Errc::kConfig, "topology: the routes form a cycle through " + name);
    const auto it = std::find_if(nodes.begin(), nodes.end(), [&](const NodeConfig& n) { return n.name == name; });
    require(it != nodes.end(), Errc::kConfig, "topology: a route names the node '" + name + "', which does not exist");
    if (it->kind == NodeKind::kFeatures) {
      const auto source = std::count_if(nodes.begin(), it, [](const NodeConfig& n) { return n.kind == NodeKind::kFeatures; });
      return rows_.at(static_cast<std::size_t>(source));
    }
    std::vector<Shape> inputs;
    for (const RouteConfig& r : study_.topology.routes)
      if (r.to == name && !is_labels(r.from)) inputs.push_back(shape_of(r.from, depth + 1));
    require(!inputs.empty(), Errc::kConfig, "topology: nothing is routed to '" + name + "'");
    if (it->kind == NodeKind::kSegment) {
      const auto spec = study_.network.segments.find(it->segment);
      require(spec != study_.network.segments.end(), Errc::kConfig,
              "network.segments has no entry '" + it->segment + "', which the topology uses");
      if (!built_.contains(it->segment)) built_[it->segment] = build_network(spec->second, inputs[0], outputs_);
      return built_[it->segment].output_shape(inputs[0]);
    }
    if (it->kind == NodeKind::kJoin && it->join == JoinKind::kConcat) {
      std::vector<std::int64_t> dims(inputs[0].dims().begin(), inputs[0].dims().end());
      for (std::size_t i = 1; i < inputs.size(); ++i) dims.back() += inputs[i][inputs[i].rank() - 1];
      return Shape(std::span<const std::int64_t>(dims));
    }
    return inputs[0];
  }
  std::map<std::string, Network> built_;

 private:
  bool is_labels(const std::string& name) const {
    return std::ranges::any_of(study_.topology.nodes,
                               [&](const NodeConfig& n) { return n.name == name && n.kind == NodeKind::kLabels; });
  }

  const StudyConfig& study_;
  const std::vector<Shape>& rows_;
  std::int64_t outputs_;
};

}  // namespace

Segments build_segments(const StudyConfig& study, const std::vector<Shape>& feature_rows, std::int64_t outputs) {
  Segments s;
  for (const NodeConfig& n : study.topology.nodes)
    if (n.kind == NodeKind::kSegment) {
      require(std::find(s.names.begin(), s.names.end(), n.segment) == s.names.end(), Errc::kConfig,
              "topology: two nodes bear the segment '" + n.segment + "'");
      s.names.push_back(n.segment);
    }
  if (!study.network.segments.empty()) {
    Builder builder(study, feature_rows, outputs);
    for (const NodeConfig& n : study.topology.nodes)
      if (n.kind == NodeKind::kLoss) builder.shape_of(n.name);
    for (const std::string& name : s.names) {
      require(builder.built_.contains(name), Errc::kConfig, "topology: the loss cannot be reached from segment '" + name + "'");
      s.networks.push_back(std::move(builder.built_.at(name)));
    }
    return s;
  }
  require(feature_rows.size() == 1, Errc::kConfig,
          "a topology with several feature sources needs network.segments, one entry per segment");
  Network whole = build_network(study.network.whole, feature_rows[0], outputs);
  require(study.network.cuts.size() + 1 == s.names.size(), Errc::kConfig,
          "network.cuts names " + std::to_string(study.network.cuts.size()) + " layers, the topology has " +
              std::to_string(s.names.size()) + " segments: give one cut fewer than segments");
  // Cuts follow the network's layers, so they belong to the segments in the order of the forward pass, whatever the order
  // of the file.
  std::vector<Network> parts = std::move(whole).cut_after(study.network.cuts);
  std::vector<std::string> in_order;
  for (const int n : forward_order(study.topology))
    if (const NodeConfig& node = study.topology.nodes[static_cast<std::size_t>(n)]; node.kind == NodeKind::kSegment)
      in_order.push_back(node.segment);
  s.networks.resize(parts.size());
  for (const std::string& name : s.names)  // those of a cycle, which compile() refuses with its place, come last
    if (std::ranges::find(in_order, name) == in_order.end()) in_order.push_back(name);
  for (std::size_t i = 0; i < parts.size(); ++i) s.networks[s.index(in_order[i])] = std::move(parts[i]);
  return s;
}

}  // namespace sutura
