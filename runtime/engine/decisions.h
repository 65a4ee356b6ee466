#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace sutura {

/// Something that the schedule left to what happens: who left, was missing, came back, was waited for. With the place in
/// the run, so that the same run can be had again.
struct Decision {
  std::string event;  ///< "left", "missing", "joined", "absent", "stopped", "waited"
  std::string who;    ///< site or party
  std::int64_t round = 0;
  std::uint64_t step = 0;  ///< Step::id
  int turn = -1;           ///< of the deciding party's program; -1: between steps
  int part = -1;           ///< index in Step::parts; between steps index in Plan::weights, -1: no weights
  int instruction = -1;    ///< index in the turn; between steps which exchange (Between)
  std::string reason;      ///< in words; never data
  Errc code = Errc::kNetwork;
};

/// The decisions of a run in order, in a file of one JSON object a line (decisions.jsonl) or in memory.
/// Threads: one.
class Decisions {
 public:
  Decisions() = default;  ///< in memory
  /// Appends to `file`, which is created; a line is on disk when add() returns. Errors: kResources.
  explicit Decisions(const std::filesystem::path& file);
  /// What `file` recorded is to happen again: departures come from there, and silence decides nothing.
  /// Errors: kData naming the line.
  void repeat(const std::filesystem::path& file);
  void repeat(std::vector<Decision> recorded);

  void add(const Decision& decision);
  std::function<void(const Decision&)> on_added;  ///< may watch
  /// A recorded departure ("left", "missing") of `who` at exactly this place.
  std::optional<Decision> due(const std::string& who, std::uint64_t step, int turn, int part, int instruction) const;
  bool repeating() const { return repeated_.has_value(); }
  const std::vector<Decision>& all() const { return all_; }
  /// What repeat() was given, in order.
  const std::vector<Decision>& recorded() const { return *repeated_; }

 private:
  std::optional<DurableLog> log_;
  std::vector<Decision> all_;
  std::optional<std::vector<Decision>> repeated_;
};

/// The decisions in a file; a last line that was cut off by a crash is left out. Errors: kData naming the line.
std::vector<Decision> read_decisions(const std::filesystem::path& file);

}  // namespace sutura
