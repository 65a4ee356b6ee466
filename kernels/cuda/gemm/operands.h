#pragma once
#include <cstdint>

#include "core/error.h"
#include "kernels/cuda/simt.h"

/// Where the elements of an operand lie in global memory. Each operand splits an address into a line (the index that is not
/// contiguous) and a column (along the contiguous one), so that a thread decodes each only when it changes. at() gives nullptr
/// where the element is a zero that no memory holds: padding and everything beyond the edges.
namespace sutura::SUTURA_DEVICE::gemm {

/// n / divisor for 0 <= n < 2^31 by one multiplication (Granlund and Montgomery 1994): a division costs about 20 instructions.
class Divider {
 public:
  Divider() = default;
  explicit Divider(std::int64_t divisor) : divisor_(static_cast<std::uint32_t>(divisor)) {
    require(divisor >= 1 && divisor < (std::int64_t{1} << 31), Errc::kInternal, "gemm: a divisor lies outside [1, 2^31)");
    while ((std::uint64_t{1} << shift_) < divisor_) ++shift_;
    multiplier_ =
        static_cast<std::uint32_t>(((std::uint64_t{1} << 32) * ((std::uint64_t{1} << shift_) - divisor_)) / divisor_ + 1);
  }
  __device__ int quotient(int n) const {
    const auto u = static_cast<std::uint32_t>(n);
    const auto high = static_cast<std::uint32_t>((std::uint64_t{u} * multiplier_) >> 32);
    return static_cast<int>((high + u) >> shift_);
  }
  __device__ int divisor() const { return static_cast<int>(divisor_); }

 private:
  std::uint32_t divisor_ = 1, multiplier_ = 1, shift_ = 0;
};

/// A dense matrix [lines, columns].
template <class T>
struct Matrix {
  using Element = T;
  const T* base;
  int lines, columns;

  using Line = std::int64_t;  // offset, -1: beyond the edge
  using Column = int;         // -1: beyond the edge
  __device__ Line line(int i) const { return i < lines ? static_cast<std::int64_t>(i) * columns : -1; }
  __device__ Column column(int j) const { return j < columns ? j : -1; }
  __device__ const T* at(Line l, Column c) const { return l >= 0 && c >= 0 ? base + l + c : nullptr; }
};

/// The unrolled windows of images [N, height, width, channels]: line i is the position (n, p, q), column j the tap (r, s) and
/// channel c of its window, [taps_h, taps_w, channels]; the element lies at (p * scale + shift + r * step, ...). step is 1 where
/// a window is read (forward, weights' gradient), -1 where the positions that a pixel took part in are (data's gradient).
template <class T>
struct Window {
  using Element = T;
  const T* base;
  int height, width;
  int lines, columns;
  Divider across, down;  // positions in a row, rows of positions
  Divider channels, taps_w;
  int scale_h, scale_w, shift_h, shift_w, step;

  static constexpr int kOutside = -(1 << 29);  // a coordinate that no sum with another one makes valid
  struct Line {
    std::int64_t offset;  // of the first tap, maybe outside the image
    int h, w;
  };
  struct Column {
    std::int64_t offset;
    int h, w;
  };
  __device__ Line line(int i) const {
    if (i >= lines) return {0, kOutside, kOutside};
    const int row = across.quotient(i), q = i - row * across.divisor();
    const int n = down.quotient(row), p = row - n * down.divisor();
    const int h = p * scale_h + shift_h, w = q * scale_w + shift_w;
    return {((static_cast<std::int64_t>(n) * height + h) * width + w) * channels.divisor(), h, w};
  }
  __device__ Column column(int j) const {
    if (j >= columns) return {0, kOutside, kOutside};
    const int tap = channels.quotient(j), c = j - tap * channels.divisor();
    const int r = taps_w.quotient(tap), s = tap - r * taps_w.divisor();
    const int h = r * step, w = s * step;
    return {(static_cast<std::int64_t>(h) * width + w) * channels.divisor() + c, h, w};
  }
  __device__ const T* at(const Line& l, const Column& c) const {
    const bool inside = static_cast<unsigned>(l.h + c.h) < static_cast<unsigned>(height) &&
                        static_cast<unsigned>(l.w + c.w) < static_cast<unsigned>(width);
    return inside ? base + l.offset + c.offset : nullptr;
  }
};

/// The weights [filters, kernel_h, kernel_w, channels] as data's gradient needs them: line i is a tap and a filter, [taps_h,
/// taps_w, filters], column j a channel. Taps are (first + j * stride): those that reach pixels of one phase.
template <class T>
struct TapWeights {
  using Element = T;
  const T* base;
  int lines, columns;
  Divider filters, taps_w;
  int kernel_h, kernel_w;
  int first_h, first_w, stride_h, stride_w;

  using Line = std::int64_t;  // -1: beyond the edge
  using Column = int;
  __device__ Line line(int i) const {
    if (i >= lines) return -1;
    const int tap = filters.quotient(i), k = i - tap * filters.divisor();
    const int down = taps_w.quotient(tap), across = tap - down * taps_w.divisor();
    const int r = first_h + down * stride_h, s = first_w + across * stride_w;
    return ((static_cast<std::int64_t>(k) * kernel_h + r) * kernel_w + s) * columns;
  }
  __device__ Column column(int j) const { return j < columns ? j : -1; }
  __device__ const T* at(Line l, Column c) const { return l >= 0 && c >= 0 ? base + l + c : nullptr; }
};

}  // namespace sutura::SUTURA_DEVICE::gemm
