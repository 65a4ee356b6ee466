#pragma once
#include <algorithm>
#include <cstdint>

/// How a matrix product of given sizes is cut into blocks. Plain host code. The block shape moves speed alone, never a bit of a
/// result; slices set the order in which a gradient is added up: the same bits for the same shapes and number of multiprocessors.
namespace sutura::gemm {

/// How operands may be read. kChunks: 16 aligned bytes lie together (channels are a multiple of 8 bf16 or 4 float32, pointers
/// are aligned), so that cp.async fetches them behind the arithmetic. kElements: any shape, one element at a time through
/// registers; latency-bound, for first layers with few channels, odd heads and tables.
enum class Access : std::uint8_t { kChunks, kElements };

/// Rows x columns of the result that one block of threads computes.
enum class Block : std::uint8_t { k64x64, k128x64, k128x128 };

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
constexpr std::int64_t block_rows(Block b) { return b == Block::k64x64 ? 64 : 128; }
constexpr std::int64_t block_columns(Block b) { return b == Block::k128x128 ? 128 : 64; }
/// The number of blocks that a result of rows x columns takes.
constexpr std::int64_t blocks_of(Block b, std::int64_t rows, std::int64_t columns) {
  return ceil_div(rows, block_rows(b)) * ceil_div(columns, block_columns(b));
}

/// The largest block that still gives every multiprocessor one: small maps (a residual network's last stages) do not fill the
/// chip with large blocks, and half an idle chip costs more than the bytes that they save. `copies`: products of this size that
/// run together (phases, slices of the depth). kElements knows one shape: its limit is latency, not the bytes.
constexpr Block choose_block(std::int64_t rows, std::int64_t columns, std::int64_t copies, Access access,
                             std::int64_t multiprocessors) {
  if (access == Access::kElements) return Block::k64x64;
  for (const Block b : {Block::k128x128, Block::k128x64}) {
    const bool half_empty = rows <= block_rows(b) / 2 || columns <= block_columns(b) / 2;
    if (!half_empty && blocks_of(b, rows, columns) * copies >= multiprocessors) return b;
  }
  return Block::k64x64;
}

/// Slices of a depth of `stages` stages for `blocks` blocks: about two blocks a multiprocessor, but no slice under 8 stages,
/// which would spend its time filling the pipeline and writing sums.
constexpr std::int64_t choose_slices(std::int64_t blocks, std::int64_t stages, std::int64_t multiprocessors) {
  return std::max<std::int64_t>(1, std::min(2 * multiprocessors / blocks, stages / 8));
}

}  // namespace sutura::gemm
