#pragma once
#include "kernels/cuda/gemm/tile.h"

namespace sutura::SUTURA_DEVICE::gemm {

/// Copies an operand's tiles from global to shared memory. A thread owns one chunk of every line it visits, so that with
/// chunks either its lines (kDepth) or its column (kRows) are decoded once for the whole product.
template <class Tile, class Operand, Access kAccess, int kThreads>
class Loader {
  using T = typename Tile::Element;
  static constexpr bool kByDepth = Tile::kContiguous == Major::kDepth;
  static constexpr int kPasses = Tile::kLines * Tile::kChunks / kThreads;
  static constexpr int kLineStep = kThreads / Tile::kChunks;
  static_assert(kPasses * kThreads == Tile::kLines * Tile::kChunks && kLineStep * Tile::kChunks == kThreads);

 public:
  /// first_row: of the block's tile in the operand.
  __device__ Loader(const Operand& operand, int first_row)
      : operand_(operand),
        line_(static_cast<int>(threadIdx.x) / Tile::kChunks),
        chunk_(static_cast<int>(threadIdx.x) % Tile::kChunks),
        first_row_(first_row) {
    if constexpr (kAccess == Access::kElements) return;
    if constexpr (kByDepth) {
      SUTURA_UNROLL
      for (int i = 0; i < kPasses; ++i) lines_[i] = operand.line(first_row + line_ + i * kLineStep);
    } else {
      column_ = operand.column(first_row + chunk_ * Tile::kPerChunk);
    }
  }

  /// Starts to fill `tile` with the depths from `depth` on.
  __device__ void load(T* tile, int depth) const {
    if constexpr (kAccess == Access::kElements) {
      // A chunk's elements are as many loads under way as there are registers for.
      SUTURA_NO_UNROLL
      for (int i = 0; i < kPasses; ++i) gather(tile, line_ + i * kLineStep, depth);
    } else if constexpr (kByDepth) {
      const auto column = operand_.column(depth + chunk_ * Tile::kPerChunk);
      SUTURA_UNROLL
      for (int i = 0; i < kPasses; ++i) copy(tile + Tile::chunk(line_ + i * kLineStep, chunk_), operand_.at(lines_[i], column));
    } else {
      SUTURA_UNROLL
      for (int i = 0; i < kPasses; ++i) {
        const auto line = operand_.line(depth + line_ + i * kLineStep);
        copy(tile + Tile::chunk(line_ + i * kLineStep, chunk_), operand_.at(line, column_));
      }
    }
  }

 private:
  __device__ void copy(T* to, const T* from) const { copy_async_16(to, from != nullptr ? from : operand_.base, from != nullptr); }

  struct alignas(kChunkBytes) Chunk {
    T value[Tile::kPerChunk];
  };
  __device__ void gather(T* tile, int line, int depth) const {
    const int first_line = kByDepth ? first_row_ : depth,
              first_column = (kByDepth ? depth : first_row_) + chunk_ * Tile::kPerChunk;
    const auto decoded = operand_.line(first_line + line);
    Chunk chunk;
    SUTURA_UNROLL
    for (int e = 0; e < Tile::kPerChunk; ++e) {
      const T* from = operand_.at(decoded, operand_.column(first_column + e));
      chunk.value[e] = from != nullptr ? *from : T{};
    }
    *reinterpret_cast<Chunk*>(tile + Tile::chunk(line, chunk_)) = chunk;
  }

  const Operand& operand_;
  int line_, chunk_, first_row_;
  typename Operand::Line lines_[kByDepth ? kPasses : 1];
  typename Operand::Column column_;
};

}  // namespace sutura::SUTURA_DEVICE::gemm
