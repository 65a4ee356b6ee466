#include <algorithm>
#include <limits>
#include <map>

#include "core/error.h"
#include "runtime/topology/graph.h"
#include "runtime/topology/plan_checks.h"
#include "runtime/topology/programs.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

const NodeConfig& node_of(const Plan& plan, int n) { return plan.topology.nodes[static_cast<std::size_t>(n)]; }
const Wiring& wiring_of(const Plan& plan, int n) { return plan.wiring[static_cast<std::size_t>(n)]; }

Shape joined(const Plan& plan, int n) {
  const auto& inputs = wiring_of(plan, n).inputs;
  Shape first = plan.row_shapes[static_cast<std::size_t>(inputs[0])];
  std::int64_t last = 0;
  for (const int i : inputs) {
    const Shape& s = plan.row_shapes[static_cast<std::size_t>(i)];
    const bool concat = node_of(plan, n).join == JoinKind::kConcat;
    bool fits = s.rank() == first.rank();
    for (int d = 0; fits && d < s.rank() - (concat ? 1 : 0); ++d) fits = s[d] == first[d];
    if (!fits) refuse("the inputs of join '" + node_of(plan, n).name + "' have different shapes");
    last += s[s.rank() - 1];
  }
  if (node_of(plan, n).join != JoinKind::kConcat) return first;
  std::vector<std::int64_t> dims(first.dims().begin(), first.dims().end());
  dims.back() = last;
  return Shape(std::span<const std::int64_t>(dims));
}

void infer_shapes(Plan& plan, const std::vector<int>& order, const Segments& segments, const std::vector<Shape>& feature_rows) {
  plan.row_shapes.resize(plan.topology.nodes.size());
  std::size_t source = 0;
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n)
    if (plan.topology.nodes[n].kind == NodeKind::kFeatures) {
      require(source < feature_rows.size(), Errc::kInternal, "fewer record shapes than feature sources");
      plan.row_shapes[n] = feature_rows[source++];
    }
  for (const int n : order) {
    const NodeConfig& node = node_of(plan, n);
    Shape& shape = plan.row_shapes[static_cast<std::size_t>(n)];
    if (node.kind == NodeKind::kLabels) shape = Shape{1};
    if (node.kind == NodeKind::kSegment)
      shape = segments.networks[segments.index(node.segment)].output_shape(
          plan.row_shapes[static_cast<std::size_t>(wiring_of(plan, n).inputs[0])]);
    if (node.kind == NodeKind::kJoin) shape = joined(plan, n);
    if (node.kind == NodeKind::kLoss) shape = plan.row_shapes[static_cast<std::size_t>(wiring_of(plan, n).inputs[0])];
  }
}

void mark_gradients(Plan& plan, const StudyConfig& study, const std::vector<int>& order, const Segments& segments) {
  const std::size_t count = plan.topology.nodes.size();
  plan.trains.assign(count, false);
  plan.needs_gradient.assign(count, false);
  const auto& frozen = study.network.frozen;
  for (const int n : order) {
    const auto at = static_cast<std::size_t>(n);
    const NodeConfig& node = node_of(plan, n);
    if (node.kind == NodeKind::kSegment)
      plan.trains[at] = std::find(frozen.begin(), frozen.end(), node.segment) == frozen.end() &&
                        segments.networks[segments.index(node.segment)].make_params(0).trained() > 0;
    bool upstream = false;
    for (const int i : plan.wiring[at].inputs) upstream = upstream || plan.needs_gradient[static_cast<std::size_t>(i)];
    plan.needs_gradient[at] = plan.trains[at] || upstream;
  }
  if (!plan.needs_gradient[static_cast<std::size_t>(plan.loss_node)])
    refuse("nothing trains: no segment between the sources and the loss has free parameters");
}

/// wire() has made sure that it is there.
int node_named(const TopologyConfig& t, const std::string& name) {
  return static_cast<int>(std::ranges::find(t.nodes, name, &NodeConfig::name) - t.nodes.begin());
}

void find_edges(Plan& plan, const StudyConfig& study) {
  const TopologyConfig& t = plan.topology;
  const bool rows = study.privacy.mechanism == Mechanism::kRows;
  const auto resolved = [&](GuardKind g) { return rows ? g : GuardKind::kNone; };
  for (std::size_t r = 0; r < t.routes.size(); ++r) {
    Edge e;
    e.route = static_cast<int>(r);
    e.from = node_named(t, t.routes[r].from);
    e.to = node_named(t, t.routes[r].to);
    e.from_party = plan.party_of(e.from);
    e.to_party = plan.party_of(e.to);
    if (e.from_party == e.to_party) continue;
    if (t.parties[static_cast<std::size_t>(e.from_party)].role == Role::kClient &&
        t.parties[static_cast<std::size_t>(e.to_party)].role == Role::kClient)
      refuse("the route " + t.routes[r].from + ">" + t.routes[r].to + " joins two clients; clients dial the server only");
    e.labels = node_of(plan, e.from).kind == NodeKind::kLabels;
    e.gradient = !e.labels && plan.needs_gradient[static_cast<std::size_t>(e.from)];
    e.activation_guard = e.labels ? GuardKind::kNone : resolved(t.routes[r].activation);
    e.gradient_guard = e.gradient ? resolved(t.routes[r].gradient) : GuardKind::kNone;
    e.row = plan.row_shapes[static_cast<std::size_t>(e.from)];
    e.text = t.routes[r].from + ">" + t.routes[r].to;
    if (node_of(plan, e.from).kind == NodeKind::kFeatures) refuse("the route " + e.text + " would send raw records");
    plan.edges.push_back(e);
  }
}

