#pragma once
#include <cstdint>

#include "kernels/cuda/simt.h"
#include "kernels/ops/working_copy/working_copy.h"

/// How kernels walk over a flat buffer, with a WorkingCopy or without one: a block per chunk. For .cu files.
namespace sutura::SUTURA_DEVICE {

/// `table` is WorkingCopy::chunks, or nullptr: the buffer in equal pieces without copies.
struct Chunks {
  const std::int32_t* table;
  bf16* half;
  std::int64_t total;
  unsigned blocks;

  Chunks(std::int64_t elements, const WorkingCopy* copy)
      : table(copy == nullptr ? nullptr : static_cast<const std::int32_t*>(copy->chunks.data())),
        half(copy == nullptr ? nullptr : static_cast<bf16*>(const_cast<void*>(copy->half.data()))),
        total(elements),
        blocks(static_cast<unsigned>(copy == nullptr ? (elements + WorkingCopy::kChunk - 1) / WorkingCopy::kChunk
                                                     : copy->count())) {}
};

/// Calls step(i) for the elements of this block's chunk, neighbouring threads taking neighbouring elements, and stores what it
/// returns as the copy of element i where the chunk has one.
template <class Step>
__device__ __forceinline__ void for_chunk(const Chunks& c, Step step) {
  std::int64_t begin = static_cast<std::int64_t>(blockIdx.x) * WorkingCopy::kChunk;
  int count = static_cast<int>(c.total - begin < WorkingCopy::kChunk ? c.total - begin : WorkingCopy::kChunk);
  int half = -1;
  if (c.table != nullptr) {
    begin = c.table[3 * blockIdx.x];
    count = c.table[3 * blockIdx.x + 1];
    half = c.table[3 * blockIdx.x + 2];
  }
  for (int i = static_cast<int>(threadIdx.x); i < count; i += static_cast<int>(blockDim.x)) {
    const float value = step(begin + i);
    if (half >= 0) c.half[half + i] = to_bf16(value);
  }
}

}  // namespace sutura::SUTURA_DEVICE
