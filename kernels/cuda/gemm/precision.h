#pragma once
#include <bit>

#include "core/dtype.h"
#include "kernels/cuda/gemm/tile.h"

/// The arithmetic of a product: how a warp takes its fragments from a stage and adds a stage's products to its sums. The order of
/// k is the same for every tile, so that a sum's bits do not depend on the block shape.
namespace sutura::SUTURA_DEVICE::gemm {

__device__ __forceinline__ std::uint32_t as_tf32(std::uint32_t bits) { return to_tf32(std::bit_cast<float>(bits)); }

/// The 16 x 32 bytes fragment of A from row `row` and depth step `step` on, as mma's a. Element by element only where 4-byte
/// elements would have to be transposed, which ldmatrix cannot.
template <class Tile>
__device__ void load_a(std::uint32_t (&a)[4], const typename Tile::Element* tile, int row, int step, int lane) {
  if constexpr (Tile::kContiguous == Major::kDepth) {
    load_matrix_x4(a, tile + Tile::chunk(row + lane % 16, 2 * step + lane / 16));
  } else if constexpr (sizeof(typename Tile::Element) == 2) {
    load_matrix_x4_transposed(a, tile + Tile::chunk(16 * step + lane / 16 * 8 + lane % 8, row / 8 + lane / 8 % 2));
  } else {
    SUTURA_UNROLL
    for (int r = 0; r < 4; ++r)
      a[r] = std::bit_cast<std::uint32_t>(tile[Tile::element(8 * step + r / 2 * 4 + lane % 4, row + r % 2 * 8 + lane / 4)]);
  }
}

/// Two neighbouring fragments of B, 8 columns each, from column `column` on.
template <class Tile>
__device__ void load_b(std::uint32_t (&left)[2], std::uint32_t (&right)[2], const typename Tile::Element* tile, int column,
                       int step, int lane) {
  std::uint32_t b[4];
  if constexpr (Tile::kContiguous == Major::kDepth) {
    load_matrix_x4(b, tile + Tile::chunk(column + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
  } else if constexpr (sizeof(typename Tile::Element) == 2) {
    load_matrix_x4_transposed(b, tile + Tile::chunk(16 * step + lane / 8 % 2 * 8 + lane % 8, column / 8 + lane / 16));
  } else {
    SUTURA_UNROLL
    for (int r = 0; r < 4; ++r)
      b[r] = std::bit_cast<std::uint32_t>(tile[Tile::element(8 * step + r % 2 * 4 + lane % 4, column + r / 2 * 8 + lane / 4)]);
  }
  left[0] = b[0];
  left[1] = b[1];
  right[0] = b[2];
  right[1] = b[3];
}

/// Tensor cores: bf16 operands, or float32 ones rounded to tf32 on the way into the fragments.
template <class T>
struct TensorCores {
  using Element = T;
  static constexpr bool kRound = sizeof(T) == 4;

  template <class Shape, class TileA, class TileB>
  __device__ static void multiply(typename Shape::Sums& sums, const T* a, const T* b, const ThreadPlace<Shape>& place) {
    SUTURA_UNROLL
    for (int step = 0; step < 2; ++step) {
      std::uint32_t fa[Shape::kTilesDown][4], fb[Shape::kTilesAcross][2];
      SUTURA_UNROLL
      for (int i = 0; i < Shape::kTilesDown; ++i) load_a<TileA>(fa[i], a, place.warp_row + 16 * i, step, place.lane);
      SUTURA_UNROLL
      for (int j = 0; j < Shape::kTilesAcross; j += 2)
        load_b<TileB>(fb[j], fb[j + 1], b, place.warp_column + 8 * j, step, place.lane);
      if constexpr (kRound) {
        SUTURA_UNROLL
        for (auto& f : fa)
          for (std::uint32_t& v : f) v = as_tf32(v);
        SUTURA_UNROLL
        for (auto& f : fb)
          for (std::uint32_t& v : f) v = as_tf32(v);
      }
      SUTURA_UNROLL
      for (int i = 0; i < Shape::kTilesDown; ++i) {
        SUTURA_UNROLL
        for (int j = 0; j < Shape::kTilesAcross; ++j) mma(sums[i][j], fa[i], fb[j]);
      }
    }
  }

 private:
  __device__ static void mma(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2]) {
    if constexpr (kRound) {
      mma_tf32(d, a, b);
    } else {
      mma_bf16(d, a, b);
    }
  }
};
using Bf16 = TensorCores<bf16>;
using Tf32 = TensorCores<float>;

/// Exact float32 on the FMA units, k by k. A thread's sums lie where mma would leave them; four depths are read at a time, so
/// that kDepth tiles give 16-byte loads: 16 of them feed 256 FMA. Steps are not unrolled: the fragments of several at once would
/// fill all 255 registers.
struct Exact {
  using Element = float;

  template <class Shape, class TileA, class TileB>
  __device__ static void multiply(typename Shape::Sums& sums, const float* a, const float* b, const ThreadPlace<Shape>& place) {
    SUTURA_NO_UNROLL
    for (int depth = 0; depth < TileA::kDepth; depth += 4) {
      float fa[2 * Shape::kTilesDown][4], fb[2 * Shape::kTilesAcross][4];
      SUTURA_UNROLL
      for (int i = 0; i < 2 * Shape::kTilesDown; ++i) load<TileA>(fa[i], a, place.row(i / 2, i % 2), depth);
      SUTURA_UNROLL
      for (int j = 0; j < 2 * Shape::kTilesAcross; ++j) load<TileB>(fb[j], b, place.column(j / 2) + j % 2, depth);
      SUTURA_UNROLL
      for (int k = 0; k < 4; ++k) {
        SUTURA_UNROLL
        for (int i = 0; i < Shape::kTilesDown; ++i) {
          SUTURA_UNROLL
          for (int j = 0; j < Shape::kTilesAcross; ++j) {
            SUTURA_UNROLL
            for (int r = 0; r < 4; ++r)
              sums[i][j][r] = fused_multiply_add(fa[2 * i + r / 2][k], fb[2 * j + r % 2][k], sums[i][j][r]);
          }
        }
      }
    }
  }

 private:
  template <class Tile>
  __device__ static void load(float (&f)[4], const float* tile, int row, int depth) {
    if constexpr (Tile::kContiguous == Major::kDepth) {
      const float4 v = *reinterpret_cast<const float4*>(tile + Tile::chunk(row, depth / 4));
      f[0] = v.x;
      f[1] = v.y;
      f[2] = v.z;
      f[3] = v.w;
    } else {
      SUTURA_UNROLL
      for (int k = 0; k < 4; ++k) f[k] = tile[Tile::element(depth + k, row)];
    }
  }
};

}  // namespace sutura::SUTURA_DEVICE::gemm
