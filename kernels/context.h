#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "core/dtype.h"

namespace sutura {

/// Who computes. `reference` is plain loops with fixed summation order, the same bits on every x86-64; `onednn` is the fast CPU.
enum class Backend { kReference, kOnednn };
Backend backend_from_name(std::string_view name);  ///< Errors: kInvalidArgument
std::string_view name(Backend b);

namespace onednn {
struct Engine;  // primitive cache, scratchpad; kernels/cpu/onednn_engine.h
}

/// A device and what computation on it needs. Passed to every op, never global. Not copyable.
/// Threads: one at a time.
class Context {
 public:
  /// `compute` is the element type of activations between layers: kFloat32, or kBfloat16 where supported (onednn on a CPU
  /// with AVX512-BF16). `threads` >= 1 is what the backend may use; the reference backend uses one.
  /// Errors: kDevice when the CPU lacks what was asked for.
  explicit Context(Backend backend, int threads = 1, DType compute = DType::kFloat32);
  ~Context();
  Context(Context&&) noexcept;
  Context& operator=(Context&&) noexcept;

  Backend backend() const { return backend_; }
  DType compute() const { return compute_; }
  int threads() const { return threads_; }
  /// "onednn 2.6.3, 2 threads, bf16, avx512_core_bf16": for reports.
  std::string description() const;
  onednn::Engine& engine();

  /// True where this CPU runs bf16 convolutions at speed.
  static bool cpu_has_bf16();

 private:
  Backend backend_;
  int threads_;
  DType compute_;
  std::unique_ptr<onednn::Engine> engine_;
};

}  // namespace sutura
