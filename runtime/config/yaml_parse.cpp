// One pass over yaml-cpp's events into our own tree. yaml-cpp's own Node keeps the first of duplicate keys, expands
// aliases when walked, decodes UTF-16 and reads 010 as 8; none of that is wanted here.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <array>
#include <map>
#include <sstream>

#include "runtime/config/scalar.h"
#include "runtime/config/utf8.h"
#include "runtime/config/yaml_tree.h"

namespace sutura {
namespace {

constexpr std::string_view kCore = "tag:yaml.org,2002:";

void check_characters(std::string_view text, int source, Diagnostics& found) {
  const Position whole{source, 0, 0};
  const auto starts = [&](std::string_view prefix) { return text.starts_with(prefix); };
  if (starts("\xEF\xBB\xBF")) found.stop(whole, "the file begins with a byte order mark", "save it as UTF-8 without BOM");
  if (starts("\xFF\xFE") || starts("\xFE\xFF") || starts(std::string_view("\0\0\xFE\xFF", 4)))
    found.stop(whole, "the file is UTF-16 or UTF-32", "save it as UTF-8");
  int line = 1, column = 1;
  bool indentation = true;
  for (std::size_t i = 0; i < text.size();) {
    const Utf8Character c = utf8_at(text, i);
    const Position here{source, line, column};
    if (c.bytes == 0) found.stop(here, "this is not UTF-8 text", "save the file as UTF-8");
    if (c.code == '\t' && indentation) found.stop(here, "a tab is used as indentation", "indent with spaces");
    const bool line_end = c.code == '\n' || (c.code == '\r' && i + 1 < text.size() && text[i + 1] == '\n');
    if ((c.code < 0x20 && c.code != '\t' && !line_end) || (c.code >= 0x7f && c.code < 0xa0) || c.code == 0xfeff)
      found.stop(here, "a control character stands in the text", "is this a text file?");
    if (c.code != ' ') indentation = c.code == '\n';
    column = c.code == '\n' ? 1 : column + 1;
    line += c.code == '\n' ? 1 : 0;
    i += c.bytes;
  }
}

class TreeBuilder : public YAML::EventHandler {
 public:
  TreeBuilder(std::string_view text, int source, const YamlLimits& limits, int& nodes_left, Diagnostics& found)
      : text_(text), source_(source), limits_(limits), nodes_left_(nodes_left), found_(found) {}

