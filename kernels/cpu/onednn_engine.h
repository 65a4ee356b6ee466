#pragma once
#include <array>
#include <cstdint>
#include <dnnl.hpp>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/dtype.h"
#include "kernels/context.h"
#include "kernels/cpu/isa.h"
#include "kernels/tensor.h"

namespace sutura::onednn {

/// One prepared oneDNN computation: a convolution, a matrix product. Weights keep the layout the primitive asked for;
/// `load_weights` brings our plain float32 weights into it, `add_weights` adds a gradient in it to our plain buffer.
struct Plan {
  dnnl::primitive run;
  dnnl::memory::desc src, weights, bias, dst, scratchpad;
  dnnl::reorder load_weights, add_weights;
  dnnl::memory::desc plain_weights;
  std::string implementation;  ///< oneDNN's name for the code chosen: "brgconv:avx512_core"
};

/// Which computation, and every number that shapes it (dimensions, strides, element type).
using PlanKey = std::array<std::int64_t, 16>;
enum class PlanKind : std::int64_t { kConvForward, kConvBackwardData, kConvBackwardWeights, kMatmul };

/// Work memory that lives as long as the engine, one per purpose, grown when needed.
enum class Slot : std::size_t { kScratchpad, kWeights, kGradWeights, kGradBias, kPartials, kCount };

/// The oneDNN side of a Context: device, stream, prepared computations, work memory, thread count.
/// Threads: one at a time.
struct Engine {
  explicit Engine(int thread_count);

  dnnl::engine device;
  dnnl::stream stream;
  int threads;
  Isa isa;  ///< of our own vector loops; tests lower it to reach every path

  /// OpenMP's thread count belongs to the calling thread, so every op sets it before it computes.
  void enter() const;
  /// The plan under `key`, made by `make()` the first time; valid until the next call. When plan_capacity is reached all
  /// plans are dropped: batch sizes drawn at random must not grow memory without end.
  /// Errors: kDevice when oneDNN has no implementation for this CPU.
  template <class Make>
  const Plan& plan(const PlanKey& key, Make make) {
    if (const auto found = plans_.find(key); found != plans_.end()) return found->second;
    return remember(key, make_checked(make));
  }
  std::size_t plan_capacity = 2048;
  std::uint64_t plans_made() const { return plans_made_; }
  /// Implementation names of all plans held, for tests and reports.
  std::vector<std::string> implementations() const;

  /// At least `bytes` of 64-byte aligned memory, contents undefined; valid until the next call for the same slot.
  void* memory(Slot slot, std::size_t bytes);
  /// Executes `plan` with its scratchpad added to `args`.
  void execute(const Plan& plan, std::unordered_map<int, dnnl::memory> args);
  dnnl::memory wrap(const dnnl::memory::desc& desc, const void* data) const;
  /// Our plain weights in the layout of `plan` (the same memory where that is the plain one).
  dnnl::memory loaded_weights(const Plan& plan, const void* plain);

 private:
  template <class Make>
  static Plan make_checked(Make& make) {
    try {
      return make();
    } catch (const dnnl::error& e) {
      fail(e);
    }
  }
  [[noreturn]] static void fail(const dnnl::error& e);
  const Plan& remember(const PlanKey& key, Plan plan);

  std::map<PlanKey, Plan> plans_;
  std::uint64_t plans_made_ = 0;
  std::array<Tensor, static_cast<std::size_t>(Slot::kCount)> slots_;
};

dnnl::memory::data_type data_type(DType type);

}  // namespace sutura::onednn
