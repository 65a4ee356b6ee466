// DeviceRuntime on CUDA: the only file that calls the CUDA runtime, besides launch().
#include <cuda_runtime.h>

#include <string>

#include "core/error.h"
#include "kernels/device_runtime.h"

namespace sutura {

struct GraphExec {
  cudaGraphExec_t exec = nullptr;
};

namespace native {
namespace {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // clears it where it is not sticky
  const Errc code = error == cudaErrorMemoryAllocation ? Errc::kResources : Errc::kDevice;
  throw Error(code, std::string(what) + ": " + cudaGetErrorString(error));
}

/// An error of any kind means that there is no device: without a driver cudaGetDeviceCount's text misleads.
std::string why_unusable() {
  int driver = 0, devices = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) return "no NVIDIA driver is installed";
  const cudaError_t error = cudaGetDeviceCount(&devices);
  cudaGetLastError();
  if (error != cudaSuccess) return cudaGetErrorString(error);
  if (devices == 0) return "the NVIDIA driver finds no GPU";
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0), "compute capability");
  return major >= 8 ? "" : "the GPU is older than compute capability 8.0";
}

std::string describe() {
  cudaDeviceProp p{};
  int version = 0;
  check(cudaGetDeviceProperties(&p, 0), "device properties");
  check(cudaDriverGetVersion(&version), "driver version");
  return std::string(p.name) + ", sm_" + std::to_string(p.major) + std::to_string(p.minor) + ", CUDA " + std::to_string(version / 1000) +
         "." + std::to_string(version % 1000 / 10);
}

void* allocate(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, bytes), "device memory");
  return memory;
}
void release(void* memory) noexcept { cudaFree(memory); }
void* allocate_pinned(std::size_t bytes) {
  void* memory = nullptr;
  check(cudaHostAlloc(&memory, bytes, cudaHostAllocDefault), "pinned host memory");
  return memory;
}
void release_pinned(void* memory) noexcept { cudaFreeHost(memory); }
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
void destroy_stream(Stream stream) noexcept { cudaStreamDestroy(stream); }
void synchronise(Stream stream) { check(cudaStreamSynchronize(stream), "device work"); }

void copy_to_device(Stream s, void* to, const void* from, std::size_t n) {
  check(cudaMemcpyAsync(to, from, n, cudaMemcpyHostToDevice, s), "copy to the device");
}
void copy_to_host(Stream s, void* to, const void* from, std::size_t n) {
  check(cudaMemcpyAsync(to, from, n, cudaMemcpyDeviceToHost, s), "copy to the host");
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
void destroy_event(Event event) noexcept { cudaEventDestroy(event); }
void record(Event event, Stream s) { check(cudaEventRecord(event, s), "event"); }
void wait(Stream s, Event event) { check(cudaStreamWaitEvent(s, event, 0), "event"); }
void wait_on_host(Event event) { check(cudaEventSynchronize(event), "device work"); }
float milliseconds_between(Event begin, Event end) {
  float ms = 0.0f;
  check(cudaEventElapsedTime(&ms, begin, end), "event");
  return ms;
}

/// Relaxed: memory may be taken from the device meanwhile, which no other mode allows and which touches no stream that is captured.
void begin_capture(Stream s) { check(cudaStreamBeginCapture(s, cudaStreamCaptureModeRelaxed), "graph capture"); }
GraphExec* end_capture(Stream s) {
  cudaGraph_t graph = nullptr;
  check(cudaStreamEndCapture(s, &graph), "graph capture");
  auto* result = new GraphExec;
  const cudaError_t error = cudaGraphInstantiate(&result->exec, graph, 0);
  cudaGraphDestroy(graph);
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
  cudaGraphExecDestroy(graph->exec);
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
    "CUDA",       why_unusable,   describe,      allocate,      release,      allocate_pinned, release_pinned, free_bytes,
    create_stream, destroy_stream, synchronise,   copy_to_device, copy_to_host, copy_on_device,  fill,           create_event,
    destroy_event, record,         wait,          wait_on_host,  milliseconds_between, begin_capture, end_capture, abandon_capture,
    replay,        destroy_graph,  multiprocessors};

}  // namespace native
}  // namespace sutura
