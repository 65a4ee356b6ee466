// The typed getters of Section: one conversion each, and the text of what was found instead.
#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/nearest_name.h"
#include "runtime/config/reader.h"
#include "runtime/config/scalar.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

constexpr std::string_view kNone = "(none)";

std::string found_text(const YamlNode& node) {
  switch (node.form) {
    case NodeForm::kNull: return "found nothing";
    case NodeForm::kList: return "found a list";
    case NodeForm::kMap: return "found a map";
    case NodeForm::kBroken: return "found something else";
    case NodeForm::kScalar: break;
  }
  if (node.quoting == Quoting::kQuoted) return "found the text \"" + printable(node.text) + "\"";
  switch (scalar_kind(node.text)) {
    case ScalarKind::kText: return "found the text " + printable(node.text);
    case ScalarKind::kFlag: return "found the boolean " + node.text;
    case ScalarKind::kInteger: return "found the integer " + printable(node.text);
    case ScalarKind::kNumber: return "found the number " + printable(node.text);
  }
  return "found something else";
}

bool plain(const YamlNode& node) { return node.form == NodeForm::kScalar && node.quoting == Quoting::kPlain; }

/// The hint for a scalar that is not of the wanted kind.
std::string kind_hint(const YamlNode& node) {
  if (node.form != NodeForm::kScalar) return {};
  if (node.quoting == Quoting::kQuoted) return scalar_kind(node.text) == ScalarKind::kText ? "" : "leave out the quotes";
  return scalar_hint(node.text);
}

std::string rule_text(TextRule rule) {
  switch (rule) {
    case TextRule::kAny: return "text";
    case TextRule::kNotEmpty: return "text, not empty";
    case TextRule::kName: return "name";
    case TextRule::kIdentifier: return "name, no dots";
  }
  return "text";
}

bool follows(TextRule rule, const std::string& text) {
  if (rule == TextRule::kAny) return true;
  if (rule == TextRule::kNotEmpty) return text.find_first_not_of(" \t\r\n") != std::string::npos;
  // Names become names of files and folders: never "." or "..".
  if (text.find_first_not_of('.') == std::string::npos) return false;
  return text.size() <= 64 && std::all_of(text.begin(), text.end(), [rule](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
                  (c == '.' && rule == TextRule::kName);
         });
}

std::string joined(const std::vector<std::string>& names, std::string_view quote) {
  std::string all;
  for (const std::string& name : names) all.append(all.empty() ? "" : ", ").append(quote).append(name).append(quote);
  return all;
}

}  // namespace

bool NumberRange::holds(double value) const {
  return std::isfinite(value) && !(above && value <= *above) && !(at_least && value < *at_least) && !(below && value >= *below) &&
         !(at_most && value > *at_most);
}

std::string NumberRange::text() const {
  if (at_least && at_most) return "between " + number_text(*at_least) + " and " + number_text(*at_most);
  std::string low, high;
  if (above) low = "> " + number_text(*above);
  if (at_least) low = ">= " + number_text(*at_least);
  if (below) high = "< " + number_text(*below);
  if (at_most) high = "<= " + number_text(*at_most);
  return low + (low.empty() || high.empty() ? "" : " and ") + high;
}

std::string IntegerRange::text() const {
  if (at_most == INT64_MAX) return ">= " + std::to_string(at_least);
  return "between " + std::to_string(at_least) + " and " + std::to_string(at_most);
}

void Section::wrong(const std::string& path, const YamlNode& node, const std::string& wanted, std::string hint) const {
  reader_->found_.add(node.at, printable(path, 120) + " must be " + wanted + " (" + found_text(node) + ")", std::move(hint));
}

std::optional<std::int64_t> Section::to_integer(const std::string& path, const YamlNode& node, const IntegerRange& range) const {
  if (!plain(node) || scalar_kind(node.text) != ScalarKind::kInteger) {
    std::string hint = kind_hint(node);
    if (plain(node) && hint.empty())
      if (const auto value = parse_number(node.text); value && *value == std::floor(*value) && std::abs(*value) < 1e15)
        hint = "write " + std::to_string(static_cast<std::int64_t>(*value));
    wrong(path, node, "an integer", hint);
    return std::nullopt;
  }
  const auto value = parse_integer(node.text);
  if (value && *value >= range.at_least && *value <= range.at_most) return value;
  reader_->found_.add(node.at, path + " must be " + range.text() + " (got " + printable(node.text) + ")");
  return std::nullopt;
}

