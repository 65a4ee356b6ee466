// Weights that pass between parties outside of steps: averaged each round, handed from site to site, delivered at the end.
#include <algorithm>

#include "core/error.h"
#include "runtime/topology/plan_checks.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

bool listed(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

int server_of(const Plan& plan) {
  const auto& parties = plan.topology.parties;
  const auto server = std::ranges::find_if(parties, [](const PartyConfig& p) { return p.role == Role::kServer; });
  return server == parties.end() ? -1 : static_cast<int>(server - parties.begin());
}

int node_of_segment(const Plan& plan, const std::string& segment) {
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n)
    if (plan.topology.nodes[n].kind == NodeKind::kSegment && plan.topology.nodes[n].segment == segment)
      return static_cast<int>(n);
  refuse("no node bears the segment '" + segment + "'");
}

const std::string& party_name(const Plan& plan, int party) { return plan.topology.parties[static_cast<std::size_t>(party)].name; }

/// Pairs, one after the other: to the server, and back.
void add_averages(Plan& plan, const ScheduleConfig& schedule, int server) {
  for (const std::string& s : schedule.average) {
    const int party = plan.party_of(node_of_segment(plan, s));
    if (party != plan.many_party && schedule.tail != Tail::kPerClient)
      refuse("schedule.average lists '" + s + "', of which '" + party_name(plan, party) +
             "' holds one copy: leave it out" + (plan.many_party < 0 ? "" : ", or set schedule.tail: per_client"));
    if (party != plan.many_party || plan.lanes.size() < 2) continue;  // copies at the server average in place
    if (server < 0) refuse("schedule.average needs a server party");
    plan.weights.push_back({s, party, server, WeightsEdge::When::kRoundEnd});
    plan.weights.push_back({s, server, party, WeightsEdge::When::kRoundEnd});
  }
}

/// From the many-party to the many-party: each site's copy goes on to the next site. One site alone hands nothing on.
void add_hand_overs(Plan& plan, const ScheduleConfig& schedule, int server) {
  std::vector<std::string> seen;
  for (const std::string& s : schedule.hand_on) {
    const int node = node_of_segment(plan, s);
    const int party = plan.party_of(node);
    if (listed(seen, s)) refuse("schedule.hand_on lists '" + s + "' twice");
    seen.push_back(s);
    if (party != plan.many_party)
      refuse("schedule.hand_on lists '" + s + "', of which '" + party_name(plan, party) +
             "' holds one copy: there is no next site to hand it to, take it out");
    if (!plan.trains[static_cast<std::size_t>(node)])
      refuse("schedule.hand_on lists '" + s + "', which does not train: it is the same at every site, take it out");
    if (listed(schedule.average, s))
      refuse("schedule.hand_on and schedule.average both list '" + s +
             "': a segment that is handed on has one current copy, so there is nothing to average; take it out of one of them");
    if (schedule.visit == Visit::kTogether)
      refuse("schedule.hand_on lists '" + s + "', but with visit: together all sites train their copy at once and none is the "
             "next: use visit: in_turn or shuffled");
    if (plan.lanes.size() < 2) continue;
    if (server < 0) refuse("schedule.hand_on needs a server party, which relays what it cannot read");
    plan.weights.push_back({s, party, party, WeightsEdge::When::kHandOver});
  }
}

void add_deliveries(Plan& plan, const ScheduleConfig& schedule, int server) {
  for (const DeliverConfig& d : plan.topology.deliver) {
    const int to = plan.party_index(d.to);
    const int from = plan.party_of(node_of_segment(plan, d.segment));
    if (from == to) refuse("deliver: '" + d.segment + "' already is at '" + d.to + "'");
    if (from != server && to != server)
      refuse("deliver: '" + d.segment + "' would pass from client to client; clients dial the server only");
    if (from == plan.many_party && plan.lanes.size() > 1)
      refuse("deliver: each replica of '" + party_name(plan, from) + "' holds its own copy of '" + d.segment + "'");
    if (schedule.tail == Tail::kPerClient && plan.lanes.size() > 1 && !listed(schedule.average, d.segment))
      refuse("deliver: the server holds a copy of '" + d.segment + "' per client; list it under schedule.average");
    plan.weights.push_back({d.segment, from, to, WeightsEdge::When::kRunEnd});
  }
}

}  // namespace

void find_weights(Plan& plan, const StudyConfig& study) {
  const int server = server_of(plan);
  add_averages(plan, study.schedule, server);
  add_hand_overs(plan, study.schedule, server);
  add_deliveries(plan, study.schedule, server);
}

}  // namespace sutura
