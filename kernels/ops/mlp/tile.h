#pragma once
#include "kernels/cuda/elementwise.h"
#include "kernels/ops/mlp/mlp_impl.h"

/// One layer's product for a tile of records, by one block; for mlp_native.cu. The tile's values stay in shared memory from
/// layer to layer, weights pass through it 32 products deep.
namespace sutura::SUTURA_DEVICE {

/// Sixteen records: the height of mma's tile, and for small batches (a table's 128 to 512 rows) still 8 to 32 blocks. 256
/// threads: a thread per output of the widest layer.
constexpr int kRecords = 16, kDepth = 32, kMostWidth = 256;
constexpr unsigned kMlpWarps = 8, kMlpThreads = 32 * kMlpWarps;

/// Which way the weights are read: y[n] = sum_k a[k] w[n][k] (forward), or sum_k a[k] w[k][n] (gradients).
enum class Way { kForward, kBackward };

struct Layer {
  const float* weight;  // [outputs, inputs]
  int outputs, inputs;
};

/// w as the product sees it, zero outside.
template <Way kWay>
__device__ __forceinline__ float weight_at(const Layer& l, int n, int k) {
  const int row = kWay == Way::kForward ? n : k, column = kWay == Way::kForward ? k : n;
  return row < l.outputs && column < l.inputs ? l.weight[row * l.inputs + column] : 0.0f;
}

/// float32, exact: a thread owns one output for kPer of the 16 records. Shared memory reads of values are broadcasts.
struct Exact {
  using Value = float;
  static constexpr int kStride = kMostWidth + 4;        // of a record's values in shared memory
  static constexpr int kWeightStride = kMostWidth + 1;  // odd: staging a transposed tile meets no bank twice
  static constexpr std::size_t kWeightBytes = sizeof(float) * kDepth * kWeightStride;

  /// out(record, n, sum) for all n < padded, padded the power of two from 32 that holds `width`.
  template <Way kWay, int kPer, class Out>
  __device__ static void run(const Layer& l, int width, int depth, const float* values, float* weights, Out out) {
    constexpr int kPadded = kMostWidth * kPer / kRecords, kGroups = static_cast<int>(kMlpThreads) / kPadded;
    static_assert(kGroups * kPer == kRecords);
    const int tid = static_cast<int>(threadIdx.x), n = tid % kPadded, first = tid / kPadded * kPer;
    float sums[kPer] = {};
    for (int k0 = 0; k0 < depth; k0 += kDepth) {
      block_sync();  // the last chunk, or what was in this memory before, has been read
      for (int e = tid; e < kPadded * kDepth; e += static_cast<int>(kMlpThreads)) {
        // Neighbouring threads read neighbouring weights.
        const int at = kWay == Way::kForward ? e / kDepth : e % kPadded, k = kWay == Way::kForward ? e % kDepth : e / kPadded;
        weights[k * kWeightStride + at] = weight_at<kWay>(l, at, k0 + k);
      }
      block_sync();
#pragma unroll 4
      for (int k = 0; k < kDepth; ++k) {
        const float w = weights[k * kWeightStride + n];
        SUTURA_UNROLL
        for (int r = 0; r < kPer; ++r) sums[r] = fused_multiply_add(values[(first + r) * kStride + k0 + k], w, sums[r]);
      }
    }
    SUTURA_UNROLL
    for (int r = 0; r < kPer; ++r) out(first + r, n, n < width ? sums[r] : 0.0f);
  }

  template <Way kWay, class Out>
  __device__ static void product(const Layer& l, int width, int depth, const float* values, float* weights, Out out) {
    if (width <= 32) {
      run<kWay, 2>(l, width, depth, values, weights, out);
    } else if (width <= 64) {
      run<kWay, 4>(l, width, depth, values, weights, out);
    } else if (width <= 128) {
      run<kWay, 8>(l, width, depth, values, weights, out);
    } else {
      run<kWay, 16>(l, width, depth, values, weights, out);
    }
  }
};

/// bfloat16 on tensor cores: a warp takes every eighth column of eight outputs, at most four of them. Weights are rounded on
/// their way into shared memory.
struct Half {
  using Value = bf16;
  static constexpr int kStride = kMostWidth + 8;  // 16 bytes more than a multiple of 128: ldmatrix meets no bank twice
  static constexpr int kWeightStride = kDepth + 8;
  static constexpr std::size_t kWeightBytes = sizeof(bf16) * kMostWidth * kWeightStride;

  template <Way kWay, class Out>
  __device__ static void product(const Layer& l, int width, int depth, const bf16* values, bf16* weights, Out out) {
    constexpr int kColumns = kMostWidth / 8 / static_cast<int>(kMlpWarps);
    const int tid = static_cast<int>(threadIdx.x), warp = tid / 32, lane = static_cast<int>(lane_id());
    const int padded = (width + 31) / 32 * 32;
    float sums[kColumns][4] = {};
    for (int k0 = 0; k0 < depth; k0 += kDepth) {
      block_sync();
      for (int e = tid; e < padded * kDepth; e += static_cast<int>(kMlpThreads)) {
        const int at = kWay == Way::kForward ? e / kDepth : e % padded, k = kWay == Way::kForward ? e % kDepth : e / padded;
        weights[at * kWeightStride + k] = to_bf16(weight_at<kWay>(l, at, k0 + k));
      }
      block_sync();
      SUTURA_UNROLL
      for (int k = 0; k < kDepth; k += 16) {
        std::uint32_t a[4];  // matrices: rows 0-7 and 8-15 of columns k to k + 7, then of k + 8 to k + 15
        sutura::load_matrix_x4(a, values + (lane % 16) * kStride + k0 + k + lane / 16 * 8);
        SUTURA_UNROLL
        for (int c = 0; c < kColumns; ++c) {
          const int column = 8 * (warp + c * static_cast<int>(kMlpWarps));
          if (column >= padded) break;  // the same for the warp
          const bf16* row = weights + (column + lane / 4) * kWeightStride + k + 2 * (lane % 4);
          const std::uint32_t b[2] = {pair(row), pair(row + 8)};
          sutura::mma_bf16(sums[c], a, b);
        }
      }
    }
    SUTURA_UNROLL
    for (int c = 0; c < kColumns; ++c) {
      const int n = 8 * (warp + c * static_cast<int>(kMlpWarps)) + 2 * (lane % 4);
      if (n >= padded) break;
      SUTURA_UNROLL
      for (int i = 0; i < 4; ++i) out(lane / 4 + 8 * (i / 2), n + i % 2, n + i % 2 < width ? sums[c][i] : 0.0f);
    }
  }

 private:
  __device__ static std::uint32_t pair(const bf16* p) { return p[0].bits | static_cast<std::uint32_t>(p[1].bits) << 16; }
};

/// The tile's rows of from ([records, width]) into shared memory, zero beyond the batch and up to a multiple of kDepth columns.
template <class Policy>
__device__ __forceinline__ void load_tile(const typename Policy::Value* from, std::int64_t first, std::int64_t records, int width,
                                          typename Policy::Value* to) {
  const int padded = (width + kDepth - 1) / kDepth * kDepth;
  for (int e = static_cast<int>(threadIdx.x); e < kRecords * padded; e += static_cast<int>(kMlpThreads)) {
    const int r = e / padded, c = e % padded;
    const bool inside = first + r < records && c < width;
    to[r * Policy::kStride + c] = inside ? from[(first + r) * width + c] : typename Policy::Value{};
  }
}

}  // namespace sutura::SUTURA_DEVICE
