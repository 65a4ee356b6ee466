#include "runtime/config/diagnostics.h"

#include <algorithm>

#include "core/error.h"
#include "runtime/config/utf8.h"

namespace sutura {
namespace {

constexpr std::size_t kMostFindings = 100;
constexpr int kShownCharacters = 110;  // of a long line, around the caret

/// The source line and the caret below it. Tabs and control characters become one cell each, so that both lines agree.
std::string line_and_caret(std::string_view line, int column) {
  std::string shown, padding;
  const int first = column > kShownCharacters - 20 ? column - kShownCharacters / 2 : 1;
  int at = 1;
  for (std::size_t i = 0; i < line.size() && at < first + kShownCharacters; ++at) {
    const Utf8Character c = utf8_at(line, i);
    const std::size_t bytes = std::max<std::size_t>(1, c.bytes);
    if (at >= first) {
      const bool plain = c.bytes > 0 && c.code >= 0x20 && c.code != 0x7f;
      shown += plain ? std::string(line.substr(i, bytes)) : std::string(c.code == '\t' ? " " : "?");
      if (at < column) padding.append(static_cast<std::size_t>(plain ? display_cells(c.code) : 1), ' ');
    }
    i += bytes;
  }
  return "  " + shown + "\n  " + padding + "^\n";
}

}  // namespace

int Sources::add(Source source) {
  sources_.push_back(std::move(source));
  return static_cast<int>(sources_.size()) - 1;
}

void Sources::set_lines(int index, std::string_view text) {
  auto& lines = sources_.at(static_cast<std::size_t>(index)).lines;
  lines.clear();
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    lines.emplace_back(line);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

std::string Sources::place(Position at) const {
  if (at.source < 0) return "study";
  const Source& source = this->at(at.source);
  if (source.kind == SourceKind::kCommandLine || at.line <= 0) return source.name;
  return source.name + ":" + std::to_string(at.line) + ":" + std::to_string(at.column);
}

std::string Sources::render(Position at, std::string_view message, std::string_view hint) const {
  std::string text = place(at) + ": error: " + std::string(message) + "\n";
  if (at.source >= 0 && at.line > 0 && static_cast<std::size_t>(at.line) <= this->at(at.source).lines.size()) {
    const std::string& line = this->at(at.source).lines[static_cast<std::size_t>(at.line) - 1];
    // Someone may have pasted the key itself where its path belongs.
    if (line.find("secret_key") == std::string::npos) text += line_and_caret(line, at.column);
  }
  if (!hint.empty()) text.append("  hint: ").append(hint).append("\n");
  return text;
}

void Diagnostics::add(Position at, std::string message, std::string hint) {
  findings_.push_back({at, std::move(message), std::move(hint)});
}

void Diagnostics::stop(Position at, std::string message, std::string hint) {
  add(at, std::move(message), std::move(hint));
  throw Error(Errc::kConfig, report());
}

void Diagnostics::throw_if_any() const {
  if (!findings_.empty()) throw Error(Errc::kConfig, report());
}

std::string Diagnostics::report() const {
  std::vector<const Finding*> sorted;
  for (const Finding& finding : findings_) sorted.push_back(&finding);
  std::stable_sort(sorted.begin(), sorted.end(), [](const Finding* a, const Finding* b) { return a->at < b->at; });
  std::string text;
  for (std::size_t i = 0; i < std::min(sorted.size(), kMostFindings); ++i)
    text += sources_.render(sorted[i]->at, sorted[i]->message, sorted[i]->hint);
  if (sorted.size() > kMostFindings) text += "and " + std::to_string(sorted.size() - kMostFindings) + " more errors\n";
  if (!text.empty()) text.pop_back();
  return text;
}

}  // namespace sutura
