#include "stream_queue.h"

#include <atomic>
#include <utility>
#include <vector>

#include "core/error.h"
#include "executor.h"

namespace sutura::simt {
namespace {

std::atomic<std::uint32_t> lateness{0};  // the seed, 0: work is done when it is issued

/// How many streams this thread has made since the seed was set.
std::uint32_t next_stream(std::uint32_t seed) {
  thread_local std::uint32_t of_seed = 0, made = 0;
  if (std::exchange(of_seed, seed) != seed) made = 0;
  return made++;
}

std::vector<std::weak_ptr<StreamQueue>>& of_this_thread() {
  thread_local std::vector<std::weak_ptr<StreamQueue>> queues;
  return queues;
}

}  // namespace

void work_late(std::uint32_t seed) { lateness = seed; }

std::shared_ptr<StreamQueue> StreamQueue::make() {
  auto queue = std::make_shared<StreamQueue>();
  if (const std::uint32_t seed = lateness; seed != 0) {
    const std::uint32_t stream = next_stream(seed);
    queue->random_.seed(seed * 1000 + stream);
    queue->habit_ = static_cast<Habit>((stream % 2 == 0 ? seed : seed / 3) % 3);
  }
  std::erase_if(of_this_thread(), [](const auto& q) { return q.expired(); });
  of_this_thread().push_back(queue);
  return queue;
}

void StreamQueue::finish_all() noexcept {
  for (const auto& queue : of_this_thread())
    if (const auto living = queue.lock()) living->finish();
}

void StreamQueue::finish() noexcept {
  try {
    run_all();
  } catch (const Error&) {  // failure() says so
  }
}

void StreamQueue::add(std::function<void()> work) {
  left_.push_back(std::move(work));
  ++added_;
  if (habit_ == Habit::kAtOnce || (habit_ == Habit::kSometimes && random_() / 7 % 8 == 0)) run_all();
}

void StreamQueue::run_until(std::uint64_t after) {
  while (done_ < after && failure_.empty()) {
    const auto work = std::move(left_.front());
    left_.pop_front();
    ++done_;
    try {
      work();
    } catch (const Error& e) {
      failure_ = e.what();
      throw;
    }
  }
  if (failure_.empty()) return;
  left_.clear();
  done_ = added_;
}

}  // namespace sutura::simt
