#include "runtime/config/yaml_tree.h"

#include <algorithm>
#include <system_error>

#include "core/error.h"
#include "core/file.h"
#include "runtime/config/utf8.h"

namespace sutura {

const YamlNode* YamlNode::find(std::string_view member) const {
  if (form != NodeForm::kMap) return nullptr;
  const auto it = std::find_if(children.begin(), children.end(), [&](const YamlNode& c) { return c.key == member; });
  return it == children.end() ? nullptr : &*it;
}
YamlNode* YamlNode::find(std::string_view member) {
  return const_cast<YamlNode*>(static_cast<const YamlNode*>(this)->find(member));
}

std::string member_path(std::string_view parent, std::string_view key) {
  const bool word = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  });
  std::string path(parent);
  if (!path.empty()) path += '.';
  return path + (word ? std::string(key) : '"' + std::string(key) + '"');
}

std::string item_path(std::string_view parent, std::size_t index) {
  return std::string(parent) + "[" + std::to_string(index) + "]";
}

namespace {

/// Maps are merged member by member, everything else of `high` replaces `low`.
void merge(YamlNode& low, YamlNode high) {
  if (low.form != NodeForm::kMap || high.form != NodeForm::kMap) {
    low = std::move(high);
    return;
  }
  low.at = high.at;
  low.key_at = high.key_at;
  for (YamlNode& member : high.children) {
    if (YamlNode* old = low.find(member.key))
      merge(*old, std::move(member));
    else
      low.children.push_back(std::move(member));
  }
}

class FileLoader {
 public:
  FileLoader(Diagnostics& found, const YamlLimits& limits) : found_(found), limits_(limits), nodes_left_(limits.nodes) {}

  /// `wanted_at`: where the including file names this one.
  YamlNode load(const std::filesystem::path& path, Position wanted_at) {
    std::error_code ignored;
    const auto real = std::filesystem::weakly_canonical(path, ignored);
    if (std::find(open_.begin(), open_.end(), real) != open_.end())
      found_.stop(wanted_at, "this include leads back to " + path.string() + ", which is being read");
    if (static_cast<int>(open_.size()) > limits_.include_depth)
      found_.stop(wanted_at, "includes are nested more than " + std::to_string(limits_.include_depth) + " deep");
    if (++files_ > limits_.files) found_.stop(wanted_at, "more than " + std::to_string(limits_.files) + " files are included");
    open_.push_back(real);
    const int source = found_.sources().add({SourceKind::kFile, path.string(), path.parent_path(), {}});
    const std::string text = read(path, wanted_at.source < 0 ? Position{source, 0, 0} : wanted_at);
    found_.sources().set_lines(source, text);
    YamlNode own = parse_yaml(text, source, limits_, nodes_left_, found_);
    if (own.form == NodeForm::kNull) found_.stop({source, 0, 0}, "the file is empty");
    if (own.form != NodeForm::kMap) found_.stop(own.at, "the file must hold a map of keys");
    own.key_at = {source, 1, 1};
    YamlNode all = included(own, path.parent_path());
    merge(all, std::move(own));
    open_.pop_back();
    return all;
  }

  YamlNode parse_value(std::string_view text, int source) { return parse_yaml(text, source, limits_, nodes_left_, found_); }

 private:
  std::string read(const std::filesystem::path& path, Position at) {
    try {
      return read_text_file(path, limits_.file_bytes);
    } catch (const Error& e) {
      if (e.code() == Errc::kResources)
        found_.stop(at, path.string() + " is larger than " + std::to_string(limits_.file_bytes >> 10) + " KiB",
                    "is this a study file?");
      const std::string reason = e.what(), prefix = path.string() + ": ";
      found_.stop(at, at.line == 0 && reason.starts_with(prefix) ? reason.substr(prefix.size()) : reason);
    }
  }

  /// Takes `include` out of the map and returns what the named files hold.
  YamlNode included(YamlNode& own, const std::filesystem::path& folder) {
    YamlNode base;
    base.form = NodeForm::kMap;
    const YamlNode* list = own.find("include");
    if (list == nullptr) return base;
    const YamlNode include = *list;
    std::erase_if(own.children, [](const YamlNode& c) { return c.key == "include"; });
    if (include.form == NodeForm::kBroken) return base;
    if (include.form != NodeForm::kList) {
      found_.add(include.at, "include must be a list of files", "include: [topologies/NAME.yaml]");
      return base;
    }
    for (const YamlNode& item : include.children) {
      if (item.form == NodeForm::kScalar && !item.text.empty() && !std::filesystem::path(item.text).is_absolute())
        merge(base, load((folder / item.text).lexically_normal(), item.at));
      else if (item.form != NodeForm::kBroken)
        found_.add(item.at, "include must name files relative to this one");
    }
    return base;
  }

