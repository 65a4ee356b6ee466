#include "runtime/topology/site_policy.h"

#include <algorithm>
#include <set>

#include "core/error.h"
#include "models/registry.h"
#include "runtime/config/scalar.h"
#include "runtime/topology/plan_checks.h"
#include "runtime/topology/told.h"

namespace sutura {
namespace {

bool fits(const std::string& pattern, const std::string& name) { return pattern == "*" || pattern == name; }

bool edge_fits(const std::string& pattern, const std::string& edge) {
  const std::size_t arrow = pattern.find('>'), at = edge.find('>');
  return fits(pattern.substr(0, arrow), edge.substr(0, at)) && fits(pattern.substr(arrow + 1), edge.substr(at + 1));
}

class Judge {
 public:
  Judge(const SitePolicy& policy, const Plan& plan, const StudyConfig& study, int party)
      : policy_(policy), plan_(plan), study_(study), party_(party) {}

  void judge_edges() {
    for (const Edge& e : plan_.edges) {
      if (e.labels && e.from_party == party_)
        need(Carried::kLabels, "labels " + e.text + to(e.to_party), "in clear",
             [&](const AllowedLine& l) { return edge_fits(l.edge, e.text) ? Fit::kYes : Fit::kNo; });
      if (!e.labels && e.from_party == party_) judge_leg(e, Carried::kActivation, e.activation_guard, e.to_party);
      if (e.gradient && e.to_party == party_) judge_leg(e, Carried::kGradient, e.gradient_guard, e.from_party);
    }
  }

  void judge_weights() {
    for (const WeightsEdge& w : plan_.weights) {
      if (w.from_party != party_) continue;
      // From site to site of one party only what is handed on goes, sealed for the next one; all else the receiver reads.
      const bool sealed = w.to_party == w.from_party;
      need(Carried::kWeights, "weights " + w.segment + (sealed ? " to the next site" : to(w.to_party)),
           sealed ? "sealed" : "in clear", [&](const AllowedLine& l) {
             if (!fits(l.segment, w.segment)) return Fit::kNo;
             return sealed || l.protection == Protection::kClear ? Fit::kYes : Fit::kTooWeak;
           });
    }
  }

  void judge_the_rest() {
    const auto listed = [](const AllowedLine&) { return Fit::kYes; };
    if (is_served(plan_)) need(Carried::kCounts, "counts: numbers of records per split, backend, version", "in clear", listed);
    if (tells_validation(plan_, study_, party_))
      need(Carried::kMetrics, "metrics: losses and figures of the records here", "in clear", listed);
    if (aligns(study_, here()))
      need(Carried::kAlignment, "alignment: blinded identifiers, set sizes, splits", "blinded", listed);
  }

  void judge_budget() {
    if (!releases_) return;
    const auto check = [this](const std::optional<Placed<double>>& most, const char* key, double value) {
      if (most && value > most->value)
        refuse(std::string(key) + " " + number_text(value) + ": " + most->place + " accepts at most " + number_text(most->value));
    };
    check(policy_.maximum_epsilon, "privacy.epsilon", study_.privacy.epsilon);
    check(policy_.maximum_delta, "privacy.delta", study_.privacy.delta);
  }

  void throw_if_any() const {
    if (refusals_.empty()) return;
    throw Error(Errc::kConfig,
                "the site policy '" + policy_.name + "' does not let this study leave " + here() + ":" + refusals_);
  }

 private:
  enum class Fit { kNo, kTooWeak, kYes };

  std::string here() const { return plan_.topology.parties[static_cast<std::size_t>(party_)].name; }
  std::string to(int party) const { return " to " + plan_.topology.parties[static_cast<std::size_t>(party)].name; }
  void refuse(const std::string& text) { refusals_ += "\n  " + text; }

