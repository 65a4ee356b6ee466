#include <algorithm>
#include <limits>
#include <map>
#include <queue>

#include "core/error.h"
#include "runtime/topology/plan.h"
#include "runtime/topology/plan_checks.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

int find_node(const TopologyConfig& t, const std::string& name) {
  for (std::size_t i = 0; i < t.nodes.size(); ++i)
    if (t.nodes[i].name == name) return static_cast<int>(i);
  refuse("a route names the node '" + name + "', which does not exist");
}

const NodeConfig& node_of(const Plan& plan, int n) { return plan.topology.nodes[static_cast<std::size_t>(n)]; }
const Wiring& wiring_of(const Plan& plan, int n) { return plan.wiring[static_cast<std::size_t>(n)]; }

bool is_source(const NodeConfig& n) { return n.kind == NodeKind::kFeatures || n.kind == NodeKind::kLabels; }

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

/// Kahn's algorithm, lowest index first, so that the order is the file's where the graph leaves a choice.
std::vector<int> sorted_nodes(const TopologyConfig& t, const std::vector<Wiring>& wiring) {
  std::vector<std::vector<int>> consumers(t.nodes.size());
  std::vector<int> missing(t.nodes.size(), 0);
  for (std::size_t n = 0; n < t.nodes.size(); ++n) {
    std::vector<int> inputs = wiring[n].inputs;
    if (wiring[n].labels >= 0) inputs.push_back(wiring[n].labels);
    for (const int i : inputs) consumers[static_cast<std::size_t>(i)].push_back(static_cast<int>(n));
    missing[n] = static_cast<int>(inputs.size());
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
  if (order.size() != t.nodes.size()) {
    std::string names;
    for (std::size_t n = 0; n < t.nodes.size(); ++n)
      if (missing[n] > 0) names += (names.empty() ? "" : ", ") + t.nodes[n].name;
    refuse("the routes form a cycle through " + names);
  }
  return order;
}

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

void find_edges(Plan& plan, const StudyConfig& study) {
  const TopologyConfig& t = plan.topology;
  const bool rows = study.privacy.mechanism == Mechanism::kRows;
  const auto resolved = [&](GuardKind g) { return rows ? g : GuardKind::kNone; };
  for (std::size_t r = 0; r < t.routes.size(); ++r) {
    Edge e;
    e.route = static_cast<int>(r);
    e.from = find_node(t, t.routes[r].from);
    e.to = find_node(t, t.routes[r].to);
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

/// Who may hold records: clients, and where one party has a replica per site, that party alone.
void check_parties(const Plan& plan) {
  const auto& parties = plan.topology.parties;
  if (std::count_if(parties.begin(), parties.end(), [](const PartyConfig& p) { return p.role == Role::kServer; }) > 1)
    refuse("only one party may be the server");
  for (const NodeConfig& node : plan.topology.nodes) {
    if (!is_source(node)) continue;
    const int party = plan.party_index(node.at);
    if (parties[static_cast<std::size_t>(party)].role == Role::kServer)
      refuse("the source '" + node.name + "' is at the server '" + node.at + "', which holds no records");
    if (plan.many_party >= 0 && party != plan.many_party)
      refuse("the source '" + node.name + "' is at '" + node.at + "', but '" +
             parties[static_cast<std::size_t>(plan.many_party)].name + "' has count: many: its sites must hold all records");
  }
}

class Emitter {
 public:
  Emitter(Plan& plan, Purpose purpose) : plan_(plan), purpose_(purpose), lists_(plan.topology.parties.size()) {}
  void emit(int party, Instruction i) { lists_[static_cast<std::size_t>(party)].push_back(i); }
  /// Splits each list where a party has sent something and must wait for an answer.
  void finish() {
    for (std::size_t p = 0; p < lists_.size(); ++p) {
      Program program;
      bool sent = true;
      for (const Instruction& i : lists_[p]) {
        if (program.turns.empty() || (sent && i.op == OpCode::kReceive)) {
          program.turns.emplace_back();
          sent = false;
        }
        sent = sent || i.op == OpCode::kSend;
        program.turns.back().push_back(i);
      }
      plan_.programs[p][static_cast<std::size_t>(purpose_)] = std::move(program);
    }
  }

 private:
  Plan& plan_;
  Purpose purpose_;
  std::vector<std::vector<Instruction>> lists_;
};

int edge_of_route(const Plan& plan, int route) {
  for (std::size_t e = 0; e < plan.edges.size(); ++e)
    if (plan.edges[e].route == route) return static_cast<int>(e);
  return -1;
}

void emit_forward(const Plan& plan, const std::vector<int>& order, Emitter& out, Purpose purpose) {
  const bool stored = plan.release_once && purpose == Purpose::kTrain;
  const bool upload = purpose == Purpose::kUpload;
  std::vector<bool> behind_store(plan.topology.nodes.size(), false);  // release-once: nodes fed from stored rows
  if (plan.release_once)
    for (const int n : order) {
      const Wiring& w = wiring_of(plan, n);
      std::vector<int> inputs = w.inputs;
      for (std::size_t i = 0; i < inputs.size(); ++i)
        if (edge_of_route(plan, w.routes[i]) >= 0 || behind_store[static_cast<std::size_t>(inputs[i])])
          behind_store[static_cast<std::size_t>(n)] = true;
      if (w.label_route >= 0 && edge_of_route(plan, w.label_route) >= 0) behind_store[static_cast<std::size_t>(n)] = true;
    }
  for (const int n : order) {
    const NodeConfig& node = node_of(plan, n);
    const Wiring& w = wiring_of(plan, n);
    const int party = plan.party_of(n);
    const bool late = behind_store[static_cast<std::size_t>(n)];
    if (stored && !late) continue;
    std::vector<int> routes = w.routes;
    if (w.label_route >= 0) routes.push_back(w.label_route);
    for (const int r : routes) {
      const int e = edge_of_route(plan, r);
      if (e < 0) continue;
      const Edge& edge = plan.edges[static_cast<std::size_t>(e)];
      if (stored) {
        out.emit(party, {OpCode::kFetch, edge.from, e, Leg::kForward});
        continue;
      }
      if (edge.activation_guard != GuardKind::kNone)
        out.emit(edge.from_party, {OpCode::kRelease, edge.from, e, Leg::kForward});
      out.emit(edge.from_party, {OpCode::kSend, edge.from, e, Leg::kForward});
      out.emit(party, {OpCode::kReceive, edge.from, e, Leg::kForward});
      if (upload) out.emit(party, {OpCode::kStore, edge.from, e, Leg::kForward});
    }
    if (upload && late) continue;
    switch (node.kind) {
      case NodeKind::kFeatures:
      case NodeKind::kLabels: out.emit(party, {OpCode::kLoad, n}); break;
      case NodeKind::kSegment: out.emit(party, {OpCode::kForward, n}); break;
      case NodeKind::kJoin: out.emit(party, {OpCode::kJoin, n}); break;
      case NodeKind::kLoss: out.emit(party, {OpCode::kLoss, n}); break;
    }
  }
}

void emit_backward(const Plan& plan, const std::vector<int>& order, Emitter& out) {
  for (auto it = order.rbegin(); it != order.rend(); ++it) {
    const int n = *it;
    const NodeConfig& node = node_of(plan, n);
    const Wiring& w = wiring_of(plan, n);
    if (is_source(node)) continue;
    if (!plan.needs_gradient[static_cast<std::size_t>(n)]) continue;
    const int party = plan.party_of(n);
    for (std::size_t e = 0; e < plan.edges.size(); ++e)
      if (plan.edges[e].from == n && plan.edges[e].gradient)
        out.emit(party, {OpCode::kReceive, n, static_cast<int>(e), Leg::kBackward});
    if (node.kind == NodeKind::kSegment) out.emit(party, {OpCode::kBackward, n});
    if (node.kind == NodeKind::kJoin) out.emit(party, {OpCode::kSplit, n});
    for (std::size_t i = 0; i < w.inputs.size(); ++i) {
      const int e = edge_of_route(plan, w.routes[i]);
      if (e < 0 || !plan.edges[static_cast<std::size_t>(e)].gradient) continue;
      if (plan.edges[static_cast<std::size_t>(e)].gradient_guard != GuardKind::kNone)
        out.emit(party, {OpCode::kRelease, w.inputs[i], e, Leg::kBackward});
      out.emit(party, {OpCode::kSend, w.inputs[i], e, Leg::kBackward});
    }
  }
}

void find_weights(Plan& plan, const StudyConfig& study) {
  const TopologyConfig& t = plan.topology;
  const auto server = std::find_if(t.parties.begin(), t.parties.end(), [](const PartyConfig& p) { return p.role == Role::kServer; });
  const int server_index = server == t.parties.end() ? -1 : static_cast<int>(server - t.parties.begin());
  const auto party_of_segment = [&](const std::string& s) {
    for (std::size_t n = 0; n < t.nodes.size(); ++n)
      if (t.nodes[n].kind == NodeKind::kSegment && t.nodes[n].segment == s) return plan.party_of(static_cast<int>(n));
    refuse("no node bears the segment '" + s + "'");
  };
  for (const std::string& s : study.schedule.average) {
    const int party = party_of_segment(s);
    if (party != plan.many_party && study.schedule.tail != Tail::kPerClient)
      refuse("schedule.average lists '" + s + "', of which '" + t.parties[static_cast<std::size_t>(party)].name +
             "' holds one copy: leave it out, or set schedule.tail: per_client");
    if (party != plan.many_party || plan.lanes.size() < 2) continue;  // copies at the server average in place
    if (server_index < 0) refuse("schedule.average needs a server party");
    plan.weights.push_back({s, party, server_index, WeightsEdge::When::kRoundEnd});
    plan.weights.push_back({s, server_index, party, WeightsEdge::When::kRoundEnd});
  }
  for (const DeliverConfig& d : t.deliver) {
    const int to = plan.party_index(d.to);
    const int from = party_of_segment(d.segment);
    if (from == to) refuse("deliver: '" + d.segment + "' already is at '" + d.to + "'");
    if (from != server_index && to != server_index)
      refuse("deliver: '" + d.segment + "' would pass from client to client; clients dial the server only");
    const auto& average = study.schedule.average;
    const bool averaged = std::find(average.begin(), average.end(), d.segment) != average.end();
    if (from == plan.many_party && plan.lanes.size() > 1)
      refuse("deliver: each replica of '" + t.parties[static_cast<std::size_t>(from)].name + "' holds its own copy of '" +
             d.segment + "'");
    if (study.schedule.tail == Tail::kPerClient && plan.lanes.size() > 1 && !averaged)
      refuse("deliver: the server holds a copy of '" + d.segment + "' per client; list it under schedule.average");
    plan.weights.push_back({d.segment, from, to, WeightsEdge::When::kRunEnd});
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

/// Evaluation at one data holder: possible when it has every source, and every segment is its own or delivered to it.
void emit_local_evaluation(Plan& plan, const std::vector<int>& order) {
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    bool delivered = false;
    for (const WeightsEdge& w : plan.weights)
      delivered = delivered || (w.when == WeightsEdge::When::kRunEnd && w.to_party == static_cast<int>(p));
    if (!delivered) continue;
    Program program;
    program.turns.emplace_back();
    bool complete = true;
    for (const int n : order) {
      const NodeConfig& node = node_of(plan, n);
      const bool here = plan.party_of(n) == static_cast<int>(p);
      bool reachable = here || node.kind == NodeKind::kJoin || node.kind == NodeKind::kLoss;
      if (node.kind == NodeKind::kSegment && !here)
        for (const WeightsEdge& w : plan.weights)
          reachable = reachable || (w.when == WeightsEdge::When::kRunEnd && w.segment == node.segment &&
                                    w.to_party == static_cast<int>(p));
      complete = complete && reachable;
      const OpCode op = is_source(node)                      ? OpCode::kLoad
                        : node.kind == NodeKind::kSegment    ? OpCode::kForward
                        : node.kind == NodeKind::kJoin       ? OpCode::kJoin
                                                             : OpCode::kLoss;
      program.turns.back().push_back({op, n});
      for (std::size_t e = 0; e < plan.edges.size(); ++e)
        if (plan.edges[e].from == n && plan.edges[e].activation_guard != GuardKind::kNone)
          program.turns.back().push_back({OpCode::kFit, n, static_cast<int>(e)});
    }
    if (complete) plan.programs[p][static_cast<std::size_t>(Purpose::kLocalEvaluate)] = std::move(program);
  }
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
  plan.release_once = study.privacy.mechanism == Mechanism::kRows && study.privacy.regime == Regime::kReleaseOnce;
  plan.programs.assign(study.topology.parties.size(), std::vector<Program>(4));
  for (std::size_t p = 0; p < study.topology.parties.size(); ++p)
    if (study.topology.parties[p].count == Count::kMany) {
      if (plan.many_party >= 0) refuse("only one party may have count: many");
      if (study.topology.parties[p].role == Role::kServer) refuse("the server cannot have count: many");
      plan.many_party = static_cast<int>(p);
    }
  plan.lanes = study.data.sites;
  if (plan.many_party < 0 && plan.lanes.size() != 1)
    refuse("no party has count: many, so data.sites must name exactly one cohort");
  check_parties(plan);
  plan.wiring = wire(plan.topology);
  const std::vector<int> order = sorted_nodes(plan.topology, plan.wiring);
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n)
    if (plan.topology.nodes[n].kind == NodeKind::kLoss) {
      if (plan.loss_node >= 0) refuse("there are two losses");
      plan.loss_node = static_cast<int>(n);
    }
  if (plan.loss_node < 0) refuse("there is no loss");
  const std::vector<bool> reaches_loss = upstream_of(plan, plan.loss_node);
  for (std::size_t n = 0; n < reaches_loss.size(); ++n)
    if (!reaches_loss[n] && plan.topology.nodes[n].kind == NodeKind::kSegment)
      refuse("the loss cannot be reached from segment '" + plan.topology.nodes[n].name + "'");

  infer_shapes(plan, order, segments, feature_rows);
  mark_gradients(plan, study, order, segments);
  check_backward(plan, segments);
  find_edges(plan, study);
  check_privacy(plan, study, segments);
  find_weights(plan, study);

  for (const Purpose purpose : {Purpose::kTrain, Purpose::kEvaluate, Purpose::kUpload}) {
    if (purpose == (plan.release_once ? Purpose::kEvaluate : Purpose::kUpload)) continue;
    Emitter out(plan, purpose);
    emit_forward(plan, order, out, purpose);
    if (purpose == Purpose::kTrain) emit_backward(plan, order, out);
    out.finish();
  }
  emit_local_evaluation(plan, order);
  rehearse(plan, study.training.stale);
  plan.window = window_of(plan, study.training);
  return plan;
}

}  // namespace sutura
