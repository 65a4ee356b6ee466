#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "core/dtype.h"
#include "kernels/tensor.h"

namespace sutura {

/// Who computes. `reference` is plain loops with fixed summation order, the same bits on every x86-64; `onednn` is the fast CPU;
/// `native` our own CUDA kernels; `cudnn` NVIDIA's libraries, and our kernels where they have none.
enum class Backend { kReference, kOnednn, kNative, kCudnn };
/// How a device multiplies float32: exactly as float32, or with operands rounded to tf32 (10 fraction bits) on tensor cores.
enum class Math { kIeee, kTf32 };
Backend backend_from_name(std::string_view name);  ///< Errors: kInvalidArgument
std::string_view name(Backend b);

namespace onednn {
struct Engine;  // primitive cache, scratchpad; kernels/cpu/onednn_engine.h
}

struct DeviceOps;
class DeviceStream;

/// A device and what computation on it needs. Passed to every op, never global. Not copyable.
/// Threads: one at a time.
class Context {
 public:
  /// `compute` is the element type of activations between layers: kFloat32, or kBfloat16 where supported (devices; onednn
  /// on a CPU with AVX512-BF16). `math` is for devices. `threads` >= 1 is what the backend may use; the reference backend uses
  /// one. On a device backend each Context has a stream of its own.
  /// Errors: kDevice when the CPU lacks what was asked for, or with one line that says why there is no such device.
  explicit Context(Backend backend, int threads = 1, DType compute = DType::kFloat32, Math math = Math::kIeee);
  /// On the device of `ops`, whatever device_ops() would say.
  Context(Backend backend, const DeviceOps& ops, DType compute = DType::kFloat32, Math math = Math::kIeee);
  ~Context();
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;

  Backend backend() const { return backend_; }
  DType compute() const { return compute_; }
  Math math() const { return math_; }
  int threads() const { return threads_; }
  /// "onednn 2.6.3, 2 threads, bf16, avx512_core_bf16": for reports.
  std::string description() const;
  onednn::Engine& engine();

  /// True where tensors that ops take lie in a device's memory, not in the host's.
  bool on_device() const { return ops_ != nullptr; }
  /// Errors, here and in stream(): kInternal on a CPU backend.
  const DeviceOps& device() const;
  DeviceStream& stream() const;

  /// A new tensor where this context computes. Values: not set; zeros; those of t (wherever t lies).
  Tensor tensor(const Shape& shape, DType dtype = DType::kFloat32) const;
  Tensor zeros(const Shape& shape, DType dtype = DType::kFloat32) const;
  Tensor clone(const Tensor& t) const;
  /// t where this context computes: itself if it lies there, else a copy.
  Tensor here(Tensor t) const;
  /// t on the host: itself if it lies there, else a copy, after waiting for the work that makes it.
  Tensor host(Tensor t) const;
  /// Host memory that copies to and from the device may use while the host goes on; plain memory on a CPU backend.
  Tensor pinned(const Shape& shape, DType dtype = DType::kFloat32) const;
  /// to = from, equal shapes and types, wherever they lie. Waits only where one is host memory that is not pinned.
  void copy(const Tensor& from, Tensor& to) const;
  void fill_zero(Tensor& t) const;
  /// Waits for all work; a failure in it surfaces here as kDevice.
  void synchronise() const;

  /// True where this CPU runs bf16 convolutions at speed.
  static bool cpu_has_bf16();

 private:
  Backend backend_;
  int threads_;
  DType compute_;
  Math math_;
  std::unique_ptr<onednn::Engine, void (*)(onednn::Engine*)> engine_{nullptr, nullptr};
  const DeviceOps* ops_ = nullptr;
  std::shared_ptr<DeviceStream> stream_;  // shared with the tensors in its memory, which may outlive this object
};

}  // namespace sutura
