#include <limits>

#include "core/error.h"
#include "kernels/cuda/columns.h"
#include "kernels/ops/pool2d/pool2d_impl.h"

// Backward gathers: a pixel sums the windows that cover it in window order, so that nothing is added by two threads.
namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

struct Geometry {
  unsigned pixels;  // of the side that threads walk: N * P * Q forward, N * H * W backward
  int h, w, p, q;   // image and output
  std::int64_t channels;
  unsigned lanes;  // threads side by side on one pixel's channels, a power of two up to 32
  int kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w;

  /// Calls visit(pixel, channel) for this thread's share, V channels at a time.
  template <int V, class Visit>
  __device__ __forceinline__ void for_pixels(Visit visit) const {
    const unsigned below = kThreads / lanes, stride = gridDim.x * below;
    for (std::uint64_t pixel = blockIdx.x * below + threadIdx.x / lanes; pixel < pixels; pixel += stride)
      for (std::int64_t c = static_cast<std::int64_t>(threadIdx.x & (lanes - 1)) * V; c < channels;
           c += static_cast<std::int64_t>(lanes) * V)
        visit(static_cast<unsigned>(pixel), c);
  }
  /// Calls visit(h * w's index, its offset without the channel) for the pixels of output `out`'s window, row by row.
  template <class Visit>
  __device__ __forceinline__ void for_window(unsigned out, Visit visit) const {
    const unsigned row = out / static_cast<unsigned>(q), record = row / static_cast<unsigned>(p);
    const int top = static_cast<int>(row % static_cast<unsigned>(p)) * stride_h - pad_h;
    const int left = static_cast<int>(out % static_cast<unsigned>(q)) * stride_w - pad_w;
    for (int i = top > 0 ? top : 0; i < top + kernel_h && i < h; ++i)
      for (int j = left > 0 ? left : 0; j < left + kernel_w && j < w; ++j)
        visit(i * w + j, (static_cast<std::int64_t>(record) * h * w + i * w + j) * channels);
  }
  /// Calls visit(place of the pixel in its image, the output's offset without the channel) for the windows over pixel `in`, in
  /// order.
  template <class Visit>
  __device__ __forceinline__ void for_covering(unsigned in, Visit visit) const {
    const unsigned row = in / static_cast<unsigned>(w), record = row / static_cast<unsigned>(h);
    const int i = static_cast<int>(row % static_cast<unsigned>(h)), j = static_cast<int>(in % static_cast<unsigned>(w));
    // Window a starts at a * stride - pad: the first that still reaches the pixel, and the last that starts at or before it.
    const int top = i + pad_h < kernel_h ? 0 : (i + pad_h - kernel_h) / stride_h + 1;
    const int left = j + pad_w < kernel_w ? 0 : (j + pad_w - kernel_w) / stride_w + 1;
    for (int a = top; a < p && a * stride_h <= i + pad_h; ++a)
      for (int b = left; b < q && b * stride_w <= j + pad_w; ++b)
        visit(i * w + j, ((static_cast<std::int64_t>(record) * p + a) * q + b) * channels);
  }
};

/// The largest value of each window and its place in the image.
/// Limit: memory; windows overlap in the first cache. Shape: 16 bytes of channels a thread, neighbours on one pixel's channels, so
/// that a warp reads full lines whatever the window.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 4) max_forward_kernel(Geometry z, const T* x, T* y, std::int32_t* index) {
  z.for_pixels<V>([&](unsigned out, std::int64_t c) {
    float best[V] = {};
    Pack<std::int32_t, V> place{};
    bool first = true;
    z.for_window(out, [&](std::int32_t at, std::int64_t offset) {
      const auto from = load_pack<V>(x + offset + c);
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) {
        const float v = load_value(from.v[k]);
        // A NaN beats every number, never another NaN.
        if (first || v > best[k] || (v != v && best[k] == best[k])) {
          best[k] = v;
          place.v[k] = at;
        }
      }
      first = false;
    });
    Pack<T, V> value;
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) value.v[k] = store_value<T>(best[k]);
    const std::int64_t to = static_cast<std::int64_t>(out) * z.channels + c;
    store_pack(y + to, value);
    store_pack(index + to, place);
  });
}

