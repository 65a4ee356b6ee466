#include "kernels/cuda/columns.h"
#include "kernels/cuda/norm_tail.h"
#include "kernels/ops/batch_norm/batch_norm_impl.h"

// Forward: the moments of each chunk of rows, one small kernel that joins them, one pass that applies them. Backward: the sums
// of each chunk, one small kernel, one pass.
namespace sutura::SUTURA_DEVICE {
namespace {

/// partials[chunk][0][c] = mean, [1][c] = sum of squared deviations of the chunk's rows.
/// Limit: memory, x once. Shape: that of Columns; one division a row serves the V channels of a thread.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads, 4) moments_kernel(Columns z, const T* x, float* partials) {
  SUTURA_SHARED(Moments, shared, V * kColumnThreads);
  const std::int64_t c = z.channel<V>();
  Moments m[V];
  for (int k = 0; k < V; ++k) m[k] = {0.0f, 0.0f, 0.0f};
  if (c < z.channels) {
    float count = 0.0f;
    for (std::int64_t row = z.begin() + z.row_lane(); row < z.end(); row += z.row_lanes()) {
      const auto from = load_pack<V>(x + row * z.channels + c);
      count += 1.0f;
      const float part = 1.0f / count;
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) {
        const float v = load_value(from.v[k]), before = v - m[k].mean;
        m[k].mean += before * part;
        m[k].squares += before * (v - m[k].mean);
      }
    }
    for (int k = 0; k < V; ++k) m[k].count = count;
  }
  column_total(z, m, &shared[0]);
  if (z.row_lane() != 0 || c >= z.channels) return;
  float* to = partials + static_cast<std::int64_t>(blockIdx.y) * 2 * z.channels + c;
  for (int k = 0; k < V; ++k) {
    to[k] = m[k].mean;
    to[z.channels + k] = m[k].squares;
  }
}

/// What stands in the partials: a mean and the squared deviations from it for chunks of a known number of rows, or plain sums
/// and sums of squares from another kernel's epilogue.
enum class Partials { kMoments, kSums };

struct Statistics {
  float *mean, *rstd, *running_mean, *running_var;
  float eps, momentum;
};

/// Joins the partials of each channel in double, and moves the running statistics on.
/// Limit: latency, of some hundred partials a channel. Shape: that of chunk_total(): eight threads a channel.
template <Partials kind>
__global__ void __launch_bounds__(kFinaliseThreads)
    moments_finalise_kernel(std::int64_t rows, std::int64_t channels, unsigned chunks, std::int64_t rows_per_chunk,
                            const float* partials, Statistics s) {
  SUTURA_SHARED(double, shared, kFinaliseThreads);
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kFinaliseLanes + threadIdx.x % kFinaliseLanes;
  const std::int64_t readable = c < channels ? c : channels - 1;
  const auto first = [&](unsigned i) { return static_cast<double>(partials[2 * i * channels + readable]); };
  const auto second = [&](unsigned i) { return static_cast<double>(partials[(2 * i + 1) * channels + readable]); };
  const auto rows_of = [&](unsigned i) {
    const std::int64_t begin = i * rows_per_chunk;
    return static_cast<double>(begin + rows_per_chunk < rows ? rows_per_chunk : rows - begin);
  };
  const auto count = static_cast<double>(rows);
  double mean = 0.0, squares = 0.0;
  if constexpr (kind == Partials::kMoments) {
    mean = chunk_total(chunks, &shared[0], [&](unsigned i) { return rows_of(i) * first(i); }) / count;
    squares = chunk_total(chunks, &shared[0], [&](unsigned i) {
      const double d = first(i) - mean;
      return second(i) + rows_of(i) * d * d;
    });
  } else {
    mean = chunk_total(chunks, &shared[0], first) / count;
    squares = chunk_total(chunks, &shared[0], second) - count * mean * mean;
    squares = squares < 0.0 ? 0.0 : squares;  // what rounding left; NaN stays
  }
  mean += mean - mean;  // an infinity's channel is NaN as a whole
  if (c >= channels || threadIdx.x >= kFinaliseLanes) return;
  s.mean[c] = static_cast<float>(mean);
  s.rstd[c] = static_cast<float>(1.0 / exact_sqrt(squares / count + s.eps));
  const double keep = 1.0 - s.momentum;
  s.running_mean[c] = static_cast<float>(keep * s.running_mean[c] + s.momentum * mean);
  s.running_var[c] = static_cast<float>(keep * s.running_var[c] + s.momentum * (squares / (count - 1.0)));
}