std::optional<double> Section::to_number(const std::string& path, const YamlNode& node, const NumberRange& range) const {
  const ScalarKind kind = plain(node) ? scalar_kind(node.text) : ScalarKind::kText;
  if (kind != ScalarKind::kInteger && kind != ScalarKind::kNumber) {
    wrong(path, node, "a number", kind_hint(node));
    return std::nullopt;
  }
  const auto value = parse_number(node.text);
  if (!value) {
    wrong(path, node, "a number that a double can hold");
    return std::nullopt;
  }
  if (range.holds(*value)) return value;
  reader_->found_.add(node.at, path + " must be " + range.text() + " (got " + printable(node.text) + ")");
  return std::nullopt;
}

std::optional<std::string> Section::to_text(const std::string& path, const YamlNode& node, TextRule rule) const {
  if (node.form != NodeForm::kScalar) {
    if (node.form != NodeForm::kBroken)
      wrong(path, node, "a text", node.form == NodeForm::kNull ? "put it in quotes if the text itself is meant" : "");
    return std::nullopt;
  }
  if (follows(rule, node.text)) return node.text;
  const bool blank = !follows(TextRule::kNotEmpty, node.text);
  reader_->found_.add(node.at, path + (blank ? " must not be empty" : " must be a name (" + found_text(node) + ")"),
                      rule == TextRule::kNotEmpty
                          ? ""
                          : "1 to 64 of letters, digits, _ and -" + std::string(rule == TextRule::kName ? " and ." : ""));
  return std::nullopt;
}

std::vector<std::string> Section::to_texts(const std::string& path, const YamlNode& node, TextRule rule) const {
  std::vector<std::string> all;
  if (node.form != NodeForm::kList) {
    wrong(path, node, "a list of texts", node.form == NodeForm::kScalar ? "write [" + printable(node.text) + "]" : "");
    return all;
  }
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const auto text = to_text(item_path(path, i), node.children[i], rule);
    if (!text) continue;
    if (std::find(all.begin(), all.end(), *text) != all.end())
      reader_->found_.add(node.children[i].at, path + " names " + printable(*text) + " twice");
    all.push_back(*text);
  }
  return all;
}

void Section::integer(const Key& key, const IntegerRange& range, std::int64_t& into) {
  const YamlNode* node = take(key, "integer, " + range.text(), std::to_string(into));
  if (node == nullptr) return;
  if (const auto value = to_integer(path_of(key.name), *node, range)) {
    into = *value;
    record(key, std::to_string(into), node);
  }
}

void Section::integer(const Key& key, const IntegerRange& range, int& into) {
  std::int64_t value = into;
  integer(key, range, value);
  into = static_cast<int>(value);
}

void Section::integer(const Key& key, const IntegerRange& range, std::uint64_t& into) {
  auto value = static_cast<std::int64_t>(into);
  integer(key, range, value);
  into = static_cast<std::uint64_t>(value);
}

void Section::number(const Key& key, const NumberRange& range, std::optional<double>& into) {
  const std::string limits = range.text();
  const YamlNode* node =
      take(key, "number" + (limits.empty() ? "" : ", " + limits), into ? number_text(*into) : std::string(kNone));
  if (node == nullptr) return;
  if (const auto value = to_number(path_of(key.name), *node, range)) {
    into = value;
    record(key, number_text(*value), node);
  }
}

void Section::number(const Key& key, const NumberRange& range, double& into) {
  std::optional<double> value = into;
  number(key, range, value);
  into = *value;
}

void Section::numbers(const Key& key, const NumberRange& range, std::vector<double>& into) {
  const std::string path = path_of(key.name), limits = range.text();
  const YamlNode* node = take(key, "number or list of numbers" + (limits.empty() ? "" : ", each " + limits),
                              into.empty() ? std::string(kNone) : numbers_text(into));
  if (node == nullptr) return;
  std::vector<double> all;
  if (node->form != NodeForm::kList) {
    if (const auto value = to_number(path, *node, range)) all.push_back(*value);
  } else {
    for (std::size_t i = 0; i < node->children.size(); ++i)
      if (const auto value = to_number(item_path(path, i), node->children[i], range)) all.push_back(*value);
    if (node->children.empty()) reader_->found_.add(node->at, path + " must hold at least one number");
  }
  into = std::move(all);
  record(key, numbers_text(into), node);
}

void Section::integers(const Key& key, const IntegerRange& range, std::vector<std::int64_t>& into) {
  const std::string path = path_of(key.name);
  const YamlNode* node =
      take(key, "list of integers, each " + range.text(), into.empty() ? std::string(kNone) : integers_text(into));
  if (node == nullptr) return;
  if (node->form != NodeForm::kList || node->children.empty()) {
    wrong(path, *node, "a list of integers");
    return;
  }
  into.clear();
  for (std::size_t i = 0; i < node->children.size(); ++i)
    if (const auto value = to_integer(item_path(path, i), node->children[i], range)) into.push_back(*value);
  record(key, integers_text(into), node);
}

