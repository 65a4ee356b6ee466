#include <bit>

#include "kernels/cuda/elementwise.h"
#include "kernels/ops/concat/concat_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

/// to[row][u] = from[row][u] for rows of `width` units that lie `to_stride` and `from_stride` units apart.
/// Limit: memory. Shape: `lanes` threads (a power of two, at least the width where it fits) serve a row and 256 / lanes rows a
/// block: no division per element, and neighbours in a warp touch neighbours in memory.
template <class Unit>
__global__ void __launch_bounds__(kThreads)
    copy_columns_kernel(std::int64_t rows, std::int64_t width, unsigned lanes, Unit* to, std::int64_t to_stride, const Unit* from,
                        std::int64_t from_stride) {
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * (kThreads / lanes);
  for (std::int64_t row = static_cast<std::int64_t>(blockIdx.x) * (kThreads / lanes) + threadIdx.x / lanes; row < rows;
       row += stride)
    for (std::int64_t u = threadIdx.x & (lanes - 1); u < width; u += lanes) to[row * to_stride + u] = from[row * from_stride + u];
}

struct Stretch {
  std::int64_t rows, bytes, to_stride, from_stride;  // the strides in bytes
  void* to;
  const void* from;
};

template <class Unit>
void copy_units(Context& ctx, const Stretch& s) {
  constexpr auto kUnit = static_cast<std::int64_t>(sizeof(Unit));
  const auto lanes = static_cast<unsigned>(
      std::min<std::int64_t>(kThreads, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(s.bytes / kUnit)))));
  const std::int64_t per_block = kThreads / lanes;
  const auto blocks = static_cast<unsigned>(std::min<std::int64_t>((s.rows + per_block - 1) / per_block, kMostBlocks));
  SUTURA_LAUNCH(copy_columns_kernel<Unit>, blocks, kThreads, 0, ctx.stream().stream(), s.rows, s.bytes / kUnit, lanes,
                static_cast<Unit*>(s.to), s.to_stride / kUnit, static_cast<const Unit*>(s.from), s.from_stride / kUnit);
}

/// In the widest unit that divides all of it.
void copy_stretch(Context& ctx, const Stretch& s) {
  const std::uint64_t all = static_cast<std::uint64_t>(s.bytes | s.to_stride | s.from_stride) |
                            reinterpret_cast<std::uintptr_t>(s.to) | reinterpret_cast<std::uintptr_t>(s.from);
  if (all % 16 == 0) {
    copy_units<Pack<std::uint32_t, 4>>(ctx, s);
  } else if (all % 4 == 0) {
    copy_units<Pack<std::uint16_t, 2>>(ctx, s);
  } else {
    copy_units<std::uint16_t>(ctx, s);
  }
}

std::int64_t row_bytes(const Tensor& t) {
  return t.shape()[t.shape().rank() - 1] * static_cast<std::int64_t>(size_bytes(t.dtype()));
}

/// copy(part, its first byte in a joined row, its bytes a row) from left to right.
template <class Parts, class Copy>
void for_parts(const Parts& parts, Copy copy) {
  std::int64_t at = 0;
  for (auto* part : parts) {
    const std::int64_t bytes = row_bytes(*part);
    if (bytes != 0) copy(*part, at, bytes);
    at += bytes;
  }
}

}  // namespace

void concat_forward(Context& ctx, const std::vector<const Tensor*>& xs, Tensor& y) {
  const std::int64_t joined = row_bytes(y), rows = static_cast<std::int64_t>(y.bytes_size()) / joined;
  for_parts(xs, [&](const Tensor& part, std::int64_t at, std::int64_t bytes) {
    copy_stretch(ctx, {rows, bytes, joined, bytes, static_cast<std::byte*>(y.data()) + at, part.data()});
  });
}

void concat_backward(Context& ctx, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs) {
  const std::int64_t joined = row_bytes(grad_y), rows = static_cast<std::int64_t>(grad_y.bytes_size()) / joined;
  for_parts(grad_xs, [&](Tensor& part, std::int64_t at, std::int64_t bytes) {
    copy_stretch(ctx, {rows, bytes, bytes, joined, part.data(), static_cast<const std::byte*>(grad_y.data()) + at});
  });
}

}  // namespace sutura::SUTURA_DEVICE
