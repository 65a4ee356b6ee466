#include "runtime/config/reader.h"

#include <algorithm>

#include "runtime/config/scalar.h"
#include "runtime/config/utf8.h"

namespace sutura {

Reader::Reader(ReadMode mode, const YamlNode& root, Diagnostics& found) : mode_(mode), root_(root), found_(found) {
  index(root, "");
}

void Reader::index(const YamlNode& node, const std::string& path) {
  key_places_[path] = node.key_at;
  // Of a map, or a list below its key, the key is what a reader looks for.
  const bool by_key = node.form == NodeForm::kMap || node.at.line != node.key_at.line;
  value_places_[path] = by_key ? node.key_at : node.at;
  forms_[path] = node.form;
  for (std::size_t i = 0; i < node.children.size(); ++i)
    index(node.children[i], node.form == NodeForm::kMap ? member_path(path, node.children[i].key) : item_path(path, i));
}

NodeForm Reader::form(const std::string& path) const {
  const auto it = forms_.find(path);
  return it == forms_.end() ? NodeForm::kNull : it->second;
}

Section Reader::root() { return Section(*this, mode_ == ReadMode::kLoad ? &root_ : nullptr, "", Scope::kShared); }

void Reader::finish() {
  if (mode_ == ReadMode::kDescribe) return;
  for (const auto& [node, visited] : visited_)
    for (const YamlNode& member : node->children) {
      if (std::find(visited.known.begin(), visited.known.end(), member.key) != visited.known.end()) continue;
      found_.add(member.key_at, "unknown key " + printable(member_path(visited.path, member.key), 120),
                 nearest_hint(member.key, visited.known));
    }
}

void Reader::error_at(const std::string& path, std::string message, std::string hint) {
  if (mode_ == ReadMode::kDescribe) return;
  std::string nearest = path;
  while (!nearest.empty() && !value_places_.contains(nearest)) {
    const std::size_t end = nearest.find_last_of(".[");
    nearest.resize(end == std::string::npos ? 0 : end);
  }
  found_.add(nearest == path ? value_places_[nearest] : key_places_[nearest], std::move(message), std::move(hint));
}

Section::Section(Reader& reader, const YamlNode* node, std::string path, Scope scope)
    : reader_(&reader), node_(node), path_(std::move(path)), scope_(scope) {
  if (node_ != nullptr) reader_->visited_[node_].path = path_;
}

Scope Section::scope_of(const Key& key) const { return scope_ == Scope::kLocal ? Scope::kLocal : key.scope; }

const YamlNode* Section::take(const Key& key, const std::string& type, const std::string& otherwise) {
  const std::string path = path_of(key.name);
  if (describes()) {
    const std::string unit = key.unit.empty() ? "" : " (" + std::string(key.unit) + ")";
    const std::string fallback =
        key.need == Need::kRequired ? "required" : std::string(key.otherwise.empty() ? otherwise : key.otherwise);
    reader_->described_.push_back({path, type + unit, fallback, std::string(key.doc), scope_of(key)});
    return nullptr;
  }
  const YamlNode* node = nullptr;
  if (node_ != nullptr) {
    reader_->visited_[node_].known.emplace_back(key.name);
    node = node_->find(key.name);
  }
  if (node == nullptr) {
    if (key.need == Need::kRequired) {
      const Position at = node_ != nullptr ? node_->key_at : Position{};
      reader_->found_.add(at, path + " is required", std::string(key.doc));
    } else if (!otherwise.empty()) {
      record(key, otherwise, nullptr);
    }
    return nullptr;
  }
  if (node->form == NodeForm::kBroken) return nullptr;
  if (node->form == NodeForm::kNull) {
    reader_->found_.add(node->key_at, path + " is empty", "give it a value (" + type + ") or leave the key out");
    return nullptr;
  }
  return node;
}

void Section::record(const Key& key, std::string value, const YamlNode* node) {
  std::string origin = "default";
  if (node != nullptr) {
    const Source& source = reader_->found_.sources().at(node->key_at.source);
    origin = source.kind == SourceKind::kCommandLine ? "override" : reader_->found_.sources().place(node->key_at);
  }
  reader_->resolved_.push_back({path_of(key.name), std::move(value), std::move(origin), scope_of(key)});
}

std::optional<Section> Section::section(const Key& key) {
  const YamlNode* node = take(key, "map", "");
  if (describes()) return Section(*reader_, nullptr, path_of(key.name), scope_of(key));
  if (node == nullptr) return std::nullopt;
  if (node->form != NodeForm::kMap) {
    wrong(path_of(key.name), *node, "a map of keys");
    return std::nullopt;
  }
  return Section(*reader_, node, path_of(key.name), scope_of(key));
}

Section Section::section_or_defaults(const Key& key) {
  const auto found = section(key);
  return found ? *found : Section(*reader_, nullptr, path_of(key.name), scope_of(key));
}

std::vector<Section> Section::sections(const Key& key) {
  const YamlNode* node = take(key, "list of maps", "");
  if (describes()) return {Section(*reader_, nullptr, path_of(key.name) + "[]", scope_of(key))};
  std::vector<Section> all;
  if (node == nullptr) return all;
  if (node->form != NodeForm::kList) {
    wrong(path_of(key.name), *node, "a list of maps");
    return all;
  }
  for (std::size_t i = 0; i < node->children.size(); ++i) {
    const YamlNode& item = node->children[i];
    const std::string path = item_path(path_of(key.name), i);
    if (item.form == NodeForm::kMap)
      all.push_back(Section(*reader_, &item, path, scope_of(key)));
    else if (item.form != NodeForm::kBroken)
      wrong(path, item, "a map of keys");
  }
  return all;
}

std::vector<const YamlNode*> Section::remaining() const {
  std::vector<const YamlNode*> rest;
  if (node_ == nullptr) return rest;
  const auto& known = reader_->visited_[node_].known;
  for (const YamlNode& member : node_->children)
    if (std::find(known.begin(), known.end(), member.key) == known.end()) rest.push_back(&member);
  return rest;
}

std::vector<std::pair<std::string, Section>> Section::named_sections(std::string_view placeholder, std::string_view doc,
                                                                     TextRule rule) {
  std::vector<std::pair<std::string, Section>> all;
  if (describes()) {
    take({placeholder, doc}, "map", "");
    all.emplace_back(placeholder, Section(*reader_, nullptr, path_of(placeholder), scope_));
  }
  for (const YamlNode* member : remaining()) {
    const std::string path = path_of(member->key);
    YamlNode name;
    name.form = NodeForm::kScalar;
    name.text = member->key;
    name.at = member->key_at;
    if (!to_text(printable(path, 120), name, rule)) {
      reader_->visited_[node_].known.push_back(member->key);
      continue;
    }
    if (const auto section = this->section({member->key, doc})) all.emplace_back(member->key, *section);
  }
  return all;
}

bool Section::has(std::string_view name) const { return describes() || (node_ != nullptr && node_->find(name) != nullptr); }

bool Section::may_be_map(std::string_view name) const {
  const YamlNode* node = node_ == nullptr ? nullptr : node_->find(name);
  return describes() || (node != nullptr && node->form == NodeForm::kMap);
}

bool Section::may_be_word(std::string_view name) const { return describes() || !may_be_map(name); }

bool Section::overridden(std::string_view name) const {
  const YamlNode* node = node_ == nullptr ? nullptr : node_->find(name);
  return node != nullptr && reader_->found_.sources().at(node->key_at.source).kind == SourceKind::kCommandLine;
}

void Section::error(std::string message, std::string hint) const {
  if (node_ != nullptr)
    reader_->found_.add(node_->key_at, std::move(message), std::move(hint));
  else
    reader_->error_at(path_, std::move(message), std::move(hint));
}

void Section::error_at(std::string_view name, std::string message, std::string hint) const {
  reader_->error_at(path_of(name), std::move(message), std::move(hint));
}

void Section::error_at_path(const std::string& path, std::string message, std::string hint) const {
  reader_->error_at(path, std::move(message), std::move(hint));
}

void Section::error_at_item(std::string_view name, std::size_t index, std::string message, std::string hint) const {
  reader_->error_at(item_path(path_of(name), index), std::move(message), std::move(hint));
}

void Section::ignore(std::string_view name) {
  if (node_ != nullptr) reader_->visited_[node_].known.emplace_back(name);
}

}  // namespace sutura
