#pragma once
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "models/registry.h"
#include "runtime/config/diagnostics.h"
#include "runtime/config/resolved.h"
#include "runtime/config/yaml_tree.h"

namespace sutura {

enum class Need { kOptional, kRequired };

/// One key of the study file. Designated initialisers make a list of these read like the reference page they generate.
struct Key {
  std::string_view name;
  std::string_view doc;  ///< one sentence for the reference page, also the hint when a required key is missing
  Need need = Need::kOptional;
  Scope scope = Scope::kShared;  ///< a key inside a local section is local whatever this says
  std::string_view unit = {};
  std::string_view otherwise = {};  ///< reference page: the default in words, where it is computed
};

/// Only the ends that are given bind; NaN and infinity never pass.
struct NumberRange {
  std::optional<double> above = {}, at_least = {}, below = {}, at_most = {};
  bool holds(double value) const;
  std::string text() const;  ///< "> 0 and <= 0.1", "between 0 and 1"; empty without ends
};
struct IntegerRange {
  std::int64_t at_least;
  std::int64_t at_most;
  std::string text() const;
};
/// kName: 1 to 64 of letters, digits, '_', '.', '-'; kIdentifier: the same without '.'.
enum class TextRule { kAny, kNotEmpty, kName, kIdentifier };

template <class E>
struct Choice {
  std::string_view name;
  E value;
};

/// What the reference page says about a key.
struct KeyDescription {
  std::string path, type, otherwise, doc;
  Scope scope = Scope::kShared;
};

/// kDescribe visits every key of every branch without a file: that is how the reference page is made.
enum class ReadMode { kLoad, kDescribe };

class Section;

/// Pulls typed values out of a tree and notes three things on the way: findings, the resolved value and origin of every
/// key, and what each key means. Findings never stop it; call finish() and then Diagnostics::throw_if_any().
class Reader {
 public:
  Reader(ReadMode mode, const YamlNode& root, Diagnostics& found);
  Section root();
  /// Adds a finding for each key that nobody asked for.
  void finish();

  const std::vector<OriginLine>& resolved() const { return resolved_; }
  const std::vector<KeyDescription>& described() const { return described_; }
  const std::map<std::string, Position>& key_places() const { return key_places_; }
  /// Adds a finding at the value of a dotted path, or at its nearest parent that stands in the file.
  void error_at(const std::string& path, std::string message, std::string hint = {});
  /// Form of the value at a dotted path; kNull when it is not there.
  NodeForm form(const std::string& path) const;

 private:
  friend class Section;
  struct Visited {
    std::string path;
    std::vector<std::string> known;
  };
  void index(const YamlNode& node, const std::string& path);

  ReadMode mode_;
  const YamlNode& root_;
  Diagnostics& found_;
  std::vector<OriginLine> resolved_;
  std::vector<KeyDescription> described_;
  std::map<std::string, Position> key_places_, value_places_;  // by dotted path
  std::map<std::string, NodeForm> forms_;
  std::map<const YamlNode*, Visited> visited_;
};

/// One map of the file. Each getter leaves `into` as it was (the default) when the key is absent or wrong.
class Section {
 public:
  void integer(const Key& key, const IntegerRange& range, std::int64_t& into);
  void integer(const Key& key, const IntegerRange& range, int& into);
  void integer(const Key& key, const IntegerRange& range, std::uint64_t& into);
  void number(const Key& key, const NumberRange& range, double& into);
  void number(const Key& key, const NumberRange& range, std::optional<double>& into);
  void numbers(const Key& key, const NumberRange& range, std::vector<double>& into);          ///< a number or a list of numbers
  void integers(const Key& key, const IntegerRange& range, std::vector<std::int64_t>& into);  ///< a list, not empty
  void flag(const Key& key, bool& into);
  void text(const Key& key, TextRule rule, std::string& into);
  void texts(const Key& key, TextRule rule, std::vector<std::string>& into);  ///< a list of different texts
  void path(const Key& key, std::filesystem::path& into);
  template <class E, std::size_t N>
  void choice(const Key& key, const Choice<E> (&choices)[N], E& into);
  template <class E, std::size_t N>
  void choice(const Key& key, const Choice<E> (&choices)[N], std::optional<E>& into);
  /// All keys nobody has asked for so far, as options of a layer or a ready network.
  void options(std::string_view doc, Options& into);
  /// All keys nobody has asked for so far, each with a list of texts; `placeholder` stands for the key on the reference
  /// page.
  void text_lists(std::string_view placeholder, std::string_view doc, std::map<std::string, std::vector<std::string>>& into);

