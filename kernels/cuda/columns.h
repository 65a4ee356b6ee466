#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "core/error.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/reduce.h"

/// Work on rows of channels, x [rows, C], channel by channel: sums over the rows, and maps whose constants are one per channel.
namespace sutura::SUTURA_DEVICE {

inline constexpr unsigned kColumnThreads = 256;

/// How blocks cover [rows, C]: `lanes` threads (a power of two up to 32) stand side by side, each on V channels, 256 / lanes
/// threads below one another; blockIdx.x names the stretch of channels, blockIdx.y the chunk of rows. A function of the shape
/// alone, so that sums have the same bits on every device.
struct Columns {
  std::int64_t rows, channels, rows_per_chunk;
  unsigned lanes, tiles, chunks;

  __host__ __device__ dim3 grid() const { return dim3(tiles, chunks); }
  __device__ unsigned lane() const { return threadIdx.x & (lanes - 1); }
  __device__ unsigned row_lane() const { return threadIdx.x / lanes; }
  __device__ unsigned row_lanes() const { return kColumnThreads / lanes; }
  template <int V>
  __device__ std::int64_t channel() const {
    return (static_cast<std::int64_t>(blockIdx.x) * lanes + lane()) * V;
  }
  __device__ std::int64_t begin() const { return blockIdx.y * rows_per_chunk; }
  __device__ std::int64_t end() const { return begin() + rows_per_chunk < rows ? begin() + rows_per_chunk : rows; }
};

/// Chunks: enough for four blocks on every SM of the largest GPU, but no thread with less than four rows: below that the block's
/// own tree costs more than the rows it shares out.
inline Columns columns_of(std::int64_t rows, std::int64_t channels, int vector) {
  constexpr std::int64_t kBlocks = 132 * 4, kLeastRows = 4;
  const std::int64_t packs = channels / vector;
  const auto lanes = static_cast<std::int64_t>(std::min<std::uint64_t>(32, std::bit_ceil(static_cast<std::uint64_t>(packs))));
  const std::int64_t tiles = (packs + lanes - 1) / lanes, most = std::max<std::int64_t>(1, kBlocks / tiles);
  const std::int64_t per_chunk = std::max((rows + most - 1) / most, kLeastRows * kColumnThreads / lanes);
  return {rows,
          channels,
          per_chunk,
          static_cast<unsigned>(lanes),
          static_cast<unsigned>(tiles),
          static_cast<unsigned>((rows + per_chunk - 1) / per_chunk)};
}

/// Calls f(T*, std::integral_constant<int, V>) with the element type of an activation and the channels a thread takes: 16 bytes
/// where `channels` and all addresses allow it, else one.
template <class Function>
void with_columns(DType dtype, std::int64_t channels, std::initializer_list<const void*> addresses, Function f) {
  with_activation_type(dtype, [&]<class T>(T* type) {
    if (channels % kPackOf<T> == 0 && aligned_16(addresses)) {
      f(type, std::integral_constant<int, kPackOf<T>>{});
    } else {
      f(type, std::integral_constant<int, 1>{});
    }
  });
}

/// Adds v over the threads below one another: the sums of a chunk, in the threads of row lane 0. A tree. `shared`: V * 256.
template <int V, class S>
__device__ __forceinline__ void column_total(const Columns& z, S (&v)[V], S* shared) {
  S* mine = shared + threadIdx.x;
  for (int k = 0; k < V; ++k) mine[k * kColumnThreads] = v[k];
  for (unsigned half = z.row_lanes() / 2; half > 0; half /= 2) {
    block_sync();
    if (z.row_lane() < half)
      for (int k = 0; k < V; ++k) mine[k * kColumnThreads] = mine[k * kColumnThreads] + mine[k * kColumnThreads + half * z.lanes];
  }
  for (int k = 0; k < V; ++k) v[k] = mine[k * kColumnThreads];
}

/// What the gradients of a norm read. h = (x - mean[s]) * rstd[s] with the statistic s = row / positions * groups + channel /
/// per_group: one a channel (batch norm), one a record and group (group norm) or one a row (layer norm). Where y is given, a
/// gradient counts where y > 0 (the ReLU behind the norm).
template <class T>
struct NormGradient {
  const T *x, *grad_y, *y;
  const float *gamma, *mean, *rstd;
  std::int64_t positions, groups, per_group;

  template <int V>
  __device__ __forceinline__ void masked(std::int64_t at, float (&g)[V]) const {
    const auto from = load_pack<V>(grad_y + at);
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) g[k] = load_value(from.v[k]);
    if (y == nullptr) return;
    const auto out = load_pack<V>(y + at);
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) g[k] = load_value(out.v[k]) > 0.0f ? g[k] : 0.0f;
  }
};

