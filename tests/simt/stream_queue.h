#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>

namespace sutura::simt {

/// The work of one stream, in order. With work_late() it is done at some time between its issue and the moment that somebody waits
/// for it: at once, at random or as late as possible. A wait that is missing between two streams is then seen. A thread's first and
/// second stream have each pair of these habits for some seed of 1 to 9.
/// Threads: that of its stream alone.
class StreamQueue {
 public:
  static std::shared_ptr<StreamQueue> make();
  /// Does the work of every stream of this thread that is left, and reports nothing: before memory is given back.
  static void finish_all() noexcept;

  /// Does the work now or later. Errors: what it threw if it was done, which ends the queue.
  void add(std::function<void()> work);
  void run_until(std::uint64_t after);  ///< the first `after` pieces are done. Errors: as add()
  void run_all() { run_until(added_); }
  void finish() noexcept;
  std::uint64_t added() const { return added_; }
  /// Why nothing runs any more; empty: it does.
  const std::string& failure() const { return failure_; }
  void fail(const std::string& why) { failure_ = why; }

 private:
  enum class Habit : std::uint8_t { kAtOnce, kSometimes, kLast };
  std::deque<std::function<void()>> left_;
  std::uint64_t added_ = 0, done_ = 0;
  Habit habit_ = Habit::kAtOnce;
  std::minstd_rand random_;
  std::string failure_;
};

}  // namespace sutura::simt