/// Whether `spread` of apply_kernel holds 1 / sqrt(variance + eps) or the variance.
enum class Spread { kRstd, kVariance };

/// y = tail((x - mean) * rstd * gamma + beta).
/// Limit: memory. Shape: that of Columns: a thread keeps the constants of its V channels in registers over its rows.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads, 4)
    apply_kernel(Columns z, const T* x, const float* gamma, const float* beta, const float* mean, const float* spread,
                 Spread kind, float eps, Tail<T> tail, T* y) {
  const std::int64_t c = z.channel<V>();
  if (c >= z.channels) return;
  float shift[V], scale[V], offset[V];
  SUTURA_UNROLL
  for (int k = 0; k < V; ++k) {
    const float rstd = kind == Spread::kRstd ? spread[c + k] : 1.0f / sqrtf(spread[c + k] + eps);
    shift[k] = mean[c + k];
    scale[k] = rstd * gamma[c + k];
    offset[k] = beta[c + k];
  }
  for (std::int64_t row = z.begin() + z.row_lane(); row < z.end(); row += z.row_lanes()) {
    const std::int64_t at = row * z.channels + c;
    const auto from = load_pack<V>(x + at);
    float v[V];
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) v[k] = (load_value(from.v[k]) - shift[k]) * scale[k] + offset[k];
    tail.store(v, y, at);
  }
}

/// grad_x = gamma * rstd * (g - sum(g) / rows - h * sum(g * h) / rows), and g itself to grad_residual. `sums`: [2, C], of g * h
/// and of g. grad_x may be grad_y: a thread reads what it overwrites before it writes.
/// Limit: memory. Shape: as apply_kernel.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads, 4)
    backward_kernel(Columns z, NormGradient<T> in, const float* sums, T* grad_x, T* grad_residual) {
  const std::int64_t c = z.channel<V>();
  if (c >= z.channels) return;
  const auto count = static_cast<float>(z.rows);
  float scale[V], mean_g[V], mean[V], slope[V];
  SUTURA_UNROLL
  for (int k = 0; k < V; ++k) {
    const float rstd = in.rstd[c + k];
    scale[k] = in.gamma[c + k] * rstd;
    mean[k] = in.mean[c + k];
    slope[k] = rstd * (sums[c + k] / count);
    mean_g[k] = sums[z.channels + c + k] / count;
  }
  for (std::int64_t row = z.begin() + z.row_lane(); row < z.end(); row += z.row_lanes()) {
    const std::int64_t at = row * z.channels + c;
    const auto x = load_pack<V>(in.x + at);
    float g[V];
    in.masked(at, g);
    if (grad_residual != nullptr) store_values(grad_residual + at, g);
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) g[k] = scale[k] * (g[k] - mean_g[k] - (load_value(x.v[k]) - mean[k]) * slope[k]);
    store_values(grad_x + at, g);
  }
}

const float* f32(const Tensor& t) { return static_cast<const float*>(t.data()); }
float* f32(Tensor& t) { return static_cast<float*>(t.data()); }

void apply(Context& ctx, const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean, const Tensor& spread,
           Spread kind, float eps, const NormTail& tail, Tensor& y) {
  const std::int64_t channels = gamma.elements(), rows = x.elements() / channels;
  with_columns(x.dtype(), channels, {x.data(), y.data(), residual_address(tail)},
               [&]<class T, int V>(T*, std::integral_constant<int, V>) {
                 const Columns z = columns_of(rows, channels, V);
                 SUTURA_LAUNCH((apply_kernel<T, V>), z.grid(), kColumnThreads, 0, ctx.stream().stream(), z,
                               static_cast<const T*>(x.data()), f32(gamma), f32(beta), f32(mean), f32(spread), kind, eps,
                               tail_of<T>(tail), static_cast<T*>(y.data()));
               });
}

}  // namespace

