#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Elements [begin, begin + count) of a flat float32 buffer.
struct FlatRange {
  std::int64_t begin;
  std::int64_t count;
};

/// bfloat16 copies, on a device, of some ranges of a flat float32 buffer: the weights that matrix products read. The optimizer's
/// kernel writes them with the values, so that no pass of their own casts weights. Its blocks take one chunk each: so many
/// neighbouring elements that are either all copied, to neighbouring places, or not at all.
struct WorkingCopy {
  /// Elements of a chunk at most: 16 a thread of a block of 256, enough loads under way to reach memory's speed, and some
  /// thousand blocks for the parameters of a ResNet-18.
  static constexpr std::int64_t kChunk = 4096;
  Tensor chunks;  // [n, 3] int32, device: first element, elements, first element in `half` or -1
  Tensor half;    // [copied elements, each range padded to 8] bfloat16, device
  bool defined() const { return chunks.defined(); }
  std::int64_t count() const { return chunks.shape()[0]; }
};

/// Room for copies of `copied` (ascending, disjoint) of a buffer of `total` elements; refresh_working_copy() fills it.
/// Errors: kInvalidArgument for ranges outside, or a buffer of 2^31 elements or more.
WorkingCopy make_working_copy(const Context& ctx, std::int64_t total, std::span<const FlatRange> copied);
/// Where each range of `copied` begins in WorkingCopy::half: multiples of 8 elements, 16 bytes.
std::vector<std::int64_t> working_offsets(std::span<const FlatRange> copied);

/// copy = the ranges of `values` rounded to bfloat16 (nearest, ties to even). Device contexts only.
/// Shapes   values: [P] float32, the `total` that `copy` was made for.
/// Errors   kShapeMismatch, kInvalidArgument; kInternal on a CPU backend.
void refresh_working_copy(const Context& ctx, const Tensor& values, WorkingCopy& copy);

}  // namespace sutura
