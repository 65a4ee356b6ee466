// DeviceRuntime of the host SIMT executor: device memory is host memory of its own, a captured graph is a list of closures.
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "executor.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_runtime.h"

struct CUstream_st {
  std::vector<std::function<void()>>* capturing = nullptr;
};
struct CUevent_st {};

namespace sutura {

struct GraphExec {
  std::vector<std::function<void()>> work;
};

namespace simt {
namespace {

void issue(Stream s, std::function<void()> work) {
  require(s != nullptr, Errc::kDevice, "work was issued on no stream");
  if (s->capturing != nullptr) {
    s->capturing->push_back(std::move(work));
  } else {
    work();
  }
}

std::string why_unusable() { return ""; }
std::string describe() { return "host SIMT executor"; }

void* allocate(std::size_t bytes) {
  void* memory = std::aligned_alloc(256, (bytes + 255) / 256 * 256);
  require(memory != nullptr, Errc::kResources, "device memory: out of memory");
  std::memset(memory, 0xff, bytes);
  return memory;
}
void release(void* memory) noexcept { std::free(memory); }
void* allocate_pinned(std::size_t bytes) { return allocate(bytes); }
void release_pinned(void* memory) noexcept { std::free(memory); }
std::size_t free_bytes() { return std::size_t{1} << 32; }

Stream create_stream() { return new CUstream_st; }
void destroy_stream(Stream s) noexcept { delete s; }
void synchronise(Stream s) { require(s->capturing == nullptr, Errc::kDevice, "a stream was waited for while it was captured"); }

void copy(Stream s, void* to, const void* from, std::size_t bytes) {
  issue(s, [=] { std::memcpy(to, from, bytes); });
}
void fill(Stream s, void* to, int byte, std::size_t bytes) {
  issue(s, [=] { std::memset(to, byte, bytes); });
}

Event create_event() { return new CUevent_st; }
void destroy_event(Event e) noexcept { delete e; }
void record(Event, Stream) {}
void wait(Stream, Event) {}
void wait_on_host(Event) {}
float milliseconds_between(Event, Event) { return 0.0f; }

void begin_capture(Stream s) {
  require(s->capturing == nullptr, Errc::kDevice, "a stream was captured twice");
  s->capturing = new std::vector<std::function<void()>>;
}
GraphExec* end_capture(Stream s) {
  auto* graph = new GraphExec{std::move(*s->capturing)};
  delete s->capturing;
  s->capturing = nullptr;
  return graph;
}
void abandon_capture(Stream s) noexcept {
  delete s->capturing;
  s->capturing = nullptr;
}
void replay(GraphExec* graph, Stream s) {
  for (const auto& work : graph->work) issue(s, work);
}
void destroy_graph(GraphExec* graph) noexcept { delete graph; }

/// Few, so that shapes small enough for tests meet every choice of block and slices that a GPU's many make for large ones.
int multiprocessors() { return 4; }

}  // namespace

void run(const char* kernel, dim3 grid, unsigned threads, std::size_t shared_bytes, Stream stream, std::function<void()> body) {
  issue(stream, [=, name = std::string(kernel)] { run_now(name.c_str(), grid, threads, shared_bytes, body); });
}

extern const DeviceRuntime runtime;
const DeviceRuntime runtime = {
    "host SIMT executor", why_unusable, describe,     allocate, release, allocate_pinned, release_pinned, free_bytes,
    create_stream,        destroy_stream, synchronise, copy,     copy,    copy,            fill,           create_event,
    destroy_event,        record,         wait,        wait_on_host, milliseconds_between, begin_capture, end_capture, abandon_capture,
    replay,               destroy_graph, multiprocessors};

}  // namespace simt
}  // namespace sutura
