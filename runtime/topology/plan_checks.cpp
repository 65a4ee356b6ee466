#include "runtime/topology/plan_checks.h"

#include <algorithm>
#include <map>
#include <set>

#include "core/error.h"

namespace sutura {
namespace {

[[noreturn]] void refuse(const std::string& text) { throw Error(Errc::kConfig, "topology: " + text); }

bool guarded(const Edge& e) { return e.activation_guard != GuardKind::kNone || e.gradient_guard != GuardKind::kNone; }

const PartyConfig& party(const Plan& plan, int index) { return plan.topology.parties[static_cast<std::size_t>(index)]; }

void collect_upstream(const Plan& plan, int node, std::vector<bool>& seen) {
  seen[static_cast<std::size_t>(node)] = true;
  for (const int i : plan.wiring[static_cast<std::size_t>(node)].inputs)
    if (!seen[static_cast<std::size_t>(i)]) collect_upstream(plan, i, seen);
}

/// A guarded row must be a function of its own record.
void check_coupling(const Plan& plan, const Edge& e, const Segments& segments) {
  // A gradient row comes from the loss: layers behind the cut mix records into it as well.
  const std::vector<bool> upstream = upstream_of(plan, e.gradient_guard != GuardKind::kNone ? plan.loss_node : e.from);
  for (std::size_t n = 0; n < upstream.size(); ++n) {
    const NodeConfig& node = plan.topology.nodes[n];
    if (!upstream[n] || node.kind != NodeKind::kSegment) continue;
    const Network& net = segments.networks[segments.index(node.segment)];
    for (std::size_t l = 0; l < net.size(); ++l)
      if (net.layer(l).couples_records())
        refuse("layer '" + net.layer(l).name() + "' mixes the records of a batch before the guarded route " + e.text +
               ": use group norm");
  }
}

void check_guarded_edge(const Plan& plan, const Edge& e, const PrivacyConfig& privacy, const Segments& segments) {
  check_coupling(plan, e, segments);
  if (e.gradient_guard != GuardKind::kNone) {
    if (privacy.relation == Relation::kReplaceOneNonnegative)
      refuse("privacy.relation 'replace-one-nonnegative' would clamp the gradient rows of the route " + e.text +
             " at zero, and a gradient has both signs: use replace-one");
    if (privacy.scale_to_norm)
      refuse("privacy.scale_to_norm would stretch the gradient rows of the route " + e.text +
             ", and a gradient's length is its meaning: leave it false");
  }
  const auto width = static_cast<std::size_t>(e.row.row_elements());
  const std::size_t weights = privacy.no_data_rule.size();
  if (e.activation_guard != GuardKind::kNone && weights > 1 && weights != width)
    refuse("privacy.no_data_rule has " + std::to_string(weights) + " weights, a row of the guarded route " + e.text + " has " +
           std::to_string(width) + " values: give 1 weight or " + std::to_string(width));
}

void check_release_once(const Plan& plan, const StudyConfig& study) {
  if (study.data.standardize == Standardize::kTraining)
    refuse("release-once with 'data.standardize: training': centre and scale come from all records of a site, so one record "
           "moves every released row; give public constants, data.standardize: {centre: [...], scale: [...]}");
  for (const Edge& e : plan.edges) {
    if (e.gradient)
      refuse("release-once needs a frozen front, but a segment before the route " + e.text +
             " trains: list it under network.frozen");
    if (!e.labels && e.activation_guard == GuardKind::kNone)
      refuse("release-once needs 'activation: {guard: rows}' on the route " + e.text);
    if (party(plan, e.to_party).role != Role::kServer) refuse("release-once: the route " + e.text + " does not end at the server");
  }
  for (const std::string& name : study.schedule.average)
    for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
      const NodeConfig& node = plan.topology.nodes[n];
      if (node.kind == NodeKind::kSegment && node.segment == name &&
          party(plan, plan.party_of(static_cast<int>(n))).role == Role::kClient)
        refuse("schedule.average lists '" + name + "', which release-once keeps frozen at '" + node.at +
               "': there is nothing to average, take it out");
    }
}

}  // namespace

std::vector<bool> upstream_of(const Plan& plan, int node) {
  std::vector<bool> seen(plan.topology.nodes.size(), false);
  collect_upstream(plan, node, seen);
  return seen;
}

void check_privacy(const Plan& plan, const StudyConfig& study, const Segments& segments) {
  for (const Edge& e : plan.edges)
    if (e.labels && !study.privacy.labels)
      refuse("the route " + e.text + " sends labels: say 'privacy.labels: public' or keep the loss with the label holder");
  if (study.privacy.mechanism != Mechanism::kRows) return;
  if (study.privacy.relation == Relation::kZeroOut)
    refuse("privacy.relation 'zero-out' would hide that a record took part, but who took part, the order, the numbers and "
           "the labels of records are visible in a study: use replace-one");
  if (std::ranges::none_of(plan.edges, guarded))
    refuse("privacy.mechanism is 'rows', but no route between parties has a guard");
  for (const Edge& e : plan.edges)
    if (guarded(e)) check_guarded_edge(plan, e, study.privacy, segments);
  if (plan.release_once) check_release_once(plan, study);
}

void check_backward(const Plan& plan, const Segments& segments) {
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    const NodeConfig& node = plan.topology.nodes[n];
    if (node.kind != NodeKind::kSegment || !plan.needs_gradient[n]) continue;
    const Network& net = segments.networks[segments.index(node.segment)];
    // As Network::backward goes: below its first parameters only where the gradient of the input is wanted.
    bool passes = plan.needs_gradient[static_cast<std::size_t>(plan.wiring[n].inputs.at(0))];
    for (std::size_t l = 0; l < net.size(); ++l) {
      passes = passes || !net.layer(l).param_specs().empty();
      if (passes && !net.layer(l).has_backward())
        refuse("layer '" + net.layer(l).name() + "' of segment '" + node.segment +
               "' is a public front without a backward, but something before it trains: list that under network.frozen, or "
               "put this layer first");
    }
  }
}

bool holds_records(const Plan& plan, int party) {
  for (std::size_t n = 0; n < plan.topology.nodes.size(); ++n) {
    const NodeKind kind = plan.topology.nodes[n].kind;
    if ((kind == NodeKind::kFeatures || kind == NodeKind::kLabels) && plan.party_of(static_cast<int>(n)) == party) return true;
  }
  return false;
}

int releasing_parties(const Plan& plan) {
  std::set<int> holders;
  for (const Edge& e : plan.edges) {
    if (e.activation_guard != GuardKind::kNone) holders.insert(e.from_party);
    if (e.gradient_guard != GuardKind::kNone) holders.insert(e.to_party);
  }
  return static_cast<int>(std::ranges::count_if(holders, [&](int p) { return party(plan, p).role == Role::kClient; }));
}

std::int64_t releases_per_record(const Plan& plan) {
  std::map<int, std::int64_t> legs;  // per party
  std::int64_t most = 0;
  for (const Edge& e : plan.edges) {
    if (e.activation_guard != GuardKind::kNone) most = std::max(most, ++legs[e.from_party]);
    if (e.gradient_guard != GuardKind::kNone) most = std::max(most, ++legs[e.to_party]);
  }
  return most;
}

}  // namespace sutura
