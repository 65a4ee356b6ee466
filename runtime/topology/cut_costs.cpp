#include "runtime/topology/cut_costs.h"

#include <algorithm>
#include <span>

#include "core/error.h"
#include "runtime/topology/traffic.h"

namespace sutura {
namespace {

const NodeConfig& node_of(const Plan& plan, int n) { return plan.topology.nodes[static_cast<std::size_t>(n)]; }

struct LayerCost {
  std::string name;
  double flops = 0.0;
  std::int64_t parameters = 0;
  bool trained = false;
  std::int64_t kept_bytes = 0;
  std::int64_t out = 0;  ///< elements of one record behind it
};

/// Segments one after the other, from a source of features to the loss, a join or a fork.
struct Chain {
  std::vector<int> nodes;
  std::vector<std::size_t> ends;  ///< layers up to and including each node's last
  std::vector<LayerCost> layers;
};

std::vector<int> consumers(const Plan& plan, int node) {
  std::vector<int> all;
  for (std::size_t n = 0; n < plan.wiring.size(); ++n)
    if (std::ranges::find(plan.wiring[n].inputs, node) != plan.wiring[n].inputs.end()) all.push_back(static_cast<int>(n));
  return all;
}

std::int64_t bytes_in(const Saved& saved) {
  std::int64_t bytes = 0;
  for (const Tensor& t : saved.tensors) bytes += static_cast<std::int64_t>(t.bytes_size());
  for (const Saved& child : saved.children) bytes += bytes_in(child);
  return bytes;
}

/// What each layer keeps of `records` records.
std::vector<std::int64_t> kept_by(const Network& network, const Shape& row, std::int64_t records) {
  Context ctx(Backend::kOnednn);
  Tensor x(row.with_batch(records));
  std::ranges::fill(x.f32(), 0.0F);
  Saved saved;
  const ParamStore params = network.make_params(0);
  static_cast<void>(network.forward(ctx, params, std::move(x), saved, Pass{}));
  std::vector<std::int64_t> bytes;
  for (const Saved& s : saved.children) bytes.push_back(bytes_in(s));
  return bytes;
}

void add_layers(Chain& chain, const Network& network, Shape row) {
  // The difference of two batches: what a layer keeps once, however many records there are, is no cost per record.
  const auto two = kept_by(network, row, 2), four = kept_by(network, row, 4);
  for (std::size_t l = 0; l < network.size(); ++l) {
    LayerCost cost;
    cost.name = network.layer(l).name();
    cost.flops = network.layer(l).flops(row);
    for (const ParamSpec& p : network.layer(l).param_specs()) {
      cost.parameters += p.shape.elements();
      cost.trained = cost.trained || p.role == ParamRole::kTrained;
    }
    cost.kept_bytes = (four[l] - two[l]) / 2;
    row = network.layer(l).output_shape(row);
    cost.out = row.row_elements();
    chain.layers.push_back(std::move(cost));
  }
  chain.ends.push_back(chain.layers.size());
}

Chain chain_from(const Plan& plan, const Segments& segments, int source) {
  Chain chain;
  for (int at = source;;) {
    const std::vector<int> next = consumers(plan, at);
    if (next.size() != 1 || node_of(plan, next[0]).kind != NodeKind::kSegment) return chain;
    chain.nodes.push_back(next[0]);
    add_layers(chain, segments.networks[segments.index(node_of(plan, next[0]).segment)], plan.row_shapes[static_cast<std::size_t>(at)]);
    at = next[0];
  }
}

bool leaves_its_party(const Plan& plan, int node) {
  return std::ranges::any_of(plan.edges, [&](const Edge& e) { return e.from == node && !e.labels; });
}

class Costing {
 public:
  Costing(const Plan& plan, const StudyConfig& study, const Segments& segments, const Chain& chain)
      : plan_(plan), study_(study), chain_(chain), party_(plan.party_of(chain.nodes[0])) {
    add_rest(segments);
  }