  /// The same with lists of integers.
  void integer_lists(std::string_view placeholder, std::string_view doc, const IntegerRange& range,
                     std::map<std::string, std::vector<std::int64_t>>& into);
  /// The same with a number each.
  void number_values(std::string_view placeholder, std::string_view doc, const NumberRange& range,
                     std::map<std::string, double>& into);

  /// A map below this one; nothing when absent.
  std::optional<Section> section(const Key& key);
  /// The same where absence means that every key in it has its default.
  Section section_or_defaults(const Key& key);
  std::vector<Section> sections(const Key& key);  ///< a list of maps
  /// All keys nobody has asked for so far, each with a map.
  std::vector<std::pair<std::string, Section>> named_sections(std::string_view placeholder, std::string_view doc, TextRule rule);

  bool has(std::string_view name) const;
  /// For keys that take a word or a map. Both hold when describing.
  bool may_be_map(std::string_view name) const;
  bool may_be_word(std::string_view name) const;
  bool is_list(std::string_view name) const { return reader_->form(path_of(name)) == NodeForm::kList; }
  bool overridden(std::string_view name) const;  ///< set on the command line
  bool describes() const { return reader_->mode_ == ReadMode::kDescribe; }
  const std::string& path() const { return path_; }
  std::string path_of(std::string_view name) const { return member_path(path_, name); }
  void error(std::string message, std::string hint = {}) const;
  void error_at(std::string_view name, std::string message, std::string hint = {}) const;
  void error_at_path(const std::string& path, std::string message, std::string hint = {}) const;  ///< a whole dotted path
  void error_at_item(std::string_view name, std::size_t index, std::string message, std::string hint = {}) const;
  /// Keeps a key that is there, but not read, from being reported as unknown.
  void ignore(std::string_view name);

 private:
  friend class Reader;
  Section(Reader& reader, const YamlNode* node, std::string path, Scope scope);
  Scope scope_of(const Key& key) const;
  /// Notes the key; returns its node, or nothing when there is nothing to convert (absent, or already a finding).
  const YamlNode* take(const Key& key, const std::string& type, const std::string& otherwise);
  void record(const Key& key, std::string value, const YamlNode* node);
  void wrong(const std::string& path, const YamlNode& node, const std::string& wanted, std::string hint = {}) const;
  std::optional<std::int64_t> to_integer(const std::string& path, const YamlNode& node, const IntegerRange& range) const;
  std::optional<double> to_number(const std::string& path, const YamlNode& node, const NumberRange& range) const;
  std::optional<std::string> to_text(const std::string& path, const YamlNode& node, TextRule rule) const;
  std::vector<std::string> to_texts(const std::string& path, const YamlNode& node, TextRule rule) const;
  std::optional<Option> to_option(const std::string& path, const YamlNode& node) const;
  std::optional<std::size_t> pick(const Key& key, const std::vector<std::string>& names, std::optional<std::size_t> otherwise);
  std::vector<const YamlNode*> remaining() const;

  Reader* reader_;
  const YamlNode* node_;  // null: absent, or describing
  std::string path_;
  Scope scope_;
};

template <class E, std::size_t N>
void Section::choice(const Key& key, const Choice<E> (&choices)[N], std::optional<E>& into) {
  std::vector<std::string> names;
  std::optional<std::size_t> otherwise;
  for (const Choice<E>& c : choices) {
    if (into == c.value) otherwise = names.size();
    names.emplace_back(c.name);
  }
  if (const auto picked = pick(key, names, otherwise)) into = choices[*picked].value;
}

template <class E, std::size_t N>
void Section::choice(const Key& key, const Choice<E> (&choices)[N], E& into) {
  std::optional<E> value = into;
  choice(key, choices, value);
  into = *value;
}

}  // namespace sutura