  /// `fit`: how a line of this kind meets what leaves.
  template <class F>
  void need(Carried what, const std::string& leaves, const std::string& how, const F& fit) {
    const AllowedLine* too_strict = nullptr;
    for (const AllowedLine& line : policy_.allow) {
      if (line.what != what) continue;
      const Fit f = fit(line);
      if (f == Fit::kYes) return;
      if (f == Fit::kTooWeak && too_strict == nullptr) too_strict = &line;
    }
    refuse(leaves + ", " + how + ": " +
           (too_strict != nullptr ? too_strict->place + " asks for " + asked(*too_strict)
                                  : "no line of " + policy_.file + " allows it"));
  }

  static std::string asked(const AllowedLine& line) {
    return line.what == Carried::kWeights ? "protection: sealed" : "guard: rows";
  }

  void judge_leg(const Edge& e, Carried what, GuardKind guard, int receiver) {
    const std::string leaves = (what == Carried::kActivation ? "activation " : "gradient ") + e.text;
    releases_ = releases_ || guard != GuardKind::kNone;
    need(what, leaves + to(receiver), guard == GuardKind::kNone ? "unguarded" : "guarded rows", [&](const AllowedLine& l) {
      if (!edge_fits(l.edge, e.text)) return Fit::kNo;
      return guard != GuardKind::kNone || l.guard == GuardKind::kNone ? Fit::kYes : Fit::kTooWeak;
    });
    if (!policy_.allowed_cuts) return;
    std::set<std::string> layers;
    last_layers(e.from, layers);
    for (const std::string& layer : layers)
      if (std::ranges::find(policy_.allowed_cuts->value, layer) == policy_.allowed_cuts->value.end())
        refuse(leaves + ", cut after layer " + layer + ": " + policy_.allowed_cuts->place + " does not list it");
  }

  /// The layers whose outputs pass through `node`: the last one of a segment, those of all inputs of a join.
  void last_layers(int node, std::set<std::string>& into) const {
    const NodeConfig& n = plan_.topology.nodes[static_cast<std::size_t>(node)];
    const std::vector<int>& inputs = plan_.wiring[static_cast<std::size_t>(node)].inputs;
    if (n.kind == NodeKind::kJoin)
      for (const int i : inputs) last_layers(i, into);
    if (n.kind != NodeKind::kSegment) return;
    const std::int64_t width = plan_.row_shapes[static_cast<std::size_t>(node)].row_elements();
    const auto own = study_.network.segments.find(n.segment);
    if (own != study_.network.segments.end()) {
      into.insert(last_layer(own->second, inputs.at(0), width));
      return;
    }
    // One network, cut into segments along the graph: as many cuts lie before this segment as segments do.
    const std::vector<bool> before = upstream_of(plan_, node);
    std::size_t cut = 0;
    int source = node;
    for (std::size_t i = 0; i < before.size(); ++i) {
      const NodeKind kind = plan_.topology.nodes[i].kind;
      cut += before[i] && static_cast<int>(i) != node && kind == NodeKind::kSegment ? 1 : 0;
      if (before[i] && kind == NodeKind::kFeatures) source = static_cast<int>(i);
    }
    into.insert(cut < study_.network.cuts.size() ? study_.network.cuts[cut] : last_layer(study_.network.whole, source, width));
  }

  /// Layers of ready networks have names that only the network itself knows.
  std::string last_layer(const NetworkSpec& spec, int input, std::int64_t width) const {
    const Network network = build_network(spec, plan_.row_shapes[static_cast<std::size_t>(input)], width);
    return network.layer(network.size() - 1).name();
  }

  const SitePolicy& policy_;
  const Plan& plan_;
  const StudyConfig& study_;
  int party_;
  bool releases_ = false;
  std::string refusals_;
};

}  // namespace

void enforce(const SitePolicy& policy, const Plan& plan, const StudyConfig& study, int party) {
  require(party >= 0 && party < static_cast<int>(plan.topology.parties.size()), Errc::kInternal,
          "a policy of a party outside the plan");
  Judge judge(policy, plan, study, party);
  judge.judge_edges();
  judge.judge_weights();
  judge.judge_the_rest();
  judge.judge_budget();
  judge.throw_if_any();
}

}  // namespace sutura