  Diagnostics& found_;
  const YamlLimits& limits_;
  int nodes_left_;
  int files_ = 0;
  std::vector<std::filesystem::path> open_;
};

struct Step {
  std::string key;
  int index = -1;  // >= 0: an item of a list
};

/// "a.b[2].\"c d\"" as steps; empty when it is no path.
std::vector<Step> parse_path(std::string_view path) {
  std::vector<Step> steps;
  while (!path.empty()) {
    if (path[0] == '[') {
      const std::size_t end = path.find(']');
      if (steps.empty() || end == std::string_view::npos || end < 2 || end > 6) return {};
      Step step;
      step.index = 0;
      for (const char c : path.substr(1, end - 1)) {
        if (c < '0' || c > '9') return {};
        step.index = 10 * step.index + (c - '0');
      }
      steps.push_back(step);
      path.remove_prefix(end + 1);
    } else {
      if (!steps.empty()) {
        if (path[0] != '.') return {};
        path.remove_prefix(1);
      }
      const bool quoted = path.starts_with('"');
      const std::size_t end = quoted ? path.find('"', 1) : path.find_first_of(".[\"");
      if (quoted && end == std::string_view::npos) return {};
      Step step;
      step.key = std::string(quoted ? path.substr(1, end - 1) : path.substr(0, end));
      if (step.key.empty()) return {};
      steps.push_back(step);
      path.remove_prefix(end == std::string_view::npos ? path.size() : end + (quoted ? 1 : 0));
      if (path == ".") return {};
    }
  }
  return steps;
}

/// Marks a parsed override value as standing in line `line`, `offset` characters to the right.
void shift(YamlNode& node, int source, int line, int offset) {
  for (Position* p : {&node.at, &node.key_at}) *p = {source, line, p->column + offset};
  for (YamlNode& child : node.children) shift(child, source, line, offset);
}

void put(YamlNode& root, const std::vector<Step>& steps, YamlNode value, Position key_at, Diagnostics& found) {
  YamlNode* node = &root;
  std::string path;
  for (const Step& step : steps) {
    if (step.index >= 0) {
      if (node->form != NodeForm::kList || static_cast<std::size_t>(step.index) >= node->children.size())
        return found.add(key_at, printable(item_path(path, static_cast<std::size_t>(step.index)), 120) + " does not exist",
                         "an override can change an item of a list, or replace the list");
      path = item_path(path, static_cast<std::size_t>(step.index));
      node = &node->children[static_cast<std::size_t>(step.index)];
      continue;
    }
    if (node->form != NodeForm::kMap)
      return found.add(key_at, printable(path, 120) + " is not a map, so it has no key " + printable(step.key),
                       "replace it whole: " + printable(path, 120) + "={...}");
    path = member_path(path, step.key);
    if (YamlNode* next = node->find(step.key)) {
      node = next;
      continue;
    }
    YamlNode fresh;
    fresh.form = NodeForm::kMap;
    fresh.key = step.key;
    fresh.at = fresh.key_at = key_at;
    node->children.push_back(std::move(fresh));
    node = &node->children.back();
  }
  value.key = node->key;
  value.key_at = key_at;
  *node = std::move(value);
}

void apply_overrides(YamlNode& root, const std::vector<std::string>& overrides, FileLoader& loader, Diagnostics& found) {
  const int source = found.sources().add({SourceKind::kCommandLine, "command line", {}, {}});
  std::string all;
  for (const std::string& text : overrides) all += printable(text, 4096) + "\n";
  found.sources().set_lines(source, all);
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    const std::string& text = overrides[i];
    const Position key_at{source, static_cast<int>(i) + 1, 1};
    const std::size_t equals = text.find('=');
    const auto steps = parse_path(std::string_view(text).substr(0, equals));
    if (equals == std::string::npos || steps.empty()) {
      found.add(key_at, "this is no override", "write key.sub=value");
      continue;
    }
    if (steps[0].key == "include") {
      found.add(key_at, "include cannot be set from the command line", "write a small study file that includes both");
      continue;
    }
    // A source of its own while parsing, so that findings show the value as the user typed it.
    const int value_source = found.sources().add({SourceKind::kCommandLine, "command line", {}, {}});
    found.sources().set_lines(value_source, std::string_view(text).substr(equals + 1));
    YamlNode value = loader.parse_value(std::string_view(text).substr(equals + 1), value_source);
    if (value.form == NodeForm::kNull && equals + 1 == text.size()) {
      value.form = NodeForm::kScalar;
      value.quoting = Quoting::kQuoted;
    }
    shift(value, source, key_at.line, character_column(text, equals + 1) - 1);
    put(root, steps, std::move(value), key_at, found);
  }
}

}  // namespace

YamlNode load_yaml(const std::filesystem::path& path, const std::vector<std::string>& overrides, Diagnostics& found,
                   const YamlLimits& limits) {
  FileLoader loader(found, limits);
  YamlNode root = loader.load(path, {});
  apply_overrides(root, overrides, loader, found);
  return root;
}

}  // namespace sutura
