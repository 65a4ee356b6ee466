#pragma once
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/gemm/operands.h"
#include "kernels/cuda/gemm/tile.h"
#include "kernels/ops/activation.h"

/// What becomes of a block's sums. They leave from the registers that mma left them in: the four lanes of a row write 8 (bf16) or
/// 32 bytes (float32) side by side, and L2 joins the neighbouring columns into whole lines.
namespace sutura::SUTURA_DEVICE::gemm {

/// Two neighbouring elements of a row, in one access where they are aligned to it (every row begins at an even element).
enum class Pairs : std::uint8_t { kAligned, kSingle };

template <class T>
struct alignas(2 * sizeof(T)) Pair {
  T value[2];
};

template <class T>
__device__ __forceinline__ void store_pair(T* to, const float (&v)[2], int count, Pairs pairs) {
  if (pairs == Pairs::kAligned) {
    *reinterpret_cast<Pair<T>*>(to) = {{store_value<T>(v[0]), store_value<T>(v[1])}};
  } else {
    to[0] = store_value<T>(v[0]);
    if (count == 2) to[1] = store_value<T>(v[1]);
  }
}

/// y = activation(sum + bias + residual), and for a norm that follows the sums of what is stored and of its squares, per block
/// and column. Every branch here is the same for the whole launch.
template <class T>
struct StoreForward {
  T* y;               // [rows, columns]
  const float* bias;  // [columns], nullptr: none
  const T* residual;  // [rows, columns], nullptr: none
  float* statistics;  // [blocks down, 2, columns]: sums, then sums of squares; nullptr: none
  Activation activation;
  Pairs pairs;

  template <class Shape>
  __device__ void operator()(const typename Shape::Sums& sums, int first_row, int first_column, int rows, int columns,
                             void* shared) const {
    const ThreadPlace<Shape> place;
    float* block = static_cast<float*>(shared);  // [2][warps down][columns of the block]
    if (statistics != nullptr) block_sync();     // the last stage may still be read
    SUTURA_UNROLL
    for (int j = 0; j < Shape::kTilesAcross; ++j) {
      const int column = first_column + place.column(j);
      const int count = columns - column < 2 ? columns - column : 2;
      float total[2] = {0.0f, 0.0f}, squares[2] = {0.0f, 0.0f};
      float b[2] = {0.0f, 0.0f};
      for (int e = 0; e < 2; ++e)
        if (bias != nullptr && e < count) b[e] = bias[column + e];
      SUTURA_UNROLL
      for (int half = 0; half < 2 * Shape::kTilesDown; ++half) {
        const int row = first_row + place.row(half / 2, half % 2);
        if (row >= rows || count <= 0) continue;
        const std::int64_t at = static_cast<std::int64_t>(row) * columns + column;
        float v[2];
        SUTURA_UNROLL
        for (int e = 0; e < 2; ++e) {
          v[e] = sums[half / 2][j][half % 2 * 2 + e] + b[e];
          if (residual != nullptr && e < count) v[e] += load_value(residual[at + e]);
          if (activation == Activation::kRelu) v[e] = v[e] > 0.0f || v[e] != v[e] ? v[e] : 0.0f;
          const float stored = load_value(store_value<T>(v[e]));
          total[e] += stored;
          squares[e] += stored * stored;
        }
        store_pair(y + at, v, count, pairs);
      }
      if (statistics != nullptr) put_statistics<Shape>(block, place, j, total, squares);
    }
    if (statistics == nullptr) return;
    block_sync();
    for (int i = static_cast<int>(threadIdx.x); i < 2 * Shape::kColumns; i += Shape::kThreads) {
      const int which = i / Shape::kColumns, column = i % Shape::kColumns;
      if (first_column + column >= columns) continue;
      float sum = 0.0f;
      for (int w = 0; w < Shape::kWarpsDown; ++w) sum += block[(which * Shape::kWarpsDown + w) * Shape::kColumns + column];
      statistics[(static_cast<std::int64_t>(first_row / Shape::kRows) * 2 + which) * columns + first_column + column] = sum;
    }
  }

 private:
  /// A warp's sums of columns j: lanes of equal lane % 4 hold the same column.
  template <class Shape>
  __device__ static void put_statistics(float* block, const ThreadPlace<Shape>& place, int j, const float (&total)[2],
                                        const float (&squares)[2]) {
    const int down = place.warp / Shape::kWarpsAcross;
    SUTURA_UNROLL
    for (int e = 0; e < 4; ++e) {
      float sum = e < 2 ? total[e % 2] : squares[e % 2];
      for (unsigned mask = 4; mask < 32; mask *= 2) sum += warp_shuffle_xor(sum, mask);
      if (place.lane < 4) block[(e / 2 * Shape::kWarpsDown + down) * Shape::kColumns + place.column(j) + e % 2] = sum;
    }
  }
};

/// Row (n, i, j) of one phase goes to pixel (n, first_h + i * stride_h, first_w + j * stride_w) of images
/// [N, height, width, columns].
template <class T>
struct StorePixels {
  T* to;
  Divider across, down;
  int height, width;
  int first_h, first_w, stride_h, stride_w;
  Pairs pairs;

  template <class Shape>
  __device__ void operator()(const typename Shape::Sums& sums, int first_row, int first_column, int rows, int columns,
                             void*) const {
    const ThreadPlace<Shape> place;
    SUTURA_UNROLL
    for (int half = 0; half < 2 * Shape::kTilesDown; ++half) {
      const int m = first_row + place.row(half / 2, half % 2);
      if (m >= rows) continue;
      const int row = across.quotient(m), j = m - row * across.divisor();
      const int n = down.quotient(row), i = row - n * down.divisor();
      const std::int64_t pixel =
          (static_cast<std::int64_t>(n) * height + first_h + i * stride_h) * width + first_w + j * stride_w;
      SUTURA_UNROLL
      for (int t = 0; t < Shape::kTilesAcross; ++t) {
        const int column = first_column + place.column(t), count = columns - column;
        if (count <= 0) continue;
        const float v[2] = {sums[half / 2][t][half % 2 * 2], sums[half / 2][t][half % 2 * 2 + 1]};
        store_pair(to + pixel * columns + column, v, count < 2 ? count : 2, pairs);
      }
    }
  }
};

/// A slice of the depth: written to its place in the workspace, or, where it is the only one, added to the gradient at once.
struct StoreSlice {
  enum class Into : std::uint8_t { kWorkspace, kGradient };
  float* to;  // [rows, columns]
  Into into;

  template <class Shape>
  __device__ void operator()(const typename Shape::Sums& sums, int first_row, int first_column, int rows, int columns,
                             void*) const {
    const ThreadPlace<Shape> place;
    SUTURA_UNROLL
    for (int half = 0; half < 2 * Shape::kTilesDown; ++half) {
      const int row = first_row + place.row(half / 2, half % 2);
      if (row >= rows) continue;
      SUTURA_UNROLL
      for (int j = 0; j < Shape::kTilesAcross; ++j) {
        SUTURA_UNROLL
        for (int e = 0; e < 2; ++e) {
          const int column = first_column + place.column(j) + e;
          if (column >= columns) continue;
          float& total = to[static_cast<std::int64_t>(row) * columns + column];
          const float sum = sums[half / 2][j][half % 2 * 2 + e];
          total = into == Into::kGradient ? total + sum : sum;
        }
      }
    }
  }
};

}  // namespace sutura::SUTURA_DEVICE::gemm
