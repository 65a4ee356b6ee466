// What load_study.h says about plans as text: canonical form, digest, origins, differences.
#include <algorithm>

#include "runtime/config/load_study.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

Position nearest_place(const LoadedStudy& study, std::string_view key) {
  while (!key.empty()) {
    const auto it = study.places.find(std::string(key));
    if (it != study.places.end()) return it->second;
    const std::size_t end = key.find_last_of(".[");
    key = key.substr(0, end == std::string_view::npos ? 0 : end);
  }
  return {0, 0, 0};
}

/// Key -> value of a canonical plan; lines without " = " count as keys without a value.
std::map<std::string, std::string> parse_plan(std::string_view plan) {
  std::map<std::string, std::string> values;
  while (!plan.empty()) {
    const std::size_t end = plan.find('\n');
    const std::string_view line = plan.substr(0, end);
    plan.remove_prefix(end == std::string_view::npos ? plan.size() : end + 1);
    const std::size_t equals = line.find(" = ");
    const std::string_view value = equals == std::string_view::npos ? "" : line.substr(equals + 3);
    values[std::string(line.substr(0, equals))] = std::string(value);
  }
  return values;
}

}  // namespace

std::string LoadedStudy::place(std::string_view key) const { return sources.place(nearest_place(*this, key)); }

std::string LoadedStudy::finding(std::string_view key, std::string_view message, std::string_view hint) const {
  std::string text = sources.render(nearest_place(*this, key), message, hint);
  text.pop_back();
  return text;
}

std::string canonical_plan(const LoadedStudy& study) {
  std::vector<std::string> lines;
  for (const OriginLine& line : study.resolved)
    if (line.scope == Scope::kShared) lines.push_back(line.key + " = " + line.value + "\n");
  std::sort(lines.begin(), lines.end());
  std::string plan;
  for (const std::string& line : lines) plan += line;
  return plan;
}

Digest plan_digest(const LoadedStudy& study) { return blake2b(as_bytes(canonical_plan(study))); }

std::string print_config(const LoadedStudy& study) {
  std::size_t width = 0;
  for (const OriginLine& line : study.resolved) width = std::max(width, line.key.size() + 3 + line.value.size());
  width = std::min<std::size_t>(width, 72);
  std::string text;
  for (const OriginLine& line : study.resolved) {
    std::string row = line.key + " = " + line.value;
    if (row.size() < width) row.append(width - row.size(), ' ');
    text += row + "  # " + line.origin + (line.scope == Scope::kLocal ? ", local" : "") + "\n";
  }
  return text;
}

std::optional<PlanDifference> first_difference(std::string_view first, std::string_view second) {
  const auto a = parse_plan(first), b = parse_plan(second);
  const auto value = [](const auto& plan, const std::string& key) -> std::optional<std::string> {
    const auto it = plan.find(key);
    return it == plan.end() ? std::nullopt : std::optional(printable(it->second, 100));
  };
  std::map<std::string, std::string> keys = a;
  keys.insert(b.begin(), b.end());
  for (const auto& [key, unused] : keys) {
    const auto in_a = a.find(key), in_b = b.find(key);
    if (in_a != a.end() && in_b != b.end() && in_a->second == in_b->second) continue;
    return PlanDifference{printable(key, 200), value(a, key), value(b, key)};
  }
  return std::nullopt;
}

std::string explain_difference(const LoadedStudy& here, std::string_view other_plan, std::string_view other_party) {
  const auto difference = first_difference(canonical_plan(here), other_plan);
  if (!difference) return {};
  const auto stated = [](const std::optional<std::string>& value) { return value ? *value : std::string("not set"); };
  return here.place(difference->key) + ": plan differs: " + difference->key + " is " + stated(difference->first) + " here and " +
         stated(difference->second) + " at the " + printable(other_party);
}

}  // namespace sutura
