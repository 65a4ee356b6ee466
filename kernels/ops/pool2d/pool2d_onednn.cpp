#include <limits>

#include "kernels/cpu/channel_loops.h"
#include "kernels/ops/pool2d/pool2d_impl.h"

namespace sutura::onednn {
namespace {

/// One image row of outputs at a time: sizes of image and output, and the window.
struct Geometry {
  Geometry(const Pool2dSpec& s, const Shape& x, const Shape& y)
      : spec(s), h(x[1]), w(x[2]), c(x[3]), p(y[1]), q(y[2]), image(h * w * c), out_image(p * q * c) {}
  Pool2dSpec spec;
  std::int64_t h, w, c, p, q, image, out_image;
};

/// The part [begin, end) of a window of `kernel` places starting at `start` that lies inside [0, size).
struct Span {
  std::int64_t begin, end;
};
SUTURA_INLINE Span inside(std::int64_t start, std::int64_t kernel, std::int64_t size) {
  const std::int64_t end = start + kernel;
  return {start < 0 ? 0 : start, end > size ? size : end};
}

template <class T>
struct MaxForward {
  static SUTURA_INLINE void run(Geometry g, std::int64_t p, const T* image, T* y, std::int32_t* index) {
    const Span rows = inside(p * g.spec.stride_h - g.spec.pad_h, g.spec.kernel_h, g.h);
    for (std::int64_t q = 0; q < g.q; ++q, y += g.c, index += g.c) {
      const Span columns = inside(q * g.spec.stride_w - g.spec.pad_w, g.spec.kernel_w, g.w);
      const std::int64_t first = rows.begin * g.w + columns.begin;
#pragma GCC ivdep
      for (std::int64_t c = 0; c < g.c; ++c) {
        y[c] = image[first * g.c + c];
        index[c] = static_cast<std::int32_t>(first);
      }
      for (std::int64_t h = rows.begin; h < rows.end; ++h) {
        for (std::int64_t w = columns.begin; w < columns.end; ++w) {
          const std::int64_t place = h * g.w + w;
          const T* x = image + place * g.c;
#pragma GCC ivdep
          for (std::int64_t c = 0; c < g.c; ++c) {
            const float value = load(x[c]), best = load(y[c]);
            const bool wins = !(value <= best) & (best == best);  // greater, or the first NaN
            y[c] = pick(wins, x[c], y[c]);
            index[c] = wins ? static_cast<std::int32_t>(place) : index[c];
          }
        }
      }
    }
  }
};

template <class T>
struct AverageForward {
  static SUTURA_INLINE void run(Geometry g, std::int64_t p, const T* image, T* y, float* sum) {
    const float scale = 1.0f / static_cast<float>(g.spec.kernel_h * g.spec.kernel_w);
    const Span rows = inside(p * g.spec.stride_h - g.spec.pad_h, g.spec.kernel_h, g.h);
    for (std::int64_t q = 0; q < g.q; ++q, y += g.c) {
      const Span columns = inside(q * g.spec.stride_w - g.spec.pad_w, g.spec.kernel_w, g.w);
      for (std::int64_t c = 0; c < g.c; ++c) sum[c] = 0.0f;
      for (std::int64_t h = rows.begin; h < rows.end; ++h) {
        for (std::int64_t w = columns.begin; w < columns.end; ++w) {
          const T* x = image + (h * g.w + w) * g.c;
#pragma GCC ivdep
          for (std::int64_t c = 0; c < g.c; ++c) sum[c] += load(x[c]);
        }
      }
#pragma GCC ivdep
      for (std::int64_t c = 0; c < g.c; ++c) y[c] = rounded<T>(sum[c] * scale);
    }
  }
};

/// Adds one record's output gradients to `sum` ([H, W, C] float32).
template <class T>
struct AverageBackward {
  static SUTURA_INLINE void run(Geometry g, const T* grad_y, float* sum) {
    const float scale = 1.0f / static_cast<float>(g.spec.kernel_h * g.spec.kernel_w);
    for (std::int64_t p = 0; p < g.p; ++p) {
      const Span rows = inside(p * g.spec.stride_h - g.spec.pad_h, g.spec.kernel_h, g.h);
      for (std::int64_t q = 0; q < g.q; ++q, grad_y += g.c) {
        const Span columns = inside(q * g.spec.stride_w - g.spec.pad_w, g.spec.kernel_w, g.w);
        for (std::int64_t h = rows.begin; h < rows.end; ++h) {
          for (std::int64_t w = columns.begin; w < columns.end; ++w) {
            float* to = sum + (h * g.w + w) * g.c;
#pragma GCC ivdep
            for (std::int64_t c = 0; c < g.c; ++c) to[c] += load(grad_y[c]) * scale;
          }
        }
      }
    }
  }
};

template <class T>
struct MaxBackward {
  static SUTURA_INLINE void run(Geometry g, const T* grad_y, const std::int32_t* index, float* sum) {
    for (std::int64_t i = 0; i < g.out_image; i += g.c) {
      for (std::int64_t c = 0; c < g.c; ++c) sum[index[i + c] * g.c + c] += load(grad_y[i + c]);
    }
  }
};

template <class T>
struct Store {
  static SUTURA_INLINE void run(std::int64_t n, const float* from, T* to) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) to[i] = rounded<T>(from[i]);
  }
};

template <class T>
struct MeanOfSums {
  static SUTURA_INLINE void run(std::int64_t n, double positions, const double* sums, T* y) {
    for (std::int64_t c = 0; c < n; ++c) y[c] = rounded<T>(static_cast<float>(sums[c] / positions));
  }
};

