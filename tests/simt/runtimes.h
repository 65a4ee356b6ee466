#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/device_runtime.h"
#include "primitives.h"
#include "product.h"

namespace sutura::testing {

/// A device that tests of single kernels run on: the executor, and a GPU in a build with CUDA.
struct Device {
  const char* name;
  const DeviceRuntime* runtime;
  void (*apply)(Primitive, const std::uint32_t*, std::uint32_t*, Stream);
  void (*product)(Layout, const bf16*, const bf16*, float*, int, int, int, Stream);
};
std::vector<Device> devices();
const DeviceRuntime& simt_runtime();

/// Values in device memory, with a stream of their own.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer(const DeviceRuntime& runtime, const std::vector<T>& values)
      : runtime_(runtime), size_(values.size()), stream_(runtime.create_stream()) {
    memory_ = static_cast<T*>(runtime.allocate(size_ * sizeof(T)));
    runtime.copy_to_device(stream_, memory_, values.data(), size_ * sizeof(T));
    runtime.synchronise(stream_);
  }
  ~DeviceBuffer() {
    runtime_.release(memory_);
    runtime_.destroy_stream(stream_);
  }
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;

  T* data() const { return memory_; }
  Stream stream() const { return stream_; }
  /// After the work on its stream.
  std::vector<T> values() const {
    std::vector<T> host(size_);
    runtime_.copy_to_host(stream_, host.data(), memory_, size_ * sizeof(T));
    runtime_.synchronise(stream_);
    return host;
  }

 private:
  const DeviceRuntime& runtime_;
  std::size_t size_;
  Stream stream_;
  T* memory_;
};

}  // namespace sutura::testing
