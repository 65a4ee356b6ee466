#pragma once
#include <cstddef>
#include <string>

#include "kernels/cuda/stream.h"

namespace sutura {

struct GraphExec;  // a captured sequence of device work

/// What a device does besides computing, as a table: kernels/cuda/runtime_cuda.cpp fills it for CUDA, tests/simt for the host
/// executor. Work on one stream runs in order. Every function but the destroy_ ones throws Error: kResources when memory ran
/// out, else kDevice with the device's own text.
struct DeviceRuntime {
  const char* name;                 ///< "CUDA", "host SIMT executor"
  std::string (*why_unusable)();    ///< one line; empty where a device can be used
  std::string (*describe)();        ///< "NVIDIA H100 80GB HBM3, sm_90, CUDA 13.0"

  void* (*allocate)(std::size_t bytes);  ///< device memory, 256-byte aligned
  void (*release)(void* memory) noexcept;
  void* (*allocate_pinned)(std::size_t bytes);  ///< host memory that copies may read while the host goes on
  void (*release_pinned)(void* memory) noexcept;
  std::size_t (*free_bytes)();

  Stream (*create_stream)();
  void (*destroy_stream)(Stream) noexcept;
  void (*synchronise)(Stream);  ///< waits for all work; reports what failed in it
  /// Copies in stream order. Host memory that is not pinned is read, or written, before the call returns.
  void (*copy_to_device)(Stream, void* to, const void* from, std::size_t bytes);
  void (*copy_to_host)(Stream, void* to, const void* from, std::size_t bytes);
  void (*copy_on_device)(Stream, void* to, const void* from, std::size_t bytes);
  void (*fill)(Stream, void* to, int byte, std::size_t bytes);

  Event (*create_event)();
  void (*destroy_event)(Event) noexcept;
  void (*record)(Event, Stream);        ///< the event happens when the work so far on the stream is done
  void (*wait)(Stream, Event);          ///< later work on the stream comes after the event
  void (*wait_on_host)(Event);
  float (*milliseconds_between)(Event begin, Event end);

  /// Work issued on the stream is recorded instead of done, until end_capture. Host copies inside need pinned memory.
  void (*begin_capture)(Stream);
  GraphExec* (*end_capture)(Stream);
  /// Ends a capture that went wrong, so that the stream can be used again.
  void (*abandon_capture)(Stream) noexcept;
  void (*replay)(GraphExec*, Stream);
  void (*destroy_graph)(GraphExec*) noexcept;

  int (*multiprocessors)();  ///< how many blocks the device runs side by side at least
};

}  // namespace sutura
