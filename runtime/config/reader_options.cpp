// Options of layers and ready networks: whatever keys are left, in the five forms that an Option may have.
#include <variant>

#include "runtime/config/reader.h"
#include "runtime/config/scalar.h"

namespace sutura {
namespace {

struct OptionText {
  std::string operator()(std::int64_t v) const { return std::to_string(v); }
  std::string operator()(double v) const {
    const std::string text = number_text(v);
    return parse_integer(text) ? text + ".0" : text;  // 2.0 and 2 are different options
  }
  std::string operator()(const std::string& v) const { return quoted_text(v); }
  template <class T>
  std::string operator()(const std::vector<T>& values) const {
    std::vector<std::string> all;
    for (const T value : values) all.push_back((*this)(value));
    return list_text(all);
  }
};

}  // namespace

std::optional<Option> Section::to_option(const std::string& path, const YamlNode& node) const {
  if (node.form == NodeForm::kBroken) return std::nullopt;
  if (node.form == NodeForm::kScalar) {
    if (node.quoting == Quoting::kQuoted) return Option(node.text);
    switch (scalar_kind(node.text)) {
      case ScalarKind::kInteger:
        if (const auto value = to_integer(path, node, {INT64_MIN, INT64_MAX})) return Option(*value);
        return std::nullopt;
      case ScalarKind::kNumber:
        if (const auto value = to_number(path, node, {})) return Option(*value);
        return std::nullopt;
      case ScalarKind::kFlag: return Option(node.text);
      case ScalarKind::kText: break;
    }
    // `010`, `.inf` or `yes` as an option is a slip, never a word.
    const std::string hint = scalar_hint(node.text);
    if (hint.empty()) return Option(node.text);
    wrong(path, node, "a number or a word", hint);
    return std::nullopt;
  }
  if (node.form != NodeForm::kList || node.children.empty()) {
    wrong(path, node, "a number, a word or a list of numbers");
    return std::nullopt;
  }
  std::vector<double> numbers;
  std::vector<std::int64_t> integers;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    const YamlNode& item = node.children[i];
    const auto value = to_number(item_path(path, i), item, {});
    if (!value) return std::nullopt;
    numbers.push_back(*value);
    if (const auto whole = parse_integer(item.text)) integers.push_back(*whole);
  }
  if (integers.size() == numbers.size()) return Option(std::move(integers));
  return Option(std::move(numbers));
}

void Section::options(std::string_view doc, Options& into) {
  if (describes()) take({"OPTION", doc}, "number, word or list of numbers", "(none)");
  for (const YamlNode* member : remaining()) {
    const Key key{member->key, doc};
    const YamlNode* node = take(key, "number, word or list of numbers", "");
    if (node == nullptr) continue;
    const auto option = to_option(path_of(key.name), *node);
    if (!option) continue;
    record(key, std::visit(OptionText{}, *option), node);
    into.emplace(member->key, *option);
  }
}

}  // namespace sutura
