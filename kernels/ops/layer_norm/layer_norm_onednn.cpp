#include <cmath>
#include <cstring>

#include "kernels/cpu/row_loops.h"
#include "kernels/ops/layer_norm/layer_norm_impl.h"

namespace sutura::onednn {
namespace {

// Sums along a row use 16 partial sums added in a fixed tree: the same bits for every instruction set.
typedef float Lanes __attribute__((vector_size(64)));
constexpr std::int64_t kLanes = 16;

/// The row as float32 in `out`, padded with `pad` to a multiple of kLanes.
template <class T>
SUTURA_INLINE void widen(std::int64_t c, std::int64_t padded, const T* x, float pad, float* out) {
#pragma GCC ivdep
  for (std::int64_t j = 0; j < c; ++j) out[j] = load(x[j]);
  for (std::int64_t j = c; j < padded; ++j) out[j] = pad;
}

SUTURA_INLINE Lanes lanes_at(const float* p) {
  Lanes v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

SUTURA_INLINE float tree(const Lanes& lanes) {
  float v[kLanes];
  std::memcpy(v, &lanes, sizeof v);
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::int64_t l = 0; l < half; ++l) v[l] += v[l + half];
  }
  return v[0];
}

std::int64_t padded_row(std::int64_t c) { return (c + kLanes - 1) / kLanes * kLanes; }

struct Rows {
  std::int64_t count, channels, padded;
};

template <class T>
struct Forward {
  static SUTURA_INLINE void run(Rows r, float eps, const T* x, const float* gamma, const float* beta, T* y, float* mean,
                                float* rstd, float* row) {
    const auto inverse = 1.0f / static_cast<float>(r.channels);
    for (std::int64_t i = 0; i < r.count; ++i) {
      const T* from = x + i * r.channels;
      T* to = y + i * r.channels;
      widen(r.channels, r.padded, from, 0.0f, row);
      Lanes sum = {};
      for (std::int64_t j = 0; j < r.padded; j += kLanes) sum += lanes_at(row + j);
      const float m = tree(sum) * inverse;
      for (std::int64_t j = r.channels; j < r.padded; ++j) row[j] = m;  // the padding deviates by nothing
      Lanes squares = {};
      for (std::int64_t j = 0; j < r.padded; j += kLanes) {
        const Lanes d = lanes_at(row + j) - m;
        squares += d * d;
      }
      const float s = 1.0f / __builtin_sqrtf(tree(squares) * inverse + eps);
      mean[i] = m;
      rstd[i] = s;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < r.channels; ++j) to[j] = rounded<T>((row[j] - m) * s * gamma[j] + beta[j]);
    }
  }
};

/// `h` and `g` are rows of work memory; grad_gamma and grad_beta are this block's sums.
template <class T>
struct Backward {
  static SUTURA_INLINE void run(Rows r, const T* x, const T* grad_y, const float* gamma, const float* mean, const float* rstd,
                                T* grad_x, float* grad_gamma, float* grad_beta, float* h, float* g) {
    const auto inverse = 1.0f / static_cast<float>(r.channels);
    for (std::int64_t j = 0; j < r.channels; ++j) grad_gamma[j] = grad_beta[j] = 0.0f;
    for (std::int64_t i = 0; i < r.count; ++i) {
      const T* xs = x + i * r.channels;
      const T* gs = grad_y + i * r.channels;
      T* to = grad_x + i * r.channels;
      const float m = mean[i];
      const float s = rstd[i];
#pragma GCC ivdep
      for (std::int64_t j = 0; j < r.channels; ++j) {
        const float grad = load(gs[j]);
        h[j] = (load(xs[j]) - m) * s;
        g[j] = grad * gamma[j];
        grad_gamma[j] += grad * h[j];
        grad_beta[j] += grad;
      }
      for (std::int64_t j = r.channels; j < r.padded; ++j) h[j] = g[j] = 0.0f;
      Lanes sum = {}, products = {};
      for (std::int64_t j = 0; j < r.padded; j += kLanes) {
        const Lanes v = lanes_at(g + j);
        sum += v;
        products += v * lanes_at(h + j);
      }
      const float mean_g = tree(sum) * inverse;
      const float mean_gh = tree(products) * inverse;
#pragma GCC ivdep
      for (std::int64_t j = 0; j < r.channels; ++j) to[j] = rounded<T>(s * (g[j] - mean_g - h[j] * mean_gh));
    }
  }
};

/// Rows per task: the same for every thread count.
std::int64_t rows_per_block(std::int64_t channels) { return std::max<std::int64_t>(1, 8192 / channels); }

}  // namespace

void layer_norm_forward(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta, Tensor& y,
                        Tensor& mean, Tensor& rstd) {
  Engine& engine = ctx.engine();
  const std::int64_t channels = gamma.elements(), rows = x.elements() / channels, padded = padded_row(channels);
  const std::int64_t step = rows_per_block(channels);
  auto* memory =
      static_cast<float*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(engine.threads * padded) * sizeof(float)));
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, (rows + step - 1) / step, step * channels, [&](std::int64_t block, int worker) {
      const std::int64_t i = block * step;
      dispatch<Forward<T>>(engine.isa, Rows{std::min(step, rows - i), channels, padded}, eps, values<T>(x) + i * channels,
                           values<float>(gamma), values<float>(beta), values<T>(y) + i * channels, values<float>(mean) + i,
                           values<float>(rstd) + i, memory + worker * padded);
    });
  });
}

void layer_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  Engine& engine = ctx.engine();
  const std::int64_t channels = gamma.elements(), rows = x.elements() / channels, padded = padded_row(channels);
  const std::int64_t step = rows_per_block(channels), blocks = (rows + step - 1) / step;
  const std::int64_t places = 2 * padded * (engine.threads + blocks);
  auto* memory = static_cast<float*>(engine.memory(Slot::kPartials, static_cast<std::size_t>(places) * sizeof(float)));
  float* parts = memory + 2 * padded * engine.threads;
  with_element(x.dtype(), [&]<class T>(T*) {
    parallel_for(engine, blocks, 2 * step * channels, [&](std::int64_t block, int worker) {
      const std::int64_t i = block * step;
      float* part = parts + 2 * padded * block;
      float* row = memory + 2 * padded * worker;
      dispatch<Backward<T>>(engine.isa, Rows{std::min(step, rows - i), channels, padded}, values<T>(x) + i * channels,
                            values<T>(grad_y) + i * channels, values<float>(gamma), values<float>(mean) + i,
                            values<float>(rstd) + i, values<T>(grad_x) + i * channels, part, part + padded, row, row + padded);
    });
  });
  for (std::int64_t c = 0; c < channels; ++c) {
    double of_gamma = 0.0, of_beta = 0.0;
    for (std::int64_t b = 0; b < blocks; ++b) {
      of_gamma += static_cast<double>(parts[2 * padded * b + c]);
      of_beta += static_cast<double>(parts[2 * padded * b + padded + c]);
    }
    values<float>(grad_gamma)[c] += static_cast<float>(of_gamma);
    values<float>(grad_beta)[c] += static_cast<float>(of_beta);
  }
}

}  // namespace sutura::onednn