  int documents() const { return documents_; }
  YamlNode take_root() { return std::move(root_); }
  Position position(const YAML::Mark& mark) const {
    if (mark.is_null()) return {source_, 0, 0};
    const auto& lines = found_.sources().at(source_).lines;
    const auto row = static_cast<std::size_t>(mark.line);
    const std::string_view line = row < lines.size() ? std::string_view(lines[row]) : std::string_view();
    return {source_, mark.line + 1, character_column(line, static_cast<std::size_t>(mark.column))};
  }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) found_.stop(position(mark), "a second document begins here", "a study is one YAML document");
  }
  void OnDocumentEnd() override {}

  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    YamlNode node = make(NodeForm::kNull, mark, "?", anchor);
    // yaml-cpp gives an empty value the place of whatever comes next; the key is where the user must look.
    if (!frames_.empty() && frames_.back().has_key) node.at = frames_.back().key_at;
    close(std::move(node));
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    found_.add(position(mark), "aliases are not allowed", "write the value out, or put it into a file of its own and include it");
    close(make(NodeForm::kBroken, mark, "?", 0));
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, const std::string& value) override {
    YamlNode node = make(NodeForm::kScalar, mark, tag, anchor);
    node.quoting = tag == "!" || tag == std::string(kCore) + "str" ? Quoting::kQuoted : Quoting::kPlain;
    node.text = value;
    check_closed(mark, node.at);
    close(std::move(node));
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(make(NodeForm::kList, mark, tag, anchor));
  }
  void OnSequenceEnd() override { leave(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor, YAML::EmitterStyle::value) override {
    open(make(NodeForm::kMap, mark, tag, anchor));
  }
  void OnMapEnd() override { leave(); }

 private:
  struct Frame {
    YamlNode node;
    std::map<std::string, Position, std::less<>> seen;
    bool has_key = false;  // the next node closed inside a map is the value of `key`
    bool keep = true;      // false: the key was reported, its value is dropped
    std::string key;
    Position key_at;
  };

  YamlNode make(NodeForm form, const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor) {
    YamlNode node;
    node.form = form;
    node.at = position(mark);
    if (--nodes_left_ < 0)
      found_.stop(node.at, "the study holds more than " + std::to_string(limits_.nodes) + " values", "is this the right file?");
    if (anchor != 0) found_.add(node.at, "anchors are not allowed", "write the value out where it is needed");
    static constexpr std::array<std::string_view, 7> kTags{"str", "int", "float", "bool", "null", "seq", "map"};
    const bool core = tag.starts_with(kCore) &&
                      std::find(kTags.begin(), kTags.end(), std::string_view(tag).substr(kCore.size())) != kTags.end();
    if (!tag.empty() && tag != "?" && tag != "!" && !core)
      found_.add(node.at, "the tag " + printable(tag) + " is not allowed", "plain YAML values need no tags");
    return node;
  }

  /// yaml-cpp takes a quoted text that runs to the end of the file for complete.
  void check_closed(const YAML::Mark& mark, Position at) {
    const auto start = static_cast<std::size_t>(mark.pos);
    if (start >= text_.size() || (text_[start] != '"' && text_[start] != '\'')) return;
    for (std::size_t i = start + 1; i < text_.size(); ++i) {
      if (text_[start] == '"' && text_[i] == '\\')
        ++i;
      else if (text_[i] == text_[start])
        return;
    }
    found_.stop(at, "the quotes that open here are never closed");
  }

  std::string path() const {
    std::string text;
    for (const Frame& frame : frames_) {
      if (frame.node.form == NodeForm::kList)
        text = item_path(text, frame.node.children.size());
      else if (frame.has_key)
        text = member_path(text, frame.key);
    }
    return text;
  }

  void open(YamlNode node) {
    if (static_cast<int>(frames_.size()) >= limits_.depth)
      found_.stop(node.at, "lists and maps are nested more than " + std::to_string(limits_.depth) + " deep");
    Frame frame;
    frame.node = std::move(node);
    frames_.push_back(std::move(frame));
  }
  void leave() {
    YamlNode node = std::move(frames_.back().node);
    frames_.pop_back();
    close(std::move(node));
  }

  void close(YamlNode node) {
    if (frames_.empty()) {
      root_ = std::move(node);
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.form == NodeForm::kList) {
      node.key_at = node.at;
      frame.node.children.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, std::move(node));
    } else {
      node.key = frame.key;
      node.key_at = frame.key_at;
      if (frame.keep) frame.node.children.push_back(std::move(node));
      frame.has_key = false;
    }
  }

  void take_key(Frame& frame, YamlNode node) {
    const std::string where = path();
    frame.has_key = true;
    frame.keep = false;
    frame.key = node.text;
    frame.key_at = node.at;
    if (node.form == NodeForm::kBroken) return;
    if (node.form != NodeForm::kScalar || (node.quoting == Quoting::kPlain && scalar_kind(node.text) != ScalarKind::kText)) {
      found_.add(node.at, "this key is not a text" + (where.empty() ? "" : " (in " + where + ")"),
                 node.form == NodeForm::kScalar ? "put it in quotes: \"" + printable(node.text) + "\"" : "");
      return;
    }
    const auto [first, fresh] = frame.seen.emplace(node.text, node.at);
    if (!fresh) {
      found_.add(node.at, "duplicate key " + printable(member_path(where, node.text), 120),
                 "it is set first in line " + std::to_string(first->second.line));
      return;
    }
    frame.keep = true;
  }

  std::string_view text_;
  int source_;
  const YamlLimits& limits_;
  int& nodes_left_;
  Diagnostics& found_;
  int documents_ = 0;
  YamlNode root_;
  std::vector<Frame> frames_;
};

}  // namespace

YamlNode parse_yaml(std::string_view text, int source, const YamlLimits& limits, int& nodes_left, Diagnostics& found) {
  check_characters(text, source, found);
  TreeBuilder builder(text, source, limits, nodes_left, found);
  std::istringstream stream{std::string(text)};
  try {
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {}
  } catch (const YAML::Exception& e) {
    found.stop(builder.position(e.mark), "not valid YAML: " + e.msg);
  }
  return builder.take_root();
}

}  // namespace sutura
