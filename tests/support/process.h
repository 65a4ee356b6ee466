#pragma once
#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace sutura::testing {

/// Far beyond what a working program needs, so that a broken one ends the test.
inline constexpr std::chrono::seconds kPatience{60};

/// A program under test in a process of its own. A thread collects its output, so that it never waits for a reader; it is
/// killed when the object goes away, or when the test itself dies.
/// Threads: one, the one that made it.
class Process {
 public:
  /// Starts command[0] with the rest as arguments in `folder`. Throws std::system_error if it cannot be started.
  Process(const std::vector<std::string>& command, const std::filesystem::path& folder);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  /// Waits until stdout or stderr holds `text`; false if the program ended without it, or time ran out.
  bool says(std::string_view text, std::chrono::seconds patience = kPatience);
  /// Waits for the end: its exit status, 128 + number for a signal, nothing if time ran out.
  std::optional<int> wait(std::chrono::seconds patience = kPatience);
  /// Sends a signal; does nothing after the end.
  void send_signal(int number);

  std::string out() const;
  std::string err() const;
  /// The rest of the first line of stderr that holds `mark`, after it; empty if there is none.
  std::string after(std::string_view mark) const;
  const std::string& name() const { return name_; }

 private:
  void collect(int out, int err);

  std::string name_;
  ::pid_t pid_ = -1;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string out_, err_;
  std::optional<int> status_;
  std::thread collector_;
};

}  // namespace sutura::testing
