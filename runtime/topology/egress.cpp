#include <algorithm>

#include "runtime/topology/plan.h"

namespace sutura {
namespace {

std::string party_name(const Plan& plan, int party) { return plan.topology.parties[static_cast<std::size_t>(party)].name; }

std::string padded(const std::string& s, std::size_t width) {
  return s + std::string(width > s.size() ? width - s.size() : 0, ' ');
}

/// Release-once: a segment that trains at the server sees stored rows, which are guarded, and labels; nothing else.
bool learned_from_stored_rows(const Plan& plan, const std::string& segment) {
  if (!plan.release_once) return false;
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    const NodeConfig& node = plan.topology.nodes[n];
    if (node.kind == NodeKind::kSegment && node.segment == segment)
      return plan.trains[n] &&
             plan.topology.parties[static_cast<std::size_t>(plan.party_of(static_cast<int>(n)))].role == Role::kServer;
  }
  return false;
}

EgressLine weights_line(const Plan& plan, const WeightsEdge& w, const std::string& clear, const std::string& with_labels) {
  const std::string from = party_name(plan, w.from_party);
  const std::string to = party_name(plan, w.to_party);
  switch (w.when) {
    case WeightsEdge::When::kHandOver:
      return {from, "next " + to, "weights " + w.segment + " and optimizer state, after each turn",
              "sealed: the server relays what it cannot read; at the next " + to + " " + clear};
    case WeightsEdge::When::kRoundEnd: return {from, to, "weights " + w.segment + ", every round", clear};
    case WeightsEdge::When::kRunEnd: break;
  }
  return {from, to, "weights " + w.segment + ", at the end",
          learned_from_stored_rows(plan, w.segment) ? "computed from guarded rows alone" + with_labels : clear};
}

}  // namespace

std::vector<EgressLine> egress_list(const Plan& plan, const StudyConfig& study, const std::string& guard_text) {
  std::vector<EgressLine> lines;
  const std::string clear = study.privacy.mechanism == Mechanism::kNone
                                ? "UNPROTECTED, because: " + study.privacy.because
                                : "UNPROTECTED";
  const auto codec = [](Codec c) { return c == Codec::kBfloat16 ? " as bf16" : c == Codec::kInt8 ? " as int8" : " as f32"; };
  const bool labels_cross = std::any_of(plan.edges.begin(), plan.edges.end(), [](const Edge& e) { return e.labels; });
  const std::string with_labels = labels_cross ? " and public labels" : "";
  const std::string once = plan.release_once ? ", once per record" : "";
  for (const Edge& e : plan.edges) {
    const std::string from = party_name(plan, e.from_party);
    const std::string to = party_name(plan, e.to_party);
    if (e.labels) {
      lines.push_back({from, to, "labels " + plan.topology.nodes[static_cast<std::size_t>(e.from)].name + once,
                       "UNPROTECTED, public by declared policy"});
      continue;
    }
    lines.push_back({from, to, "activation " + e.text + " " + e.row.text() + once,
                     e.activation_guard == GuardKind::kRows ? guard_text : clear + codec(study.wire.activation)});
    if (e.gradient)
      lines.push_back({to, from, "gradient " + e.text,
                       e.gradient_guard == GuardKind::kRows ? guard_text : clear + codec(study.wire.gradient)});
  }
  for (const WeightsEdge& w : plan.weights) lines.push_back(weights_line(plan, w, clear, with_labels));
  const auto& parties = plan.topology.parties;
  const auto is_server = [](const PartyConfig& p) { return p.role == Role::kServer; };
  if (const auto server = std::find_if(parties.begin(), parties.end(), is_server); server != parties.end()) {
    lines.push_back(
        {"every party", server->name, "numbers of records per split, numeric backend, software version", "UNPROTECTED"});
    lines.push_back({server->name, "every party", "numbers of records per split of every site", "UNPROTECTED"});
  }
  const int loss_party = plan.party_of(plan.loss_node);
  const bool at_server = is_server(parties[static_cast<std::size_t>(loss_party)]);
  if (at_server && !plan.release_once)
    lines.push_back({party_name(plan, loss_party), "every party", "training loss and metrics of each epoch", "UNPROTECTED"});
  const bool selects = study.training.keep == Keep::kBest || study.training.patience > 0;
  if (const auto server = std::find_if(parties.begin(), parties.end(), is_server); selects && !at_server && server != parties.end()) {
    lines.push_back({party_name(plan, loss_party), server->name, "validation figure and number of records, each validation pass", "UNPROTECTED"});
    lines.push_back({server->name, "every party", "which validation pass is best and whether training ends", "UNPROTECTED"});
  }
  return lines;
}

std::string egress_text(const std::vector<EgressLine>& lines) {
  std::size_t from = 4, to = 2, what = 4;
  for (const EgressLine& l : lines) {
    from = std::max(from, l.from.size());
    to = std::max(to, l.to.size());
    what = std::max(what, l.what.size());
  }
  std::string text;
  for (const EgressLine& l : lines)
    text += "  " + padded(l.from, from) + " -> " + padded(l.to, to) + "  " + padded(l.what, what) + "  " + l.protection + "\n";
  if (lines.empty()) text = "  nothing leaves\n";
  return text;
}

}  // namespace sutura
