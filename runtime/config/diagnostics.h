#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace sutura {

/// A place in a source: line and column count from 1, columns in characters. Line 0 means the source as a whole.
struct Position {
  int source = -1;
  int line = 0;
  int column = 0;
  auto operator<=>(const Position&) const = default;
};

enum class SourceKind { kFile, kCommandLine };

/// A text that was read: a file, or all overrides of the command line (one per line).
struct Source {
  SourceKind kind = SourceKind::kFile;
  std::string name;              ///< as shown to the user
  std::filesystem::path folder;  ///< what relative paths in it are relative to
  std::vector<std::string> lines;
};

/// All texts of one load, in the order in which they were opened.
class Sources {
 public:
  int add(Source source);
  void set_lines(int index, std::string_view text);
  const Source& at(int index) const { return sources_.at(static_cast<std::size_t>(index)); }
  /// "study.yaml:14:3", "study.yaml" for line 0, "command line".
  std::string place(Position at) const;
  /// One finding as a compiler prints it: place, message, the source line, a caret, a hint.
  std::string render(Position at, std::string_view message, std::string_view hint) const;

 private:
  std::vector<Source> sources_;
};

/// Collects the findings of one load, so that the user sees all of them at once.
class Diagnostics {
 public:
  Sources& sources() { return sources_; }
  const Sources& sources() const { return sources_; }
  void add(Position at, std::string message, std::string hint = {});
  /// For what makes reading on pointless. Errors: always kConfig, with all findings so far.
  [[noreturn]] void stop(Position at, std::string message, std::string hint = {});
  /// Errors: kConfig with the whole report if anything was found.
  void throw_if_any() const;
  bool empty() const { return findings_.empty(); }
  /// All findings by source, line and column; after 100 only their number.
  std::string report() const;

 private:
  struct Finding {
    Position at;
    std::string message;
    std::string hint;
  };
  Sources sources_;
  std::vector<Finding> findings_;
};

}  // namespace sutura
