// DeviceRuntime on CUDA: the only file that calls the CUDA runtime, besides launch().
#include <cuda_runtime.h>

#include <mutex>
#include <string>

#include "core/error.h"
#include "kernels/device_runtime.h"

namespace sutura {

struct GraphExec {
  cudaGraphExec_t exec = nullptr;
};

namespace native {
namespace {

/// Errors after which the CUDA context of this process is lost: whatever is called next fails with the same error. The session
/// that meets one ends; later ones are told before they begin.
bool loses_the_device(cudaError_t error) {
  switch (error) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchFailure:
    case cudaErrorLaunchTimeout:
    case cudaErrorMisalignedAddress:
    case cudaErrorIllegalInstruction:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorHardwareStackError:
    case cudaErrorAssert:
    case cudaErrorECCUncorrectable:
    case cudaErrorDevicesUnavailable:
    case cudaErrorContextIsDestroyed: return true;
    default: return false;
  }
}

/// Why the device was lost, empty while it was not. Sessions run on threads of their own.
class Loss {
 public:
  void note(const std::string& why) {
    const std::lock_guard lock(mutex_);
    if (why_.empty()) why_ = why;
  }
  std::string why() {
    const std::lock_guard lock(mutex_);
    return why_;
  }

 private:
  std::mutex mutex_;
  std::string why_;
};
Loss& loss() {
  static Loss of_this_process;
  return of_this_process;
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears it where it can be cleared
  const std::string text = std::string(what) + ": " + cudaGetErrorString(error);
  if (loses_the_device(error)) {
    loss().note(text);
    throw Error(Errc::kDevice, text + " (the GPU cannot be used by this process any more)");
  }
  throw Error(error == cudaErrorMemoryAllocation ? Errc::kResources : Errc::kDevice, text);
}

/// For what cannot report: an error that stayed behind would be taken for the next kernel launch's.
void drop(cudaError_t error) noexcept {
  if (error != cudaSuccess) cudaGetLastError();
}

/// Memory may be taken and given back while a stream of this thread is captured: a block's address is what the graph records,
/// the allocation itself is no part of it. Without this the call would fail and spoil the capture.
class DuringCapture {
 public:
  DuringCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~DuringCapture() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  DuringCapture(const DuringCapture&) = delete;
  DuringCapture& operator=(const DuringCapture&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

/// An error of any kind means that there is no device: without a driver cudaGetDeviceCount's text misleads.
std::string why_unusable() {
  int driver = 0, devices = 0, major = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  if (const std::string why = loss().why(); !why.empty())
    return "an earlier session lost the GPU (" + why + "): start the program again";
  cudaError_t error = cudaGetDeviceCount(&devices);
  if (error == cudaSuccess && devices == 0) return "the NVIDIA driver finds no GPU";
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaGetLastError();
  if (error != cudaSuccess) return cudaGetErrorString(error);
  return major >= 8 ? "" : "the GPU is older than compute capability 8.0";
}

std::string describe() {
  cudaDeviceProp p{};
  int version = 0;
  check(cudaGetDeviceProperties(&p, 0), "device properties");
  check(cudaDriverGetVersion(&version), "driver version");
  return std::string(p.name) + ", sm_" + std::to_string(p.major) + std::to_string(p.minor) + ", CUDA " +
         std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

void* allocate(std::size_t bytes) {
  const DuringCapture allowed;
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "device memory");
  return memory;
}
void release(void* memory) noexcept {
  const DuringCapture allowed;
  drop(cudaFree(memory));
}
void* allocate_pinned(std::size_t bytes) {
  const DuringCapture allowed;
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "pinned host memory");
  return memory;
}
void release_pinned(void* memory) noexcept {
  const DuringCapture allowed;
  drop(cudaFreeHost(memory));
}
std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "device memory");
  return free;
}

Stream create_stream() {
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  return stream;
}
void destroy_stream(Stream stream) noexcept { drop(cudaStreamDestroy(stream)); }
void synchronise(Stream stream) { check(cudaStreamSynchronize(stream), "device work"); }

/// Of a copy with pageable memory the CUDA runtime promises only that it "might be synchronous with respect to the host": a GPU
/// that reads such memory itself stages nothing, and the call may return before the copy. So it is waited for. While the stream is
/// captured the wait fails, and the capture with it.
void settle(Stream s, const void* host) {
  cudaPointerAttributes known{};
  check(cudaPointerGetAttributes(&known, host), "host memory");
  if (known.type != cudaMemoryTypeHost) synchronise(s);
}
void copy_to_device(Stream s, void* to, const void* from, std::size_t n) {
  if (n == 0) return;
  check(cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, s), "copy to the device");
  settle(s, from);
}
void copy_to_host(Stream s, void* to, const void* from, std::size_t n) {
  if (n == 0) return;
  check(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, s), "copy to the host");
  settle(s, to);
}
void copy_on_device(Stream s, void* to, const void* from, std::size_t n) {
  check(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToDevice, s), "copy on the device");
}
void fill(Stream s, void* to, int byte, std::size_t n) { check(cudaMemsetAsync(to, byte, n, s), "fill"); }

Event create_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreate(&event), "event");
  return event;
}
void destroy_event(Event event) noexcept { drop(cudaEventDestroy(event)); }
void record(Event event, Stream s) { check(cudaEventRecord(event, s), "event"); }
void wait(Stream s, Event event) { check(cudaStreamWaitEvent(s, event, 0), "event"); }
void wait_on_host(Event event) { check(cudaEventSynchronize(event), "device work"); }
float milliseconds_between(Event begin, Event end) {
  float ms = 0.0f;
  check(cudaEventElapsedTime(&ms, begin, end), "event");
  return ms;
}

/// Relaxed: in the other modes cudaMalloc by this thread ends the capture, and an op may need a block that the arena lacks.
void begin_capture(Stream s) { check(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed), "graph capture"); }
GraphExec* end_capture(Stream s) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(s, &graph), "graph capture");
  auto* result = new GraphExec;
  const cudaError_t error = cudaGraphInstantiate(&result->exec, graph, 0);
  drop(cudaGraphDestroy(graph));
  if (error != cudaSuccess) {
    delete result;
    check(error, "graph");
  }
  return result;
}
void abandon_capture(Stream s) noexcept {
  cudaGraph_t graph = nullptr;
  cudaStreamEndCapture(s, &graph);
  if (graph != nullptr) cudaGraphDestroy(graph);
  cudaGetLastError();
}
void replay(GraphExec* graph, Stream s) { check(cudaGraphLaunch(graph->exec, s), "graph"); }
void destroy_graph(GraphExec* graph) noexcept {
  if (graph == nullptr) return;
  drop(cudaGraphExecDestroy(graph->exec));
  delete graph;
}

int multiprocessors() {
  int count = 0;
  check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, 0), "multiprocessors");
  return count;
}

}  // namespace

extern const DeviceRuntime runtime;
const DeviceRuntime runtime = {
    "CUDA",        why_unusable,  describe,        allocate,    release,        allocate_pinned, release_pinned,
    free_bytes,    create_stream, destroy_stream,  synchronise, copy_to_device, copy_to_host,    copy_on_device,
    fill,          create_event,  destroy_event,   record,      wait,           wait_on_host,    milliseconds_between,
    begin_capture, end_capture,   abandon_capture, replay,      destroy_graph,  multiprocessors};

}  // namespace native
}  // namespace sutura