  /// The first node keeps the layers [0, first).
  CutCost at(std::size_t first) const {
    CutCost cost = rest_;
    cost.party = plan_.topology.parties[static_cast<std::size_t>(party_)].name;
    cost.after = chain_.layers[first - 1].name;
    cost.study = first == chain_.ends[0];
    bool upstream = false;  // something before this node trains
    std::size_t begin = 0;
    for (std::size_t j = 0; j < chain_.nodes.size(); ++j) {
      const std::size_t end = j == 0 ? first : chain_.ends[j];
      const std::span layers(chain_.layers.begin() + static_cast<std::ptrdiff_t>(begin), end - begin);
      const bool trains = !frozen(chain_.nodes[j]) && std::ranges::any_of(layers, &LayerCost::trained);
      if (plan_.party_of(chain_.nodes[j]) == party_) add_layers_at_party(cost, layers, trains, upstream);
      upstream = upstream || trains;
      for (const Edge& e : plan_.edges)
        if (e.from == chain_.nodes[j]) add_edge(cost, e, layers.back().out, upstream);
      begin = end;
    }
    return cost;
  }

 private:
  bool frozen(int node) const {
    const auto& names = study_.network.frozen;
    return std::ranges::find(names, node_of(plan_, node).segment) != names.end();
  }

  /// A gradient reaches them as Network::backward goes: from behind down to the first layer with parameters, or to the input
  /// where something upstream trains.
  static void add_layers_at_party(CutCost& cost, std::span<const LayerCost> layers, bool trains, bool upstream) {
    bool reached = upstream;
    for (const LayerCost& layer : layers) {
      reached = reached || (trains && layer.parameters > 0);
      cost.forward_flops += layer.flops;
      cost.parameter_bytes += 4 * layer.parameters;
      if (reached) cost.backward_flops += 2.0 * layer.flops;
      if (trains || upstream) cost.kept_bytes += layer.kept_bytes;
    }
  }

  void add_edge(CutCost& cost, const Edge& e, std::int64_t elements, bool gradient) const {
    if (e.from_party != party_ && e.to_party != party_) return;
    const PrivacyConfig& privacy = study_.privacy;
    const std::int64_t forward = e.labels ? record_bytes(e, Leg::kForward, study_)
                                          : value_bytes(e.activation_guard, study_.wire.activation, privacy.wire, elements);
    const GuardKind guard = privacy.mechanism == Mechanism::kRows ? plan_.topology.routes[static_cast<std::size_t>(e.route)].gradient
                                                                  : GuardKind::kNone;
    const std::int64_t backward = gradient ? value_bytes(guard, study_.wire.gradient, privacy.wire, elements) : 0;
    cost.up_bytes += e.from_party == party_ ? forward : backward;
    cost.down_bytes += e.from_party == party_ ? backward : forward;
  }

  /// What the party does beside the chain, wherever that is cut: labels, a head behind a join, other sources.
  void add_rest(const Segments& segments) {
    const auto in_chain = [&](int node) { return std::ranges::find(chain_.nodes, node) != chain_.nodes.end(); };
    for (std::size_t n = 0; n < plan_.topology.nodes.size(); ++n) {
      const NodeConfig& node = plan_.topology.nodes[n];
      if (node.kind != NodeKind::kSegment || in_chain(static_cast<int>(n)) || plan_.party_of(static_cast<int>(n)) != party_) continue;
      const auto input = static_cast<std::size_t>(plan_.wiring[n].inputs.at(0));
      Chain own;
      add_layers(own, segments.networks[segments.index(node.segment)], plan_.row_shapes[input]);
      add_layers_at_party(rest_, own.layers, plan_.trains[n], plan_.needs_gradient[input]);
    }
    for (const Edge& e : plan_.edges)
      if (!in_chain(e.from)) add_edge(rest_, e, e.row.row_elements(), e.gradient);
  }

  const Plan& plan_;
  const StudyConfig& study_;
  const Chain& chain_;
  int party_;
  CutCost rest_;
};

}  // namespace

std::vector<CutCost> cut_costs(const Plan& plan, const StudyConfig& study, const Segments& segments) {
  std::vector<CutCost> costs;
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    if (plan.topology.nodes[n].kind != NodeKind::kFeatures) continue;
    const std::vector<int> first = consumers(plan, static_cast<int>(n));
    if (first.size() != 1 || node_of(plan, first[0]).kind != NodeKind::kSegment || !leaves_its_party(plan, first[0])) continue;
    const Chain chain = chain_from(plan, segments, static_cast<int>(n));
    // The segment behind the cut keeps at least one layer.
    const std::size_t last = chain.ends.size() > 1 ? chain.ends[1] - 1 : chain.ends[0];
    const Costing costing(plan, study, segments, chain);
    for (std::size_t l = 1; l <= last; ++l) costs.push_back(costing.at(l));
  }
  require(!costs.empty(), Errc::kConfig, "topology: no holder of features sends a segment's output to another party: there is no cut to choose");
  return costs;
}

}  // namespace sutura
