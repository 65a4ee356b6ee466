#pragma once
#include <cstdint>

#include "kernels/cuda/gemm/choice.h"
#include "kernels/cuda/simt.h"

/// Matrix products on tensor cores: sum[m][n] = sum over k of A(m, k) * B(n, k). A block computes one tile of the sums; operands
/// pass through shared memory in stages of `depth` k values.
namespace sutura::SUTURA_DEVICE::gemm {

using namespace ::sutura::gemm;  // choice.h: the part that no device compiles

/// A stage holds 64 bytes of depth a row in every precision: 32 bf16 or 16 float32, two steps of mma m16n8k16 or m16n8k8. In
/// bytes the fragments of both are the same, so that one set of loads serves them.
constexpr int kDepthBytes = 64;
constexpr int kChunkBytes = 16;  // what one cp.async and one row of an ldmatrix move

/// Which index of an operand is contiguous in memory, and so in shared memory.
enum class Major { kDepth, kRows };

/// What a block and each of its warps compute. Every warp holds kWarpRows x kWarpColumns sums in registers.
template <int kBlockRows, int kBlockColumns, int kWarpRows, int kWarpColumns>
struct BlockShape {
  static constexpr int kRows = kBlockRows, kColumns = kBlockColumns;
  // Three under way cover memory's latency; 64 KiB at most leave two blocks of an SM their shared memory. Registers suffice for two
  // of 256 threads in bf16 (126 a thread), not for the gradients in tf32 (155 to 167): held to 128 those spill.
  static constexpr int kStages = 4;
  static constexpr int kWarpsDown = kBlockRows / kWarpRows, kWarpsAcross = kBlockColumns / kWarpColumns;
  static constexpr int kThreads = 32 * kWarpsDown * kWarpsAcross;
  static constexpr int kTilesDown = kWarpRows / 16, kTilesAcross = kWarpColumns / 8;  // mma tiles of a warp
  static constexpr std::size_t kSharedBytes = std::size_t{kStages} * (kBlockRows + kBlockColumns) * kDepthBytes;
  using Sums = float[kTilesDown][kTilesAcross][4];
};
using Block64x64 = BlockShape<64, 64, 32, 32>;      // 128 threads, 32 sums each: fills the chip where a product is small
using Block128x64 = BlockShape<128, 64, 64, 32>;    // 128 threads, 64 sums each: 1.3 times the work per byte of 64x64
using Block128x128 = BlockShape<128, 128, 64, 32>;  // 256 threads, 64 sums each: twice the work per byte of 64x64

/// Where a thread's sums lie in its block's tile: the layout of mma's d, which the exact products share.
template <class Shape>
struct ThreadPlace {
  int lane = static_cast<int>(lane_id()), warp = static_cast<int>(threadIdx.x) / 32;
  int warp_row = warp / Shape::kWarpsAcross * Shape::kTilesDown * 16;
  int warp_column = warp % Shape::kWarpsAcross * Shape::kTilesAcross * 8;
  /// sums[i][j][2 * half + e] belongs to row(i, half), column(j) + e.
  __device__ int row(int i, int half) const { return warp_row + 16 * i + 8 * half + lane / 4; }
  __device__ int column(int j) const { return warp_column + 8 * j + 2 * (lane % 4); }
};

/// One operand's part of a stage in shared memory: lines of the contiguous index, cut into 16-byte chunks. The chunk's place in
/// its line is XORed with the line's number so that neither eight rows of an ldmatrix (16 bytes each) nor the 32 words that a
/// warp reads of a 4-byte kRows tile (8 rows by 4 depths) share a bank.
template <class T, int kRows, Major kMajor>
struct OperandTile {
  using Element = T;
  static constexpr Major kContiguous = kMajor;
  static constexpr int kPerChunk = kChunkBytes / static_cast<int>(sizeof(T));
  static constexpr int kDepth = kDepthBytes / static_cast<int>(sizeof(T));
  static constexpr int kLines = kMajor == Major::kDepth ? kRows : kDepth;
  static constexpr int kChunks = (kMajor == Major::kDepth ? kDepth : kRows) / kPerChunk;  // of a line
  static constexpr int kElements = kRows * kDepth;

  __device__ static int twist(int line) {
    if constexpr (kMajor == Major::kDepth) return (line >> 1) & 3;  // two lines of 64 bytes span the banks once
    if constexpr (kMajor == Major::kRows) return sizeof(T) == 2 ? line & 7 : (line & 3) * 2;
    return 0;
  }
  __device__ static int chunk(int line, int at) { return (line * kChunks + (at ^ twist(line))) * kPerChunk; }
  __device__ static int element(int line, int at) { return chunk(line, at / kPerChunk) + at % kPerChunk; }
};

}  // namespace sutura::SUTURA_DEVICE::gemm
