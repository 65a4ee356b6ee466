// Which schedule goes with which graph: general rules over nodes, parties and what trains, never over names.
#include <algorithm>

#include "core/error.h"
#include "runtime/topology/plan_checks.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

const PartyConfig& party(const Plan& plan, int index) { return plan.topology.parties[static_cast<std::size_t>(index)]; }

/// Whether a segment trains at a party of which there is one process: all sites train the same copy of it.
bool trains_beside_the_sites(const Plan& plan) {
  for (std::size_t n = 0; n < plan.trains.size(); ++n)
    if (plan.trains[n] && plan.party_of(static_cast<int>(n)) != plan.many_party) return true;
  return false;
}

void check_tail(const Plan& plan, const ScheduleConfig& schedule) {
  if (schedule.tail != Tail::kPerClient) return;
  if (plan.many_party < 0)
    refuse("schedule.tail: per_client makes a copy per site, but no party has count: many: there are no sites to make one for");
  if (!trains_beside_the_sites(plan))
    refuse("schedule.tail: per_client makes a copy per site of what trains elsewhere, but every segment that trains is at '" +
           party(plan, plan.many_party).name + "', whose sites hold copies anyway: leave it out");
  if (schedule.visit != Visit::kTogether)
    refuse("schedule.tail: per_client gives each site a copy so that none waits for another; visit: in_turn or shuffled makes "
           "them wait, and no copy passes on: use visit: together");
}

void check_visit(const Plan& plan, const ScheduleConfig& schedule) {
  if (schedule.visit == Visit::kTogether) return;
  if (plan.many_party < 0)
    refuse("schedule.visit: in_turn or shuffled is an order of sites, but no party has count: many: every record passes through "
           "all parties at once; use visit: together");
  if (schedule.hand_on.empty() && !trains_beside_the_sites(plan))
    refuse("schedule.visit: in_turn or shuffled, but no weights pass from one site to the next inside a round, so that the order "
           "changes nothing: use visit: together, or list a segment under schedule.hand_on");
}

void check_averages(const Plan& plan, const ScheduleConfig& schedule) {
  std::vector<std::string> seen;
  for (const std::string& s : schedule.average) {
    if (std::ranges::find(seen, s) != seen.end()) refuse("schedule.average lists '" + s + "' twice");
    seen.push_back(s);
    for (std::size_t n = 0; n < plan.trains.size(); ++n) {
      const NodeConfig& node = plan.topology.nodes[n];
      if (node.kind == NodeKind::kSegment && node.segment == s && !plan.trains[n])
        refuse("schedule.average lists '" + s + "', which does not train: its copies are equal, there is nothing to average, take "
               "it out");
    }
  }
}

/// Sites that share no weights at all make one study each, not one together.
void check_sharing(const Plan& plan, const ScheduleConfig& schedule) {
  if (plan.many_party < 0 || plan.lanes.size() < 2) return;
  const bool shared = schedule.tail == Tail::kShared && trains_beside_the_sites(plan);
  if (!shared && schedule.average.empty() && schedule.hand_on.empty())
    refuse("each site of '" + party(plan, plan.many_party).name + "' would train alone, for no weights pass between them: list a "
           "segment under schedule.average or schedule.hand_on");
}

void check_participation(const Plan& plan, const ParticipationConfig& p) {
  const bool stated = p.min_clients > 0 || p.deadline_s > 0.0 || p.on_leave != OnLeave::kContinue;
  const std::size_t sites = plan.many_party < 0 ? 0 : plan.lanes.size();
  if (stated && sites < 2)
    refuse("schedule.participation says what happens when one of several sites is missing, but " +
           std::string(sites == 0 ? "no party has count: many" : "the study has one site") + ": leave it out" +
           (sites == 0 ? ", or use schedule.missing_party" : ""));
  if (p.min_clients > static_cast<std::int64_t>(sites) && stated)
    refuse("schedule.participation.min_clients is " + std::to_string(p.min_clients) + ", the study has " + std::to_string(sites) +
           " sites");
}

/// Feature holders that a step can do without: neither the labels nor the loss are theirs, and all that they send goes into
/// joins.
void check_replaceable(const Plan& plan, const std::vector<int>& holders) {
  const Wiring& loss = plan.wiring[static_cast<std::size_t>(plan.loss_node)];
  int replaceable = 0;
  for (const int p : holders) {
    if (p == plan.party_of(loss.labels) || p == plan.party_of(plan.loss_node)) continue;
    ++replaceable;
    for (const Edge& e : plan.edges)
      if (e.from_party == p && plan.topology.nodes[static_cast<std::size_t>(e.to)].kind != NodeKind::kJoin)
        refuse("schedule.missing_party: zero or running-mean puts a value in the place of an input of a join, but the route " +
               e.text + " of '" + party(plan, p).name + "' does not end at a join: use drop-step or abort");
  }
  if (replaceable == 0)
    refuse("schedule.missing_party: zero or running-mean needs a party that holds features without labels or loss: what the "
           "label holder computes cannot be replaced; use drop-step or abort");
}

void check_missing_party(const Plan& plan, const ScheduleConfig& schedule) {
  if (schedule.missing_party == MissingParty::kAbort) return;
  if (plan.many_party >= 0)
    refuse("schedule.missing_party is for studies whose parties hold parts of the same records, but each site of '" +
           party(plan, plan.many_party).name + "' holds whole records: use schedule.participation");
  std::vector<int> holders;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    if (std::ranges::any_of(plan.topology.nodes, [&](const NodeConfig& n) {
          return n.kind == NodeKind::kFeatures && n.at == plan.topology.parties[p].name;
        }))
      holders.push_back(static_cast<int>(p));
  if (holders.size() < 2)
    refuse("schedule.missing_party needs two or more parties that hold features: without its only one a step has no records");
  if (plan.release_once)
    refuse("schedule.missing_party: with release-once every party sends its rows before training begins, so none can be missing "
           "at a step: leave it out");
  if (schedule.missing_party != MissingParty::kDropStep) check_replaceable(plan, holders);
}

}  // namespace

void check_schedule(const Plan& plan, const StudyConfig& study) {
  const ScheduleConfig& schedule = study.schedule;
  check_tail(plan, schedule);
  check_visit(plan, schedule);
  check_averages(plan, schedule);
  check_sharing(plan, schedule);
  check_participation(plan, schedule.participation);
  check_missing_party(plan, schedule);
}

void check_stale(const Plan& plan, const TrainingConfig& training) {
  if (training.stale == 0) return;
  if (plan.release_once)
    refuse("training.stale begins steps before the answers to earlier ones came, but with release-once training waits for nobody: "
           "leave it out");
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    if (plan.program(static_cast<int>(p), Purpose::kTrain).turns.size() > 1) return;
  refuse("training.stale begins steps before the answers to earlier ones came, but no party waits for an answer inside a step: "
         "nothing is in flight, leave it out");
}

}  // namespace sutura