void batch_norm_forward_train_fused(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma,
                                    const Tensor& beta, Tensor& running_mean, Tensor& running_var, const NormTail& tail,
                                    const Tensor& partials, Tensor& y, Tensor& mean, Tensor& rstd) {
  const std::int64_t channels = gamma.elements(), rows = x.elements() / channels;
  const Statistics s{f32(mean), f32(rstd), f32(running_mean), f32(running_var), eps, momentum};
  const Stream stream = ctx.stream().stream();
  const unsigned blocks = finalise_blocks(channels);
  if (partials.defined()) {
    SUTURA_LAUNCH(moments_finalise_kernel<Partials::kSums>, blocks, kFinaliseThreads, 0, stream, rows, channels,
                  static_cast<unsigned>(partials.shape()[0]), rows, f32(partials), s);
  } else {
    with_columns(x.dtype(), channels, {x.data()}, [&]<class T, int V>(T*, std::integral_constant<int, V>) {
      const Columns z = columns_of(rows, channels, V);
      Tensor own = ctx.tensor({z.chunks, 2, channels});
      SUTURA_LAUNCH((moments_kernel<T, V>), z.grid(), kColumnThreads, 0, stream, z, static_cast<const T*>(x.data()), f32(own));
      SUTURA_LAUNCH(moments_finalise_kernel<Partials::kMoments>, blocks, kFinaliseThreads, 0, stream, rows, channels, z.chunks,
                    z.rows_per_chunk, static_cast<const float*>(own.data()), s);
    });
  }
  apply(ctx, x, gamma, beta, mean, rstd, Spread::kRstd, eps, tail, y);
}

void batch_norm_forward_train(Context& ctx, float eps, float momentum, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              Tensor& running_mean, Tensor& running_var, Tensor& y, Tensor& mean, Tensor& rstd) {
  SUTURA_DEVICE::batch_norm_forward_train_fused(ctx, eps, momentum, x, gamma, beta, running_mean, running_var, NormTail{},
                                                Tensor{}, y, mean, rstd);
}

void batch_norm_forward_evaluate_fused(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                       const Tensor& running_mean, const Tensor& running_var, const NormTail& tail, Tensor& y) {
  apply(ctx, x, gamma, beta, running_mean, running_var, Spread::kVariance, eps, tail, y);
}

void batch_norm_forward_evaluate(Context& ctx, float eps, const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                 const Tensor& running_mean, const Tensor& running_var, Tensor& y) {
  SUTURA_DEVICE::batch_norm_forward_evaluate_fused(ctx, eps, x, gamma, beta, running_mean, running_var, NormTail{}, y);
}

void batch_norm_backward_fused(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                               const Tensor& rstd, const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma,
                               Tensor& grad_beta) {
  const std::int64_t channels = gamma.elements(), rows = x.elements() / channels;
  Tensor sums = ctx.tensor({2, channels});
  const auto addresses = {x.data(), grad_y.data(), static_cast<const void*>(grad_x.data()),
                          static_cast<const void*>(output_of<void>(tail)),
                          static_cast<const void*>(grad_residual_of<void>(tail))};
  with_columns(x.dtype(), channels, addresses, [&]<class T, int V>(T*, std::integral_constant<int, V>) {
    const NormGradient<T> in{static_cast<const T*>(x.data()),
                             static_cast<const T*>(grad_y.data()),
                             output_of<T>(tail),
                             f32(gamma),
                             f32(mean),
                             f32(rstd),
                             rows,
                             channels,
                             1};
    column_gradients<T, V>(ctx, rows, channels, in, f32(sums), grad_gamma, grad_beta);
    const Columns z = columns_of(rows, channels, V);
    SUTURA_LAUNCH((backward_kernel<T, V>), z.grid(), kColumnThreads, 0, ctx.stream().stream(), z, in,
                  static_cast<const float*>(sums.data()), static_cast<T*>(grad_x.data()), grad_residual_of<T>(tail));
  });
}

void batch_norm_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, const Tensor& gamma, const Tensor& mean,
                         const Tensor& rstd, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  SUTURA_DEVICE::batch_norm_backward_fused(ctx, x, grad_y, gamma, mean, rstd, NormTailGradient{}, grad_x, grad_gamma, grad_beta);
}

}  // namespace sutura::SUTURA_DEVICE
