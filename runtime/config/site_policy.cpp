#include "runtime/config/site_policy.h"

#include "runtime/config/scalar.h"
#include "runtime/config/sections.h"

namespace sutura {
namespace {

constexpr Choice<Carried> kCarried[] = {{"activation", Carried::kActivation}, {"gradient", Carried::kGradient},
                                        {"labels", Carried::kLabels},         {"weights", Carried::kWeights},
                                        {"counts", Carried::kCounts},         {"metrics", Carried::kMetrics},
                                        {"alignment", Carried::kAlignment}};
constexpr Choice<GuardKind> kGuards[] = {{"none", GuardKind::kNone}, {"rows", GuardKind::kRows}};
constexpr Choice<Protection> kProtections[] = {{"clear", Protection::kClear}, {"sealed", Protection::kSealed}};

bool is_node_pattern(const std::string& side) {
  return side == "*" || (!side.empty() && side.find_first_of("*> \t") == std::string::npos);
}

/// "A>B" where a side may be *.
bool is_edge_pattern(const std::string& edge) {
  const std::size_t arrow = edge.find('>');
  return arrow != std::string::npos && is_node_pattern(edge.substr(0, arrow)) && is_node_pattern(edge.substr(arrow + 1));
}

void read_allowed(Section& item, AllowedLine& line) {
  std::optional<Carried> what;
  item.choice({"what",
               "What may leave. `counts`: numbers of records, backend, version; `metrics`: losses and figures of the records "
               "here; `alignment`: blinded identifiers, set sizes and splits of party tables.",
               Need::kRequired},
              kCarried, what);
  const bool all = item.describes();
  if (!what && !all) {
    for (const char* name : {"edge", "guard", "segment", "protection"}) item.ignore(name);
    return;
  }
  line.what = what.value_or(line.what);
  const bool guarded = line.what == Carried::kActivation || line.what == Carried::kGradient;
  if (all || guarded || line.what == Carried::kLabels) {
    item.text(
        {"edge", "Activation, gradient, labels: the route `from>to` that may carry it; a side that is `*` means every node.",
         Need::kRequired},
        TextRule::kNotEmpty, line.edge);
    if (!all && !line.edge.empty() && !is_edge_pattern(line.edge))
      item.error_at("edge", item.path_of("edge") + " must be from>to", "for example \"front>*\", or \"*>*\" for every route");
  }
  if (all || guarded) {
    std::optional<GuardKind> guard;
    item.choice(
        {"guard", "Activation, gradient: the weakest guard that is accepted; `none` accepts it in clear.", Need::kRequired},
        kGuards, guard);
    line.guard = guard.value_or(line.guard);
  }
  if (all || line.what == Carried::kWeights) {
    std::optional<Protection> protection;
    item.text({"segment", "Weights: the segment whose weights may leave; `*` means every segment.", Need::kRequired},
              TextRule::kNotEmpty, line.segment);
    item.choice({"protection",
                 "Weights: the weakest protection that is accepted; `sealed`: only for another site, unreadable for the server.",
                 Need::kRequired},
                kProtections, protection);
    line.protection = protection.value_or(line.protection);
  }
}

std::optional<Placed<double>> read_limit(Section& section, const Key& key, const NumberRange& range) {
  std::optional<double> value;
  section.number(key, range, value);
  if (!value) return std::nullopt;
  return Placed<double>{*value, {}};
}

}  // namespace

void read_site_policy(Section root, SitePolicy& policy) {
  const auto found = root.section({"site_policy", "What this site lets leave.", Need::kRequired, Scope::kLocal});
  if (!found) return;
  Section section = *found;
  section.text({"name", "Name of the policy, in every refusal.", Need::kRequired}, TextRule::kNotEmpty, policy.name);
  bool rows = false;
  for (Section& item : section.sections({"allow", "What may leave; nothing else may. `[]`: nothing at all.", Need::kRequired})) {
    AllowedLine& line = policy.allow.emplace_back();
    read_allowed(item, line);
    line.place = item.path();
    rows = rows || ((line.what == Carried::kActivation || line.what == Carried::kGradient) && line.guard == GuardKind::kRows);
  }
  policy.maximum_epsilon = read_limit(
      section,
      {"maximum_epsilon", "Largest `privacy.epsilon` of a study that releases guarded rows; needed beside `guard: rows`."},
      {.above = 0});
  policy.maximum_delta =
      read_limit(section, {"maximum_delta", "Largest `privacy.delta` of such a study; needed beside `guard: rows`."},
                 {.above = 0, .at_most = 0.1});
  std::vector<std::string> cuts;
  section.texts(
      {"allowed_cuts", "Layers after which a study may cut the network here.", Need::kOptional, Scope::kLocal, {}, "any"},
      TextRule::kName, cuts);
  if (section.has("allowed_cuts")) policy.allowed_cuts = Placed<std::vector<std::string>>{std::move(cuts), {}};
  if (section.describes()) return;
  const char* hint = "a guard without a budget promises nothing";
  if (rows && !section.has("maximum_epsilon")) section.error("site_policy.maximum_epsilon is required beside guard: rows", hint);
  if (rows && !section.has("maximum_delta")) section.error("site_policy.maximum_delta is required beside guard: rows", hint);
}

SitePolicy load_site_policy(const std::filesystem::path& path) {
  Diagnostics found;
  const YamlNode root = load_yaml(path, {}, found);
  Reader reader(ReadMode::kLoad, root, found);
  SitePolicy policy;
  read_site_policy(reader.root(), policy);
  reader.finish();
  found.throw_if_any();
  const auto place = [&](const std::string& key) { return found.sources().place(reader.key_places().at(key)); };
  policy.file = found.sources().place({0, 0, 0});
  for (AllowedLine& line : policy.allow) line.place = place(line.place);
  if (policy.maximum_epsilon) policy.maximum_epsilon->place = place("site_policy.maximum_epsilon");
  if (policy.maximum_delta) policy.maximum_delta->place = place("site_policy.maximum_delta");
  if (policy.allowed_cuts) policy.allowed_cuts->place = place("site_policy.allowed_cuts");
  return policy;
}

}  // namespace sutura
