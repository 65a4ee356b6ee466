#pragma once
#include <cstdint>
#include <functional>
#include <optional>

#include "runtime/engine/decisions.h"
#include "runtime/engine/executor.h"
#include "runtime/engine/session.h"

namespace sutura {

/// Who takes part in each round. The server decides at the start of a round, by what the study's schedule.participation says,
/// and tells everybody; the others follow. Every decision is recorded, so that a replay repeats it.
class Rounds {
 public:
  /// `reception`: the server's; nullptr elsewhere. `stop_requested` is polled while waiting for sites.
  Rounds(Executor& executor, Reception* reception, std::function<bool()> stop_requested)
      : executor_(executor), reception_(reception), stop_requested_(std::move(stop_requested)) {}
  /// Called at the server when a site joined at the start of a round; without a lane where a single party came back.
  std::function<void(std::optional<std::uint32_t> lane)> on_joined;

  /// Begins a round not before `next`; returns its number (a site that joins late begins with a later one).
  /// Errors: kNetwork if too few sites are there when the deadline has passed, or a site left and the study says stop.
  std::int64_t begin(std::int64_t next);
  /// Between steps: ends the run if a site has left and schedule.participation.on_leave says stop.
  void after_step();

 private:
  void decide(std::int64_t round);
  void open(std::int64_t round);
  void admit(const std::string& name, std::int64_t round);
  void tell(std::int64_t round);
  std::int64_t follow(std::int64_t next);
  /// Sites and parties of the server's session that are not there.
  std::vector<std::string> absent() const;

  Executor& executor_;
  Reception* reception_;
  std::function<bool()> stop_requested_;
  bool opened_ = false;
};

}  // namespace sutura