void Section::flag(const Key& key, bool& into) {
  const YamlNode* node = take(key, "`true` or `false`", into ? "true" : "false");
  if (node == nullptr) return;
  if (!plain(*node) || scalar_kind(node->text) != ScalarKind::kFlag) {
    wrong(path_of(key.name), *node, "true or false", kind_hint(*node));
    return;
  }
  into = node->text == "true";
  record(key, node->text, node);
}

void Section::text(const Key& key, TextRule rule, std::string& into) {
  const YamlNode* node = take(key, rule_text(rule), into.empty() ? std::string(kNone) : quoted_text(into));
  if (node == nullptr) return;
  if (auto text = to_text(path_of(key.name), *node, rule)) {
    into = std::move(*text);
    record(key, quoted_text(into), node);
  }
}

void Section::texts(const Key& key, TextRule rule, std::vector<std::string>& into) {
  const YamlNode* node = take(key, "list: " + rule_text(rule), texts_text(into));
  if (node == nullptr) return;
  into = to_texts(path_of(key.name), *node, rule);
  record(key, texts_text(into), node);
}

std::optional<std::size_t> Section::pick(const Key& key, const std::vector<std::string>& names,
                                         std::optional<std::size_t> otherwise) {
  const std::string type = names.size() == 1 ? "`" + names[0] + "`" : "one of " + joined(names, "`");
  const YamlNode* node = take(key, type, otherwise ? names[*otherwise] : std::string(kNone));
  if (node == nullptr) return std::nullopt;
  const auto it = node->form == NodeForm::kScalar ? std::find(names.begin(), names.end(), node->text) : names.end();
  if (it == names.end()) {
    const auto near = node->form == NodeForm::kScalar ? nearest_name(node->text, names) : std::nullopt;
    wrong(path_of(key.name), *node, (names.size() == 1 ? "" : "one of ") + joined(names, ""),
          near ? "did you mean " + *near + "?" : "");
    return std::nullopt;
  }
  record(key, *it, node);
  return static_cast<std::size_t>(it - names.begin());
}

void Section::text_lists(std::string_view placeholder, std::string_view doc,
                         std::map<std::string, std::vector<std::string>>& into) {
  std::vector<std::string> unused;
  if (describes()) texts({placeholder, doc}, TextRule::kAny, unused);
  for (const YamlNode* member : remaining()) {
    std::vector<std::string> values;
    texts({member->key, doc}, TextRule::kAny, values);
    into.emplace(member->key, std::move(values));
  }
}

void Section::integer_lists(std::string_view placeholder, std::string_view doc, const IntegerRange& range,
                            std::map<std::string, std::vector<std::int64_t>>& into) {
  std::vector<std::int64_t> unused;
  if (describes()) integers({placeholder, doc}, range, unused);
  for (const YamlNode* member : remaining()) {
    std::vector<std::int64_t> values;
    integers({member->key, doc}, range, values);
    into.emplace(member->key, std::move(values));
  }
}

void Section::number_values(std::string_view placeholder, std::string_view doc, const NumberRange& range,
                            std::map<std::string, double>& into) {
  std::optional<double> unused;
  if (describes()) number({placeholder, doc}, range, unused);
  for (const YamlNode* member : remaining()) {
    std::optional<double> value;
    number({member->key, doc}, range, value);
    if (value) into.emplace(member->key, *value);
  }
}

void Section::path(const Key& key, std::filesystem::path& into) {
  const YamlNode* node = take(key, "path", into.empty() ? std::string(kNone) : quoted_text(into.string()));
  if (node == nullptr) return;
  const std::string where = path_of(key.name);
  const auto text = to_text(where, *node, TextRule::kNotEmpty);
  if (!text) return;
  std::string expanded;
  for (std::size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] != '$') {
      expanded += (*text)[i];
      continue;
    }
    const std::size_t end = text->find('}', i);
    const std::string name = text->compare(i, 2, "${") == 0 && end != std::string::npos ? text->substr(i + 2, end - i - 2) : "";
    if (!follows(TextRule::kIdentifier, name) || name.find('-') != std::string::npos)
      return reader_->found_.add(node->at, where + " holds a $ that begins no variable", "variables are written ${NAME}");
    const char* value = std::getenv(name.c_str());
    if (value == nullptr || *value == '\0')
      return reader_->found_.add(node->at, where + " uses ${" + name + "}, which is not set in the environment",
                                 "run: export " + name + "=/path/to/it");
    expanded += value;
    i = end;
  }
  const std::filesystem::path given(expanded);
  into = (given.is_absolute() ? given : reader_->found_.sources().at(node->at.source).folder / given).lexically_normal();
  record(key, quoted_text(into.string()), node);
}

}  // namespace sutura