/// Who may hold records: clients, and where one party has a replica per site, that party alone. A server may hold labels of
/// its own, in a file of its own.
void check_parties(const Plan& plan, const DataConfig& data) {
  const auto& parties = plan.topology.parties;
  if (std::count_if(parties.begin(), parties.end(), [](const PartyConfig& p) { return p.role == Role::kServer; }) > 1)
    refuse("only one party may be the server");
  for (const PartyConfig& p : parties)
    if (p.role == Role::kClient && std::ranges::find(plan.topology.nodes, p.name, &NodeConfig::at) == plan.topology.nodes.end())
      refuse("no node is at the party '" + p.name + "': give it one, or take it out");
  for (const NodeConfig& node : plan.topology.nodes) {
    if (!is_source(node)) continue;
    const int party = plan.party_index(node.at);
    const bool server = parties[static_cast<std::size_t>(party)].role == Role::kServer;
    if (server && node.kind == NodeKind::kFeatures)
      refuse("the source '" + node.name + "' is at the server '" + node.at + "', which holds no records: features never leave "
             "their hospital");
    if (plan.many_party >= 0 && party != plan.many_party)
      refuse("the source '" + node.name + "' is at '" + node.at + "', but '" +
             parties[static_cast<std::size_t>(plan.many_party)].name + "' has count: many: its sites must hold all records");
    if (server && !data.party_tables.contains(node.at))
      refuse("the source '" + node.name + "' is at the server '" + node.at + "', which holds no records: labels may be there "
             "with a file of its own under data.party_tables." + node.at);
  }
}

/// Most messages that one party has on the way to another: those of one lane in a step and of the steps begun ahead; between
/// two parties that serve all lanes, of every lane. At least what channels hold anyway.
std::uint16_t window_of(const Plan& plan, const TrainingConfig& training) {
  constexpr std::int64_t kMost = std::numeric_limits<std::uint16_t>::max();
  const auto lanes = static_cast<std::int64_t>(plan.lanes.size());
  std::map<std::pair<int, int>, std::int64_t> sends;  // (sender, receiver) -> messages per part
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    for (const auto& turn : plan.program(static_cast<int>(p), Purpose::kTrain).turns)
      for (const Instruction& i : turn) {
        if (i.op != OpCode::kSend) continue;
        const Edge& e = plan.edges[static_cast<std::size_t>(i.edge)];
        ++sends[{static_cast<int>(p), i.leg == Leg::kForward ? e.to_party : e.from_party}];
      }
  std::int64_t most = Plan{}.window;
  for (const auto& [pair, count] : sends) {
    const bool one_lane = pair.first == plan.many_party || pair.second == plan.many_party;
    most = std::max(most, count * training.micro_batches * (one_lane ? 1 : lanes) * (training.stale + 1));
  }
  if (most > kMost)
    refuse("training.micro_batches puts " + std::to_string(most) + " messages of one step in flight; a channel holds 65535");
  if (lanes * training.micro_batches > kMost)
    refuse("training.micro_batches gives a step " + std::to_string(lanes * training.micro_batches) +
           " parts over all sites; messages can number 65535");
  return static_cast<std::uint16_t>(most);
}

}  // namespace

int Plan::party_index(const std::string& name) const {
  for (std::size_t p = 0; p < topology.parties.size(); ++p)
    if (topology.parties[p].name == name) return static_cast<int>(p);
  refuse("there is no party '" + name + "'");
}

int Plan::party_of(int node) const { return party_index(topology.nodes[static_cast<std::size_t>(node)].at); }

std::vector<std::string> Plan::instances(int party) const {
  if (party == many_party) return lanes;
  return {topology.parties[static_cast<std::size_t>(party)].name};
}

Plan compile(const StudyConfig& study, const Segments& segments, const std::vector<Shape>& feature_rows) {
  Plan plan;
  plan.topology = study.topology;
  const bool served = std::ranges::any_of(plan.topology.parties, [](const PartyConfig& p) { return p.role == Role::kServer; });
  plan.aligned = served && !study.data.party_tables.empty();
  plan.release_once = study.privacy.mechanism == Mechanism::kRows && study.privacy.regime == Regime::kReleaseOnce;
  for (std::size_t p = 0; p < study.topology.parties.size(); ++p)
    if (study.topology.parties[p].count == Count::kMany) {
      if (plan.many_party >= 0) refuse("only one party may have count: many");
      if (study.topology.parties[p].role == Role::kServer) refuse("the server cannot have count: many");
      plan.many_party = static_cast<int>(p);
    }
  plan.lanes = study.data.sites;
  if (plan.many_party < 0 && plan.lanes.size() != 1)
    refuse("no party has count: many, so data.sites must name exactly one cohort");
  check_parties(plan, study.data);
  plan.wiring = wire(plan.topology);
  const std::vector<int> order = sorted_nodes(plan.topology);
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n)
    if (plan.topology.nodes[n].kind == NodeKind::kLoss) {
      if (plan.loss_node >= 0) refuse("there are two losses");
      plan.loss_node = static_cast<int>(n);
    }
  if (plan.loss_node < 0) refuse("there is no loss");
  check_reach(plan);

  infer_shapes(plan, order, segments, feature_rows);
  mark_gradients(plan, study, order, segments);
  check_backward(plan, segments);
  find_edges(plan, study);
  check_privacy(plan, study, segments);
  check_schedule(plan, study);
  find_weights(plan, study);

  write_programs(plan, order);
  check_stale(plan, study.training);
  rehearse(plan, study.training.stale);
  plan.window = window_of(plan, study.training);
  return plan;
}

}  // namespace sutura
