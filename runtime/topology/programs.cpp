#include "runtime/topology/programs.h"

#include "runtime/topology/graph.h"

namespace sutura {
namespace {

const NodeConfig& node_of(const Plan& plan, int n) { return plan.topology.nodes[static_cast<std::size_t>(n)]; }
const Wiring& wiring_of(const Plan& plan, int n) { return plan.wiring[static_cast<std::size_t>(n)]; }

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

/// Release-once: nodes that work on stored rows, and the sources beside them, which stay where they are.
std::vector<bool> fed_from_store(const Plan& plan, const std::vector<int>& order) {
  std::vector<bool> fed(plan.topology.nodes.size(), false);
  if (!plan.release_once) return fed;
  for (const int n : order) {
    const Wiring& w = wiring_of(plan, n);
    const auto at = static_cast<std::size_t>(n);
    for (std::size_t i = 0; i < w.inputs.size(); ++i)
      if (edge_of_route(plan, w.routes[i]) >= 0 || fed[static_cast<std::size_t>(w.inputs[i])]) fed[at] = true;
    if (w.label_route < 0) continue;
    if (edge_of_route(plan, w.label_route) >= 0) fed[at] = true;
    if (fed[at] && edge_of_route(plan, w.label_route) < 0) fed[static_cast<std::size_t>(w.labels)] = true;
  }
  return fed;
}

void emit_forward(const Plan& plan, const std::vector<int>& order, Emitter& out, Purpose purpose) {
  const bool stored = plan.release_once && purpose == Purpose::kTrain;
  const bool upload = purpose == Purpose::kUpload;
  const std::vector<bool> behind_store = fed_from_store(plan, order);
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

void write_programs(Plan& plan, const std::vector<int>& order) {
  plan.programs.assign(plan.topology.parties.size(), std::vector<Program>(4));
  for (const Purpose purpose : {Purpose::kTrain, Purpose::kEvaluate, Purpose::kUpload}) {
    if (purpose == (plan.release_once ? Purpose::kEvaluate : Purpose::kUpload)) continue;
    Emitter out(plan, purpose);
    emit_forward(plan, order, out, purpose);
    if (purpose == Purpose::kTrain) emit_backward(plan, order, out);
    out.finish();
  }
  emit_local_evaluation(plan, order);
}

}  // namespace sutura
