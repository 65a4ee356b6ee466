#pragma once
#include <cstdint>

#include "kernels/context.h"
#include "kernels/cuda/gemm/epilogue.h"
#include "kernels/cuda/gemm/mainloop.h"
#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"

/// From a problem to a launch.
namespace sutura::SUTURA_DEVICE::gemm {

/// Every size that kernels count in 32 bits. The last block and the last stages count beyond the edge, by less than kBeyond.
/// Errors: kInvalidArgument from 2^31 - kBeyond on.
inline int counted(std::int64_t size) {
  constexpr std::int64_t kBeyond = 1024;
  require(size < (std::int64_t{1} << 31) - kBeyond, Errc::kInvalidArgument,
          "a matrix product on a device has close to 2^31 rows, columns or terms, or more");
  return static_cast<int>(size);
}

inline bool is_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % kChunkBytes == 0; }
/// Whether 16-byte chunks of `p` along a dimension of `channels` elements lie whole and aligned.
template <class T>
bool in_chunks(const T* p, std::int64_t channels) {
  return is_aligned(p) && channels % (kChunkBytes / static_cast<std::int64_t>(sizeof(T))) == 0;
}
template <class T>
Pairs pairs_of(const T* p, std::int64_t columns) {
  return columns % 2 == 0 && reinterpret_cast<std::uintptr_t>(p) % (2 * sizeof(T)) == 0 ? Pairs::kAligned : Pairs::kSingle;
}

/// Launches `copies` products of at most rows x columns each.
template <class Precision, class Problem>
void run(Context& ctx, const char* name, const Problem& problem, Block block, Access access, std::int64_t rows,
         std::int64_t columns, std::int64_t copies) {
  require(copies < 65536, Errc::kInvalidArgument, std::string(name) + ": a stride of more than 2^16 phases");  // CUDA's grid.z
  const dim3 grid(static_cast<unsigned>(counted(blocks_of(block, rows, columns))), 1, static_cast<unsigned>(copies));
  const Stream stream = ctx.stream().stream();
  const auto start = [&]<class Shape>(void (*kernel)(Problem), Shape) {
    launch(name, kernel, grid, Shape::kThreads, Shape::kSharedBytes, stream, problem);
  };
  if (access == Access::kElements) return start(product_kernel<Block64x64, Precision, Access::kElements, Problem>, Block64x64{});
  switch (block) {
    case Block::k64x64: return start(product_kernel<Block64x64, Precision, Access::kChunks, Problem>, Block64x64{});
    case Block::k128x64: return start(product_kernel<Block128x64, Precision, Access::kChunks, Problem>, Block128x64{});
    case Block::k128x128: return start(product_kernel<Block128x128, Precision, Access::kChunks, Problem>, Block128x128{});
  }
}

/// Calls f with the precision that the context and the activations' type ask for.
template <class F>
void with_precision(const Context& ctx, DType activations, F f) {
  if (activations == DType::kBfloat16) return f(Bf16{});
  if (ctx.math() == Math::kTf32) return f(Tf32{});
  f(Exact{});
}

}  // namespace sutura::SUTURA_DEVICE::gemm
