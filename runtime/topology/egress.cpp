#include <algorithm>

#include "runtime/topology/told.h"

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

std::string server_name(const Plan& plan) {
  return std::ranges::find(plan.topology.parties, Role::kServer, &PartyConfig::role)->name;
}

/// What finds the common records of party tables (docs/alignment.md).
void tell_alignment(const Plan& plan, const StudyConfig& study, std::vector<EgressLine>& lines) {
  if (!is_served(plan)) return;  // one place with all files: nothing has to be found
  std::vector<std::string> ring;
  std::string decides = study.data.split_party;
  for (const PartyConfig& p : plan.topology.parties)
    if (aligns(study, p.name)) ring.push_back(p.name);
  if (ring.empty()) return;
  for (const NodeConfig& n : plan.topology.nodes)
    if (decides.empty() && n.kind == NodeKind::kLabels) decides = n.at;
  const std::string server = server_name(plan);
  for (std::size_t m = 0; m < ring.size(); ++m) {
    lines.push_back({ring[m], ring[(m + 1) % ring.size()], "identifiers in blinded form, before training",
                     "blinded, and sealed: the server relays what it cannot read"});
    if (ring[m] != server) lines.push_back({ring[m], server, "identifiers that all parties have blinded", "blinded: no party can undo it alone"});
  }
  lines.push_back({server, "every party", "number of records of each table, and which of the party's own are common", "UNPROTECTED"});
  lines.push_back({decides, "every party", "split of each common record", "sealed: the server relays what it cannot read"});
}

/// Numbers and figures of records.
void tell_figures(const Plan& plan, const StudyConfig& study, std::vector<EgressLine>& lines) {
  if (!is_served(plan)) return;
  const std::string server = server_name(plan), everybody = "every party", clear = "UNPROTECTED";
  lines.push_back({everybody, server, "numbers of records per split, numeric backend, software version", clear});
  lines.push_back({server, everybody, "numbers of records per split of every site, and which sites take part in each round", clear});
  const int loss = plan.party_of(plan.loss_node);
  if (tells_validation(plan, study, loss)) {
    lines.push_back({party_name(plan, loss), server, "validation figure of each epoch, and of how many records", clear});
    lines.push_back({server, everybody, "which epoch is the best, and whether training ends", clear});
  }
  if (party_name(plan, loss) != server || plan.release_once) return;
  const std::string own = plan.many_party >= 0 ? ", to each site those of its own" : "";
  lines.push_back({server, everybody, "training loss and metrics of each epoch, metrics of all test records" + own, clear});
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
  tell_alignment(plan, study, lines);
  tell_figures(plan, study, lines);
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
