#include <algorithm>

#include "runtime/topology/plan.h"

namespace sutura {
namespace {

std::string party_name(const Plan& plan, int party) { return plan.topology.parties[static_cast<std::size_t>(party)].name; }

std::string padded(const std::string& s, std::size_t width) {
  return s + std::string(width > s.size() ? width - s.size() : 0, ' ');
}

}  // namespace

std::vector<EgressLine> egress_list(const Plan& plan, const StudyConfig& study, const std::string& guard_text) {
  std::vector<EgressLine> lines;
  const std::string clear = study.privacy.mechanism == Mechanism::kNone
                                ? "UNPROTECTED, because: " + study.privacy.because
                                : "UNPROTECTED";
  const auto codec = [](Codec c) { return c == Codec::kBfloat16 ? " as bf16" : " as f32"; };
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
  for (const WeightsEdge& w : plan.weights)
    lines.push_back({party_name(plan, w.from_party), party_name(plan, w.to_party),
                     "weights " + w.segment + (w.when == WeightsEdge::When::kRoundEnd ? ", every round" : ", at the end"),
                     plan.release_once ? "computed from guarded rows alone" : clear});
  const auto& parties = plan.topology.parties;
  const auto is_server = [](const PartyConfig& p) { return p.role == Role::kServer; };
  if (std::any_of(parties.begin(), parties.end(), is_server))
    lines.push_back({"every party", "server", "numbers of records per split, software version", "UNPROTECTED"});
  const int loss_party = plan.party_of(plan.loss_node);
  if (is_server(parties[static_cast<std::size_t>(loss_party)]) && !plan.release_once)
    lines.push_back({party_name(plan, loss_party), "every party", "metrics of each evaluation", "UNPROTECTED"});
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

std::string program_text(const Plan& plan) {
  static constexpr const char* kNames[] = {"LOAD", "RECEIVE", "STORE", "FETCH", "FORWARD", "FIT", "JOIN",
                                           "RELEASE", "SEND", "LOSS", "BACKWARD", "SPLIT"};
  static constexpr const char* kPurposes[] = {"train", "evaluate", "upload", "local evaluation"};
  std::string text;
  for (int purpose = 0; purpose < 4; ++purpose)
    for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
      const Program& program = plan.program(static_cast<int>(p), static_cast<Purpose>(purpose));
      if (program.empty()) continue;
      text += std::string(kPurposes[purpose]) + " at " + plan.topology.parties[p].name + "\n";
      for (const auto& turn : program.turns) {
        text += "  ";
        for (const Instruction& i : turn) {
          const std::string target = i.edge >= 0 ? plan.edges[static_cast<std::size_t>(i.edge)].text
                                                 : plan.topology.nodes[static_cast<std::size_t>(i.node)].name;
          text += std::string(kNames[static_cast<int>(i.op)]) + " " + target +
                  (i.edge >= 0 && i.leg == Leg::kBackward ? " (gradient)" : "") + "; ";
        }
        text += "\n";
      }
    }
  return text;
}

}  // namespace sutura