/// A pixel's sum over the windows that name it.
/// Limit: memory; a pixel's windows are neighbours in the first cache. Shape: as max_forward_kernel, over pixels of the image.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 4)
    max_backward_kernel(Geometry z, const std::int32_t* index, const T* grad_y, T* grad_x) {
  z.for_pixels<V>([&](unsigned in, std::int64_t c) {
    float sum[V] = {};
    z.for_covering(in, [&](std::int32_t at, std::int64_t offset) {
      const auto place = load_pack<V>(index + offset + c);
      const auto g = load_pack<V>(grad_y + offset + c);
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k)
        if (place.v[k] == at) sum[k] += load_value(g.v[k]);
    });
    Pack<T, V> value;
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) value.v[k] = store_value<T>(sum[k]);
    store_pack(grad_x + static_cast<std::int64_t>(in) * z.channels + c, value);
  });
}

enum class Direction { kForward, kBackward };

/// to = sum over a window, or over the covering windows, of from / area.
/// Limit: memory, as the kernels of the maximum. Shape: theirs.
template <class T, int V, Direction kDirection>
__global__ void __launch_bounds__(kThreads, 4) avg_kernel(Geometry z, const T* from, T* to) {
  const auto area = static_cast<float>(z.kernel_h * z.kernel_w);
  z.for_pixels<V>([&](unsigned pixel, std::int64_t c) {
    float sum[V] = {};
    const auto take = [&](std::int32_t, std::int64_t offset) {
      const auto values = load_pack<V>(from + offset + c);
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) sum[k] += load_value(values.v[k]);
    };
    if constexpr (kDirection == Direction::kForward) {
      z.for_window(pixel, take);
    } else {
      z.for_covering(pixel, take);
    }
    Pack<T, V> value;
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) value.v[k] = store_value<T>(sum[k] / area);
    store_pack(to + static_cast<std::int64_t>(pixel) * z.channels + c, value);
  });
}

/// The sums of Columns, one record's positions as rows: blockIdx.y names the record.
/// Limit: memory. Shape: that of Columns; a record's positions are few (49 in the last stage of a ResNet), so nothing is split.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads, 4) global_forward_kernel(Columns z, std::int64_t records, const T* x, T* y) {
  SUTURA_SHARED(float, shared, V* kColumnThreads);
  const std::int64_t c = z.channel<V>();
  for (std::int64_t n = blockIdx.y; n < records; n += gridDim.y) {
    float sum[V] = {};
    if (c < z.channels) {
      for (std::int64_t row = z.row_lane(); row < z.rows; row += z.row_lanes()) {
        const auto from = load_pack<V>(x + (n * z.rows + row) * z.channels + c);
        SUTURA_UNROLL
        for (int k = 0; k < V; ++k) sum[k] += load_value(from.v[k]);
      }
    }
    column_total(z, sum, &shared[0]);
    if (z.row_lane() == 0 && c < z.channels) {
      Pack<T, V> value;
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) value.v[k] = store_value<T>(sum[k] / static_cast<float>(z.rows));
      store_pack(y + n * z.channels + c, value);
    }
    block_sync();  // the next record writes `shared`
  }
}

/// grad_x = grad_y / positions, for every position.
/// Limit: memory, the writes. Shape: as max_forward_kernel, over pixels of the image.
template <class T, int V>
__global__ void __launch_bounds__(kThreads, 4) global_backward_kernel(Geometry z, const T* grad_y, T* grad_x) {
  const int positions = z.h * z.w;
  const auto count = static_cast<float>(positions);
  z.for_pixels<V>([&](unsigned in, std::int64_t c) {
    const auto g = load_pack<V>(grad_y + static_cast<std::int64_t>(in / static_cast<unsigned>(positions)) * z.channels + c);
    Pack<T, V> value;
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) value.v[k] = store_value<T>(load_value(g.v[k]) / count);
    store_pack(grad_x + static_cast<std::int64_t>(in) * z.channels + c, value);
  });
}

Geometry geometry(const Pool2dSpec& s, const Shape& x, const Shape& y, std::int64_t pixels) {
  require(std::max(x[0] * x[1] * x[2], y[0] * y[1] * y[2]) <= std::numeric_limits<std::int32_t>::max(), Errc::kResources,
          "pool2d: a device counts the pixels of a batch in 31 bits");
  const auto i = [](std::int64_t v) { return static_cast<int>(v); };
  return {static_cast<unsigned>(pixels),
          i(x[1]),
          i(x[2]),
          i(y[1]),
          i(y[2]),
          x[3],
          1,
          i(s.kernel_h),
          i(s.kernel_w),
          i(s.stride_h),
          i(s.stride_w),
          i(s.pad_h),
          i(s.pad_w)};
}
Geometry forward_geometry(const Pool2dSpec& s, const Tensor& x, const Tensor& y) {
  return geometry(s, x.shape(), y.shape(), y.elements() / y.shape()[3]);
}
Geometry backward_geometry(const Pool2dSpec& s, const Tensor& x, const Tensor& y) {
  return geometry(s, x.shape(), y.shape(), x.elements() / x.shape()[3]);
}

