#pragma once
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "runtime/engine/study_run.h"

namespace sutura {

/// Progress of a run on stderr: one line that rewrites itself on a terminal, one plain line per epoch otherwise.
/// Loss, AUC, samples/s, bytes, epsilon used and time left. Threads: one.
class Progress {
 public:
  enum class Style { kAuto, kOff };
  /// `party`: whose progress this is; one without the loss cannot show it.
  Progress(const Prepared& prepared, int party, std::int64_t total_steps, Style style);
  ~Progress();
  void step(const Step& step, const StepResult& result);
  void epoch(const EpochRecord& record);
  /// Who joined later, left, or was waited for.
  void decision(const Decision& decision);

 private:
  void clear_line();
  std::int64_t epochs_;
  std::int64_t total_steps_;
  Style style_;
  bool holds_loss_;
  bool terminal_;
  std::optional<double> loss_;  ///< of the last training step that ended
  bool line_open_ = false;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::chrono::steady_clock::time_point shown_{};
};

/// result_text() and the run's folder, on stdout.
void print_result(const Prepared& prepared, const PartyResult& result, const std::string& instance, const std::string& folder);
/// One JSON object on stdout.
void print_json(const std::string& text);

/// SIGINT and SIGTERM raise a flag from here on; a second signal ends the process at once (exit 130).
void watch_stop_signals();
bool stop_requested();

/// Runs `action` on a thread of its own `grace` after a stop was requested, unless this object is gone by then: to wake a
/// party that still waits for a peer and so cannot finish its step. Declare it after what `action` touches.
class StopWatcher {
 public:
  StopWatcher(std::chrono::milliseconds grace, std::function<void()> action);

 private:
  std::jthread thread_;
};

/// Runs a program's body: prints errors on stderr and returns the documented exit status.
int run_program(const std::function<int()>& body);

}  // namespace sutura
