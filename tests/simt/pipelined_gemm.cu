// A bf16 matrix product of the kind that the mutation tests need: three stages of copy_async, swizzled tiles, load_matrix and
// mma. CMakeLists.txt builds it as it is and once per mutation; every mutant must fail the check that the kernel passes.
#include "tests/simt/pipelined_gemm.h"

#include "kernels/cuda/launch.h"

namespace sutura::SUTURA_DEVICE {

namespace {

constexpr int kTile = 64, kDepth = 32, kStages = 3, kThreads = 128;
constexpr int kChunks = kDepth / 8;  // of 16 bytes in a row

/// Where chunk c of row r of a tile lies, in elements: eight rows that a load_matrix reads lie in eight groups of banks.
__device__ __forceinline__ int place(int r, int c) { return (r * kChunks + (c ^ (r >> 1 & 3))) * 8; }

/// C (m, n) = A (m, k) B (n, k)^T, float32 sums; m and n any, k a multiple of 8. Limit: tensor throughput; the tile is small so
/// that tests see many blocks.
__global__ void __launch_bounds__(kThreads) pipelined_gemm_kernel(const bf16* a, const bf16* b, float* c, int m, int n, int k) {
  SUTURA_DYNAMIC_SHARED(bf16, shared);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const int row0 = static_cast<int>(blockIdx.y) * kTile, column0 = static_cast<int>(blockIdx.x) * kTile;
  const auto tile_a = [&](int stage) { return shared + stage * kTile * kDepth; };
  const auto tile_b = [&](int stage) { return shared + (kStages + stage) * kTile * kDepth; };

  const auto load = [&](int step) {
    const int stage = step % kStages;
    for (int i = thread; i < kTile * kChunks; i += kThreads) {
      const int r = i / kChunks, chunk = i % kChunks, depth = step * kDepth + chunk * 8;
      const bool a_valid = row0 + r < m && depth < k;
      const bool b_valid = column0 + r < n && depth < k;
      copy_async_16(tile_a(stage) + place(r, chunk), a_valid ? a + static_cast<std::int64_t>(row0 + r) * k + depth : a, a_valid);
      copy_async_16(tile_b(stage) + place(r, chunk), b_valid ? b + static_cast<std::int64_t>(column0 + r) * k + depth : b, b_valid);
    }
  };

  float sums[2][4][4] = {};  // the warp's 32 x 32 part: 2 x 4 products of 16 x 8
  const int warp_row = warp / 2 * 32, warp_column = warp % 2 * 32;
  const int steps = (k + kDepth - 1) / kDepth;
  for (int step = 0; step < kStages - 1; ++step) {
    if (step < steps) load(step);
    copy_async_commit();
  }
  for (int step = 0; step < steps; ++step) {
    copy_async_wait<kStages - 2>();
    // All copies of this step are there, and nobody reads the stage that is loaded next.
    block_sync();
    if (step + kStages - 1 < steps) load(step + kStages - 1);
    copy_async_commit();
    const bf16* at = tile_a(step % kStages);
    const bf16* bt = tile_b(step % kStages);
    SUTURA_UNROLL
    for (int depth = 0; depth < kDepth / 16; ++depth) {
      std::uint32_t fa[2][4], fb[2][4];
      SUTURA_UNROLL
      for (int i = 0; i < 2; ++i) {
        load_matrix_x4(fa[i], at + place(warp_row + 16 * i + lane % 16, 2 * depth + lane / 16));
        load_matrix_x4(fb[i], bt + place(warp_column + 16 * i + lane % 16, 2 * depth + lane / 16));
      }
      SUTURA_UNROLL
      for (int i = 0; i < 2; ++i)
        SUTURA_UNROLL
        for (int j = 0; j < 4; ++j) {
          const std::uint32_t pair[2] = {fb[j / 2][j % 2], fb[j / 2][j % 2 + 2]};
          mma_bf16(sums[i][j], fa[i], pair);
        }
    }
  }
  SUTURA_UNROLL
  for (int i = 0; i < 2; ++i)
    SUTURA_UNROLL
    for (int j = 0; j < 4; ++j)
      SUTURA_UNROLL
      for (int e = 0; e < 4; ++e) {
        const int r = row0 + warp_row + 16 * i + lane / 4 + e / 2 * 8, col = column0 + warp_column + 8 * j + lane % 4 * 2 + e % 2;
        if (r < m && col < n) c[static_cast<std::int64_t>(r) * n + col] = sums[i][j][e];
      }
}

}  // namespace

void pipelined_gemm(const bf16* a, const bf16* b, float* c, int m, int n, int k, Stream stream) {
  const dim3 grid(static_cast<unsigned>((n + kTile - 1) / kTile), static_cast<unsigned>((m + kTile - 1) / kTile));
  SUTURA_LAUNCH(pipelined_gemm_kernel, grid, kThreads, 2 * kStages * kTile * kDepth * sizeof(bf16), stream, a, b, c, m, n, k);
}

}  // namespace sutura::SUTURA_DEVICE