/// partials[chunk][0][c] = sum of g * h, [1][c] = sum of g over the chunk's rows: the first half of the parameters' gradients.
/// Limit: memory. x, grad_y (and y) are read once; the tree at the end is one part in some hundred.
/// Shape: that of Columns: 16 bytes of channels a thread, so that a warp reads full lines, and chunks of rows until the chip is full.
template <class T, int V>
__global__ void __launch_bounds__(kColumnThreads, 4) column_gradient_kernel(Columns z, NormGradient<T> in, float* partials) {
  SUTURA_SHARED(Pair, shared, V * kColumnThreads);
  const std::int64_t c = z.channel<V>();
  Pair sums[V];
  for (int k = 0; k < V; ++k) sums[k] = {0.0f, 0.0f};
  if (c < z.channels) {
    std::int64_t current = -1;
    float mean[V] = {}, rstd[V] = {};
    for (std::int64_t row = z.begin() + z.row_lane(); row < z.end(); row += z.row_lanes()) {
      const std::int64_t record = static_cast<std::uint32_t>(row) / static_cast<std::uint32_t>(in.positions);
      if (record != current) {
        for (int k = 0; k < V; ++k) {
          const std::int64_t s = record * in.groups + (c + k) / in.per_group;
          mean[k] = in.mean[s];
          rstd[k] = in.rstd[s];
        }
        current = record;
      }
      const std::int64_t at = row * z.channels + c;
      const auto x = load_pack<V>(in.x + at);
      float g[V];
      in.masked(at, g);
      SUTURA_UNROLL
      for (int k = 0; k < V; ++k) {
        sums[k].a += g[k] * ((load_value(x.v[k]) - mean[k]) * rstd[k]);
        sums[k].b += g[k];
      }
    }
  }
  column_total(z, sums, &shared[0]);
  if (z.row_lane() != 0 || c >= z.channels) return;
  float* to = partials + static_cast<std::int64_t>(blockIdx.y) * 2 * z.channels + c;
  for (int k = 0; k < V; ++k) {
    to[k] = sums[k].a;
    to[z.channels + k] = sums[k].b;
  }
}

inline constexpr unsigned kFinaliseLanes = 32, kFinaliseThreads = 256;

/// The sum of term(chunk) in double over all chunks for the thread's channel, in all threads of that channel: eight threads take
/// every eighth chunk, then the eight are added in order. `shared`: 256. Near latency: the reads of one thread depend on nothing,
/// and a channel has eight threads, so some hundred chunks cost a few memory round trips.
template <class Term>
__device__ __forceinline__ double chunk_total(unsigned chunks, double* shared, Term term) {
  double sum = 0.0;
  for (unsigned i = threadIdx.x / kFinaliseLanes; i < chunks; i += kFinaliseThreads / kFinaliseLanes) sum += term(i);
  shared[threadIdx.x] = sum;
  block_sync();
  sum = 0.0;
  for (unsigned p = 0; p < kFinaliseThreads / kFinaliseLanes; ++p)
    sum += shared[p * kFinaliseLanes + threadIdx.x % kFinaliseLanes];
  block_sync();
  return sum;
}
inline unsigned finalise_blocks(std::int64_t channels) {
  return static_cast<unsigned>((channels + kFinaliseLanes - 1) / kFinaliseLanes);
}

/// The second half: adds the chunks' sums to grad_gamma and grad_beta; with `sums` ([2, C]) also stores them. A template so that
/// each file that launches it may hold it.
/// Limit: latency, of some hundred chunks a channel. Shape: that of chunk_total(): eight threads a channel, a warp side by side on
/// 32 channels, which are a line.
template <class Sum>
__global__ void __launch_bounds__(kFinaliseThreads)
    column_gradient_finalise_kernel(std::int64_t channels, unsigned chunks, const float* partials, float* sums, float* grad_gamma,
                                    float* grad_beta) {
  SUTURA_SHARED(Sum, shared, kFinaliseThreads);
  const std::int64_t c = static_cast<std::int64_t>(blockIdx.x) * kFinaliseLanes + threadIdx.x % kFinaliseLanes;
  const std::int64_t readable = c < channels ? c : channels - 1;
  const Sum gh =
      chunk_total(chunks, &shared[0], [&](unsigned i) { return static_cast<Sum>(partials[2 * i * channels + readable]); });
  const Sum g =
      chunk_total(chunks, &shared[0], [&](unsigned i) { return static_cast<Sum>(partials[(2 * i + 1) * channels + readable]); });
  if (c >= channels || threadIdx.x >= kFinaliseLanes) return;
  grad_gamma[c] += static_cast<float>(gh);
  grad_beta[c] += static_cast<float>(g);
  if (sums == nullptr) return;
  sums[c] = static_cast<float>(gh);
  sums[channels + c] = static_cast<float>(g);
}

/// Adds to grad_gamma and grad_beta ([C] each); with `sums`, defined [2, C] float32, stores the sums there too.
template <class T, int V>
void column_gradients(Context& ctx, std::int64_t rows, std::int64_t channels, const NormGradient<T>& in, float* sums,
                      Tensor& grad_gamma, Tensor& grad_beta) {
  require(rows <= std::numeric_limits<std::uint32_t>::max(), Errc::kResources, "a norm on a device counts rows in 32 bits");
  const Columns z = columns_of(rows, channels, V);
  Tensor partials = ctx.tensor({z.chunks, 2, channels});
  const Stream stream = ctx.stream().stream();
  SUTURA_LAUNCH((column_gradient_kernel<T, V>), z.grid(), kColumnThreads, 0, stream, z, in, static_cast<float*>(partials.data()));
  SUTURA_LAUNCH(column_gradient_finalise_kernel<double>, finalise_blocks(channels), kFinaliseThreads, 0, stream, channels,
                z.chunks, static_cast<const float*>(partials.data()), sums, static_cast<float*>(grad_gamma.data()),
                static_cast<float*>(grad_beta.data()));
}

}  // namespace sutura::SUTURA_DEVICE