/// Calls f(T*, V, geometry with lanes, blocks).
template <class Function>
void with_pixels(DType dtype, Geometry z, std::initializer_list<const void*> addresses, Function f) {
  with_columns(dtype, z.channels, addresses, [&]<class T, int V>(T* type, std::integral_constant<int, V> vector) {
    z.lanes = static_cast<unsigned>(std::min<std::uint64_t>(32, std::bit_ceil(static_cast<std::uint64_t>(z.channels / V))));
    const unsigned below = kThreads / z.lanes;
    f(type, vector, z, static_cast<unsigned>(std::min<std::int64_t>((z.pixels + below - 1) / below, kMostBlocks)));
  });
}

}  // namespace

void max_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index) {
  with_pixels(x.dtype(), forward_geometry(spec, x, y), {x.data(), y.data(), index.data()},
              [&]<class T, int V>(T*, std::integral_constant<int, V>, const Geometry& z, unsigned blocks) {
                SUTURA_LAUNCH((max_forward_kernel<T, V>), blocks, kThreads, 0, ctx.stream().stream(), z,
                              static_cast<const T*>(x.data()), static_cast<T*>(y.data()),
                              static_cast<std::int32_t*>(index.data()));
              });
}

void max_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x) {
  with_pixels(grad_y.dtype(), backward_geometry(spec, grad_x, grad_y), {index.data(), grad_y.data(), grad_x.data()},
              [&]<class T, int V>(T*, std::integral_constant<int, V>, const Geometry& z, unsigned blocks) {
                SUTURA_LAUNCH((max_backward_kernel<T, V>), blocks, kThreads, 0, ctx.stream().stream(), z,
                              static_cast<const std::int32_t*>(index.data()), static_cast<const T*>(grad_y.data()),
                              static_cast<T*>(grad_x.data()));
              });
}

void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y) {
  with_pixels(x.dtype(), forward_geometry(spec, x, y), {x.data(), y.data()},
              [&]<class T, int V>(T*, std::integral_constant<int, V>, const Geometry& z, unsigned blocks) {
                SUTURA_LAUNCH((avg_kernel<T, V, Direction::kForward>), blocks, kThreads, 0, ctx.stream().stream(), z,
                              static_cast<const T*>(x.data()), static_cast<T*>(y.data()));
              });
}

void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x) {
  with_pixels(grad_y.dtype(), backward_geometry(spec, grad_x, grad_y), {grad_y.data(), grad_x.data()},
              [&]<class T, int V>(T*, std::integral_constant<int, V>, const Geometry& z, unsigned blocks) {
                SUTURA_LAUNCH((avg_kernel<T, V, Direction::kBackward>), blocks, kThreads, 0, ctx.stream().stream(), z,
                              static_cast<const T*>(grad_y.data()), static_cast<T*>(grad_x.data()));
              });
}

void global_avg_pool_forward(Context& ctx, const Tensor& x, Tensor& y) {
  const std::int64_t records = x.shape()[0], channels = x.shape()[3], positions = x.shape()[1] * x.shape()[2];
  with_columns(x.dtype(), channels, {x.data(), y.data()}, [&]<class T, int V>(T*, std::integral_constant<int, V>) {
    const Columns z = columns_of(positions, channels, V);
    SUTURA_LAUNCH((global_forward_kernel<T, V>), dim3(z.tiles, static_cast<unsigned>(std::min(records, kMostBlocks))),
                  kColumnThreads, 0, ctx.stream().stream(), z, records, static_cast<const T*>(x.data()),
                  static_cast<T*>(y.data()));
  });
}

void global_avg_pool_backward(Context& ctx, const Tensor& grad_y, Tensor& grad_x) {
  const Shape& x = grad_x.shape();
  const Shape y{x[0], 1, 1, x[3]};
  with_pixels(grad_y.dtype(), geometry({x[1], x[2]}, x, y, x[0] * x[1] * x[2]), {grad_y.data(), grad_x.data()},
              [&]<class T, int V>(T*, std::integral_constant<int, V>, const Geometry& z, unsigned blocks) {
                SUTURA_LAUNCH((global_backward_kernel<T, V>), blocks, kThreads, 0, ctx.stream().stream(), z,
                              static_cast<const T*>(grad_y.data()), static_cast<T*>(grad_x.data()));
              });
}

}  // namespace sutura::SUTURA_DEVICE
