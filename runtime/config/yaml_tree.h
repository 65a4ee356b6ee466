#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/config/diagnostics.h"

namespace sutura {

/// kBroken stands where a finding was already reported; readers pass over it in silence.
enum class NodeForm { kNull, kScalar, kList, kMap, kBroken };
enum class Quoting { kPlain, kQuoted };

/// A value of a YAML file with its place. Members of a map carry their key.
struct YamlNode {
  NodeForm form = NodeForm::kNull;
  Quoting quoting = Quoting::kPlain;
  std::string text;                ///< kScalar
  std::string key;                 ///< when the parent is a map
  Position key_at;                 ///< place of the key; of the value itself inside a list
  Position at;                     ///< place of the value
  std::vector<YamlNode> children;  ///< items of a list, members of a map

  const YamlNode* find(std::string_view member) const;
  YamlNode* find(std::string_view member);
};

/// What one load may take: a hostile file ends early, not the machine.
struct YamlLimits {
  std::size_t file_bytes = std::size_t{1} << 20;
  int nodes = 10'000;  ///< over all files of a load
  int depth = 32;
  int include_depth = 8;
  int files = 64;
};

/// Reads one YAML document from text. Reported and replaced by kBroken: anchors, aliases, tags outside the core schema.
/// Reported and left out: duplicate keys (the first stays), keys that are no text. `nodes_left` counts down.
/// Errors: kConfig at once for what is not one UTF-8 YAML document (syntax, BOM, tabs as indentation, control
/// characters, a second document) or goes over a limit.
YamlNode parse_yaml(std::string_view text, int source, const YamlLimits& limits, int& nodes_left, Diagnostics& found);

/// Loads a study file: its includes first (in order, later ones win), then the file itself, then `overrides`
/// ("key.sub=value", "list[2].key=value"; the value is YAML, a map or list replaces the old one whole).
/// Errors: kConfig as above; other findings are left in `found`.
YamlNode load_yaml(const std::filesystem::path& path, const std::vector<std::string>& overrides, Diagnostics& found,
                   const YamlLimits& limits = {});

/// "parent.key", with quotes around keys that are not plain words; the form of override paths.
std::string member_path(std::string_view parent, std::string_view key);
std::string item_path(std::string_view parent, std::size_t index);

}  // namespace sutura
