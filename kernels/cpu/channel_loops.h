#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/cpu/row_loops.h"

/// Loops over rows of channels [rows, C], the core of batch and group normalisation. Parameters per channel are repeated
/// to `width` values (at least kTileWidth), so that the inner loop is long whatever C is.
namespace sutura::onednn {

struct ChannelTile {
  explicit ChannelTile(std::int64_t c) : channels(c), width(c * std::max<std::int64_t>(1, (kTileWidth + c - 1) / c)) {}
  static constexpr std::int64_t kTileWidth = 256;
  std::int64_t channels;
  std::int64_t width;
};

/// Fills tile[0, width) with values[i % channels]; `values` may be the tile itself.
inline void repeat(ChannelTile t, const float* values, float* tile) {
  for (std::int64_t i = values == tile ? t.channels : 0; i < t.width; i += t.channels) {
    std::copy(values, values + t.channels, tile + i);
  }
}

/// Adds the repeats of a tile of sums into the first `channels` places.
SUTURA_INLINE void fold(ChannelTile t, float* sums) {
  for (std::int64_t i = t.channels; i < t.width; i += t.channels) {
#pragma GCC ivdep
    for (std::int64_t c = 0; c < t.channels; ++c) sums[c] += sums[i + c];
  }
}

/// sums[c] = sum of x over `n` values (a multiple of the channel count). `sums` holds a tile.
template <class T>
struct ChannelSum {
  static SUTURA_INLINE void run(ChannelTile t, std::int64_t n, const T* x, float* sums) {
    const std::int64_t w = t.width;
    for (std::int64_t j = 0; j < w; ++j) sums[j] = 0.0f;
    std::int64_t i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {
      const T* a = x + i;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < w; ++j) {
        sums[j] += (load(a[j]) + load(a[w + j])) + (load(a[2 * w + j]) + load(a[3 * w + j]));
      }
    }
    for (; i < n; i += w) {
      const std::int64_t count = std::min(w, n - i);
#pragma GCC ivdep
      for (std::int64_t j = 0; j < count; ++j) sums[j] += load(x[i + j]);
    }
    fold(t, sums);
  }
};

/// sums[c] = sum of (x - mean[c])^2.
template <class T>
struct ChannelSquares {
  static SUTURA_INLINE float square(float v) { return v * v; }
  static SUTURA_INLINE void run(ChannelTile t, std::int64_t n, const T* x, const float* mean, float* sums) {
    const std::int64_t w = t.width;
    for (std::int64_t j = 0; j < w; ++j) sums[j] = 0.0f;
    std::int64_t i = 0;
    for (; i + 2 * w <= n; i += 2 * w) {
      const T* a = x + i;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < w; ++j) sums[j] += square(load(a[j]) - mean[j]) + square(load(a[w + j]) - mean[j]);
    }
    for (; i < n; i += w) {
      const std::int64_t count = std::min(w, n - i);
#pragma GCC ivdep
      for (std::int64_t j = 0; j < count; ++j) sums[j] += square(load(x[i + j]) - mean[j]);
    }
    fold(t, sums);
  }
};

/// sums[c] = sum of grad_y, products[c] = sum of grad_y * (x - mean[c]).
template <class T>
struct ChannelProducts {
  static SUTURA_INLINE void run(ChannelTile t, std::int64_t n, const T* x, const T* grad_y, const float* mean, float* sums,
                                float* products) {
    const std::int64_t w = t.width;
    for (std::int64_t j = 0; j < w; ++j) sums[j] = products[j] = 0.0f;
    std::int64_t i = 0;
    for (; i + 2 * w <= n; i += 2 * w) {
      const T* a = x + i;
      const T* g = grad_y + i;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < w; ++j) {
        const float g0 = load(g[j]), g1 = load(g[w + j]);
        sums[j] += g0 + g1;
        products[j] += g0 * (load(a[j]) - mean[j]) + g1 * (load(a[w + j]) - mean[j]);
      }
    }
    for (; i < n; i += w) {
      const std::int64_t count = std::min(w, n - i);
#pragma GCC ivdep
      for (std::int64_t j = 0; j < count; ++j) {
        const float g = load(grad_y[i + j]);
        sums[j] += g;
        products[j] += g * (load(x[i + j]) - mean[j]);
      }
    }
    fold(t, sums);
    fold(t, products);
  }
};

/// y = (x - mean[c]) * scale[c] + shift[c]
template <class T>
struct ChannelAffine {
  static SUTURA_INLINE void run(ChannelTile t, std::int64_t n, const T* x, const float* mean, const float* scale,
                                const float* shift, T* y) {
    for (std::int64_t i = 0; i < n; i += t.width) {
      const std::int64_t count = std::min(t.width, n - i);
#pragma GCC ivdep
      for (std::int64_t j = 0; j < count; ++j) y[i + j] = rounded<T>((load(x[i + j]) - mean[j]) * scale[j] + shift[j]);
    }
  }
};

/// grad_x = grad_y * a[c] - b[c] - (x - mean[c]) * d[c]
template <class T>
struct ChannelAffineBackward {
  static SUTURA_INLINE void run(ChannelTile t, std::int64_t n, const T* x, const T* grad_y, const float* mean, const float* a,
                                const float* b, const float* d, T* grad_x) {
    for (std::int64_t i = 0; i < n; i += t.width) {
      const std::int64_t count = std::min(t.width, n - i);
#pragma GCC ivdep
      for (std::int64_t j = 0; j < count; ++j) {
        grad_x[i + j] = rounded<T>(load(grad_y[i + j]) * a[j] - b[j] - (load(x[i + j]) - mean[j]) * d[j]);
      }
    }
  }
};

/// Values one call of a loop above takes: it stays in the first-level cache between two loops, and sums in float32 stay
/// short. A multiple of the tile's width.
inline std::int64_t block_values(ChannelTile t) { return t.width * std::max<std::int64_t>(1, 8192 / t.width); }

}  // namespace sutura::onednn
