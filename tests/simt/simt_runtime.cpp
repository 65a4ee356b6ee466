// DeviceRuntime of the host SIMT executor. Work is done when it is issued, or later with work_late(); a captured graph is a list of
// closures, which hold their arguments as they were. What CUDA refuses while a stream is captured is refused here, and ends the
// capture as there.
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "device_memory.h"
#include "executor.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_runtime.h"
#include "stream_queue.h"

using sutura::simt::StreamQueue;

struct CUstream_st {
  struct Capture {
    std::vector<std::function<void()>> work;
    bool valid = true;
  };
  std::unique_ptr<Capture> capture;
  std::shared_ptr<StreamQueue> queue = StreamQueue::make();  // outlived by whoever waits for its events
};
struct CUevent_st {
  enum class State { kNew, kRecorded, kCaptured } state = State::kNew;
  CUstream_st* stream = nullptr;
  std::shared_ptr<StreamQueue> queue;
  std::uint64_t after = 0;  // of the queue's work
  std::chrono::steady_clock::time_point at;
};

namespace sutura {

struct GraphExec {
  std::vector<std::function<void()>> work;
};

namespace simt {
namespace {

std::atomic<int> launches_until_failure{-1};
std::atomic<std::int64_t> launched{0};

/// The stream if it can still be used.
Stream usable(Stream s) {
  require(s != nullptr, Errc::kDevice, "work was issued on no stream");
  if (!s->queue->failure().empty()) throw Error(Errc::kDevice, "an earlier kernel failed: " + s->queue->failure());
  return s;
}
/// Refuses `what` while s is captured; the capture is lost.
void outside_capture(Stream s, const char* what) {
  if (s->capture == nullptr) return;
  s->capture->valid = false;
  throw Error(Errc::kDevice, std::string(what) + ": not while a stream is captured");
}

void issue(Stream s, std::function<void()> work) {
  if (usable(s)->capture != nullptr) {
    s->capture->work.push_back(std::move(work));
  } else {
    s->queue->add(std::move(work));
  }
}

std::string why_unusable() { return ""; }
std::string describe() { return "host SIMT executor"; }

Stream create_stream() { return new CUstream_st; }
void destroy_stream(Stream s) noexcept {
  s->queue->finish();
  delete s;
}
void synchronise(Stream s) {
  outside_capture(usable(s), "waiting for a stream");
  s->queue->add(check_guard_bands);
  s->queue->run_all();
  usable(s);
}

/// As CUDA's, these wait for the device.
void release_memory(void* memory) noexcept {
  StreamQueue::finish_all();
  release(memory);
}
void release_pinned_memory(void* memory) noexcept {
  StreamQueue::finish_all();
  release_pinned(memory);
}

void on_device(const void* p, std::size_t bytes, const char* what) {
  require(bytes == 0 || device_memory_around(p).holds(p, bytes), Errc::kDevice,
          std::string(what) + ": not inside an allocation on the device");
}
void on_host(Stream s, const void* p, std::size_t bytes, const char* what) {
  require(bytes == 0 || !device_memory_around(p).holds(p, 1), Errc::kDevice,
          std::string(what) + ": device memory where host memory is meant");
  if (bytes > 0 && !pinned_memory_around(p).holds(p, bytes)) outside_capture(s, what);
}
void issue_copy(Stream s, void* to, const void* from, std::size_t bytes) {
  issue(s, [=] {
    if (bytes > 0) std::memcpy(to, from, bytes);
  });
}
/// A copy with host memory that is not pinned is done when the call returns.
void settle(Stream s, const void* host, std::size_t bytes) {
  if (s->capture == nullptr && !pinned_memory_around(host).holds(host, bytes)) s->queue->run_all();
}
void copy_to_device(Stream s, void* to, const void* from, std::size_t bytes) {
  on_device(to, bytes, "copy to the device");
  on_host(usable(s), from, bytes, "copy to the device from host memory that is not pinned");
  issue_copy(s, to, from, bytes);
  settle(s, from, bytes);
}
void copy_to_host(Stream s, void* to, const void* from, std::size_t bytes) {
  on_device(from, bytes, "copy to the host");
  on_host(usable(s), to, bytes, "copy to host memory that is not pinned");
  issue_copy(s, to, from, bytes);
  settle(s, to, bytes);
}
void copy_on_device(Stream s, void* to, const void* from, std::size_t bytes) {
  on_device(from, bytes, "copy on the device");
  on_device(to, bytes, "copy on the device");
  issue_copy(s, to, from, bytes);
}
void fill(Stream s, void* to, int byte, std::size_t bytes) {
  on_device(to, bytes, "fill");
  issue(s, [=] {
    if (bytes > 0) std::memset(to, byte, bytes);
  });
}

Event create_event() { return new CUevent_st; }
void destroy_event(Event e) noexcept { delete e; }
void record(Event e, Stream s) {
  const bool captured = usable(s)->capture != nullptr;
  *e = {captured ? CUevent_st::State::kCaptured : CUevent_st::State::kRecorded, s, s->queue, s->queue->added(),
        std::chrono::steady_clock::now()};
}
void wait(Stream s, Event e) {
  using State = CUevent_st::State;
  const bool capturing = usable(s)->capture != nullptr;
  if (e->state == State::kNew) return;
  if (capturing && e->state == State::kRecorded) outside_capture(s, "waiting for an event from outside the capture");
  // CUDA would let the capture spread to this stream; nobody needs that here.
  require(e->state != State::kCaptured || e->stream == s, Errc::kDevice, "waiting for an event of a captured stream");
  if (e->queue != s->queue) s->queue->add([queue = e->queue, after = e->after] { queue->run_until(after); });
}
void wait_on_host(Event e) {
  require(e->state != CUevent_st::State::kCaptured, Errc::kDevice, "waiting for an event that was captured");
  if (e->state != CUevent_st::State::kRecorded) return;
  e->queue->run_until(e->after);
  usable(e->stream);
}
float milliseconds_between(Event begin, Event end) {
  using State = CUevent_st::State;
  require(begin->state == State::kRecorded && end->state == State::kRecorded, Errc::kDevice,
          "the time of an event that was not recorded");
  return std::chrono::duration<float, std::milli>(end->at - begin->at).count();
}

void begin_capture(Stream s) {
  outside_capture(usable(s), "a capture");
  s->capture = std::make_unique<CUstream_st::Capture>();
}
GraphExec* end_capture(Stream s) {
  require(usable(s)->capture != nullptr, Errc::kDevice, "the end of a capture that was not begun");
  const auto capture = std::exchange(s->capture, nullptr);
  require(capture->valid, Errc::kDevice, "the capture was lost by an operation that cannot be captured");
  return new GraphExec{std::move(capture->work)};
}
void abandon_capture(Stream s) noexcept { s->capture = nullptr; }
void replay(GraphExec* graph, Stream s) {
  outside_capture(usable(s), "a graph");
  for (const auto& work : graph->work) {
    if (!s->queue->failure().empty()) return;  // as after any failed kernel: the next call says so
    s->queue->add(work);
  }
}
void destroy_graph(GraphExec* graph) noexcept { delete graph; }

/// Few, so that shapes small enough for tests meet every choice of block and slices that a GPU's many make for large ones.
int multiprocessors() { return 4; }

}  // namespace

std::int64_t launches() { return launched; }

void plant_kernel_failure(int launches) { launches_until_failure = launches; }

void run(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, Stream stream, std::function<void()> body) {
  check_launch(kernel, grid, threads, shared_bytes);
  issue(stream, [=, name = std::string(kernel), body = std::move(body)] {
    ++launched;
    if (launches_until_failure >= 0 && launches_until_failure-- == 0) {
      stream->queue->fail("planted in kernel " + name);
      return;
    }
    run_now(name.c_str(), grid, threads, shared_bytes, body);
  });
}

extern const DeviceRuntime runtime;
const DeviceRuntime runtime = {
    .name = "host SIMT executor",
    .why_unusable = why_unusable,
    .describe = describe,
    .allocate = allocate,
    .release = release_memory,
    .allocate_pinned = allocate_pinned,
    .release_pinned = release_pinned_memory,
    .free_bytes = free_bytes,
    .create_stream = create_stream,
    .destroy_stream = destroy_stream,
    .synchronise = synchronise,
    .copy_to_device = copy_to_device,
    .copy_to_host = copy_to_host,
    .copy_on_device = copy_on_device,
    .fill = fill,
    .create_event = create_event,
    .destroy_event = destroy_event,
    .record = record,
    .wait = wait,
    .wait_on_host = wait_on_host,
    .milliseconds_between = milliseconds_between,
    .begin_capture = begin_capture,
    .end_capture = end_capture,
    .abandon_capture = abandon_capture,
    .replay = replay,
    .destroy_graph = destroy_graph,
    .multiprocessors = multiprocessors,
};

}  // namespace simt
}  // namespace sutura