template <class T>
struct SpreadMean {
  static SUTURA_INLINE void run(std::int64_t positions, std::int64_t channels, const T* grad_y, T* grad_x) {
    const float scale = 1.0f / static_cast<float>(positions);
    for (std::int64_t i = 0; i < positions; ++i, grad_x += channels) {
#pragma GCC ivdep
      for (std::int64_t c = 0; c < channels; ++c) grad_x[c] = rounded<T>(load(grad_y[c]) * scale);
    }
  }
};

/// Per-thread float32 work memory of `floats` places each, 64-byte aligned.
struct PerThread {
  PerThread(Engine& engine, std::int64_t floats) : stride((floats + 15) / 16 * 16) {
    base = static_cast<float*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(stride * engine.threads) * sizeof(float)));
  }
  float* of(int worker) const { return base + stride * worker; }
  std::int64_t stride;
  float* base;
};

/// Runs add(record, sum) on each record with `sum` zeroed, then stores the sums as the record's gradient.
template <class T, class Add>
void backward_records(Engine& engine, const Geometry& g, Tensor& grad_x, Add add) {
  const PerThread sums(engine, g.image);
  parallel_for(engine, grad_x.shape()[0], g.image + g.out_image, [&](std::int64_t n, int worker) {
    float* sum = sums.of(worker);
    std::fill(sum, sum + g.image, 0.0f);
    add(n, sum);
    dispatch<Store<T>>(engine.isa, g.image, static_cast<const float*>(sum), values<T>(grad_x) + n * g.image);
  });
}

}  // namespace

void max_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index) {
  Engine& engine = ctx.engine();
  const Geometry g(spec, x.shape(), y.shape());
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, x.shape()[0] * g.p, g.q * g.c * spec.kernel_h * spec.kernel_w, [&](std::int64_t row, int) {
      const std::int64_t out = row * g.q * g.c;
      dispatch<MaxForward<T>>(engine.isa, g, row % g.p, values<T>(x) + row / g.p * g.image, values<T>(y) + out,
                              values<std::int32_t>(index) + out);
    });
  });
}

void max_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x) {
  Engine& engine = ctx.engine();
  const Geometry g(spec, grad_x.shape(), grad_y.shape());
  with_element(grad_x.dtype(), [&]<class T>(T*) {
    backward_records<T>(engine, g, grad_x, [&](std::int64_t n, float* sum) {
      dispatch<MaxBackward<T>>(engine.isa, g, values<T>(grad_y) + n * g.out_image, values<std::int32_t>(index) + n * g.out_image,
                               sum);
    });
  });
}

void avg_pool_forward(Context& ctx, const Pool2dSpec& spec, const Tensor& x, Tensor& y) {
  Engine& engine = ctx.engine();
  const Geometry g(spec, x.shape(), y.shape());
  const PerThread sums(engine, g.c);
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, x.shape()[0] * g.p, g.q * g.c * spec.kernel_h * spec.kernel_w, [&](std::int64_t row, int worker) {
      dispatch<AverageForward<T>>(engine.isa, g, row % g.p, values<T>(x) + row / g.p * g.image, values<T>(y) + row * g.q * g.c,
                                  sums.of(worker));
    });
  });
}

void avg_pool_backward(Context& ctx, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x) {
  Engine& engine = ctx.engine();
  const Geometry g(spec, grad_x.shape(), grad_y.shape());
  with_element(grad_x.dtype(), [&]<class T>(T*) {
    backward_records<T>(engine, g, grad_x, [&](std::int64_t n, float* sum) {
      dispatch<AverageBackward<T>>(engine.isa, g, values<T>(grad_y) + n * g.out_image, sum);
    });
  });
}

void global_avg_pool_forward(Context& ctx, const Tensor& x, Tensor& y) {
  Engine& engine = ctx.engine();
  const ChannelTile tile(x.shape()[3]);
  const std::int64_t length = x.shape().row_elements(), step = block_values(tile);
  const std::int64_t tile_places = (tile.width + 15) / 16 * 16;
  const PerThread work(engine, tile_places + 2 * tile.channels);
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, x.shape()[0], length, [&](std::int64_t n, int worker) {
      float* part = work.of(worker);
      auto* sums = reinterpret_cast<double*>(part + tile_places);
      std::fill(sums, sums + tile.channels, 0.0);
      for (std::int64_t i = 0; i < length; i += step) {
        dispatch<ChannelSum<T>>(engine.isa, tile, std::min(step, length - i), values<T>(x) + n * length + i, part);
        for (std::int64_t c = 0; c < tile.channels; ++c) sums[c] += static_cast<double>(part[c]);
      }
      dispatch<MeanOfSums<T>>(engine.isa, tile.channels, static_cast<double>(length / tile.channels),
                              static_cast<const double*>(sums), values<T>(y) + n * tile.channels);
    });
  });
}

void global_avg_pool_backward(Context& ctx, const Tensor& grad_y, Tensor& grad_x) {
  Engine& engine = ctx.engine();
  const std::int64_t length = grad_x.shape().row_elements(), channels = grad_y.shape()[1];
  with_element(grad_x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, grad_x.shape()[0], length, [&](std::int64_t n, int) {
      dispatch<SpreadMean<T>>(engine.isa, length / channels, channels, values<T>(grad_y) + n * channels,
                              values<T>(grad_x) + n * length);
    });
  });
}

}  // namespace sutura::onednn
