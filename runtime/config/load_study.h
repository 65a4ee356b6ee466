#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/bytes.h"
#include "runtime/config/diagnostics.h"
#include "runtime/config/resolved.h"
#include "runtime/config/study.h"

namespace sutura {

/// A study, every key of it with its origin, and the texts it was read from.
struct LoadedStudy {
  StudyConfig config;
  std::vector<OriginLine> resolved;        ///< every key that counts, in reading order
  std::map<std::string, Position> places;  ///< every key that stands in a file or on the command line, by dotted path
  Sources sources;

  /// "study.yaml:14:3" of a dotted path such as network.layers[3].kernel, or of its nearest parent that was written down;
  /// "command line" for overrides; the study file itself when nothing is known.
  std::string place(std::string_view key) const;
  /// A finding at `key` as load_study prints its own: for checks that need more than the file, such as building the network.
  std::string finding(std::string_view key, std::string_view message, std::string_view hint = {}) const;
};

/// Reads a study file with its includes and the overrides ("training.epochs=3") of the command line.
/// Files named in the study are not opened. Relative paths are taken from the file that names them, from the working
/// directory for overrides; ${NAME} in a path is taken from the environment.
/// Errors: one kConfig whose text is the whole report: every finding with file, line, column, caret and hint.
LoadedStudy load_study(const std::filesystem::path& path, const std::vector<std::string>& overrides = {});

/// The part of a study that all parties must agree on: sorted "key = value" lines of all shared keys.
std::string canonical_plan(const LoadedStudy& study);
/// BLAKE2b-256 of canonical_plan.
Digest plan_digest(const LoadedStudy& study);
/// Every key with value and origin, for --print-config: "training.epochs = 3  # study.yaml:14:3".
std::string print_config(const LoadedStudy& study);

/// A key on which two plans differ; nothing on the side where it is not set.
struct PlanDifference {
  std::string key;
  std::optional<std::string> first, second;
  bool operator==(const PlanDifference&) const = default;
};
/// The first difference in the order of keys; nothing when the plans agree. The texts may come from a peer: any text is
/// taken, and values are made printable and short.
std::optional<PlanDifference> first_difference(std::string_view first, std::string_view second);
/// "study.yaml:14:3: plan differs: training.batch_size is 64 here and 32 at the server"; empty when the plans agree.
std::string explain_difference(const LoadedStudy& here, std::string_view other_plan, std::string_view other_party);

}  // namespace sutura
