#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

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
  /// A site has joined after the first round and knows that the round begins: called at the server, and at that site. Without
  /// a lane (server): a single party came back.
  std::function<void(std::optional<std::uint32_t> lane, std::int64_t round)> on_joined;

  /// Begins a round not before `next`; returns its number (a site that joins late begins with a later one).
  /// Errors: RunEnded (kNetwork) if too few sites are there when the deadline has passed.
  std::int64_t begin(std::int64_t next);
  /// Between steps: ends the run (RunEnded) if a site has left and schedule.participation.on_leave says stop.
  void after_step();

 private:
  void decide(std::int64_t round);
  void open();
  void gather();
  void gather_again();
  void wait_a_little();
  void admit(const std::string& name);
  void tell(std::int64_t round);
  std::int64_t follow(std::int64_t next);
  /// Sites and parties of the server's session that are not there.
  std::vector<std::string> absent() const;
  /// Those of them that were in the run: schedule.participation.on_leave: wait is about these.
  std::vector<std::string> left() const;
  void record(const std::string& event, const std::string& who, const std::string& reason);
  [[noreturn]] void end(const std::string& who, const std::string& why);

  Executor& executor_;
  Reception* reception_;
  std::function<bool()> stop_requested_;
  bool begun_ = false;
  std::int64_t round_ = 0;
  std::set<std::string> unseen_;          ///< were not there when the run began, and are not yet
  std::vector<std::uint32_t> newcomers_;  ///< server: lanes that join with this round
};

}  // namespace sutura
