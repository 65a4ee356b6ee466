#pragma once
#include "kernels/cuda/columns.h"
#include "kernels/cuda/norm_tail.h"
#include "kernels/cuda/reduce.h"

/// Normalisation of sets of values within a record: a group of channels over all positions (group norm), a row (layer norm with
/// one position and one group). Three ways, by the size and the number of sets: a warp a set, a block a set, and, where sets are
/// few and large, several blocks a set in two kernels. All are near the memory limit; the second reading of a set comes from L1
/// or L2 where it fits.
namespace sutura::SUTURA_DEVICE {

inline constexpr unsigned kSetThreads = 256;

/// Set s = record * groups + g: `positions` runs of `per_group` values that lie `groups * per_group` apart. In units of V values.
struct Sets {
  std::int64_t count, groups, positions, per_group;
  std::int64_t positions_per_chunk;
  unsigned chunks;
};

/// Walks a chunk of a set: thread `first` of kWidth takes every kWidth-th unit. The only division is before the loop.
template <int kWidth, int V, class Visit>
__device__ __forceinline__ void for_units(const Sets& z, std::int64_t set, unsigned chunk, Visit visit) {
  const auto across = static_cast<unsigned>(z.per_group / V);
  const unsigned thread = threadIdx.x % kWidth;
  const unsigned step_down = kWidth / across, step_across = kWidth % across;
  const std::int64_t begin = chunk * z.positions_per_chunk;
  const std::int64_t end = begin + z.positions_per_chunk < z.positions ? begin + z.positions_per_chunk : z.positions;
  const std::int64_t channel = set % z.groups * z.per_group, channels = z.groups * z.per_group;
  const std::int64_t row = set / z.groups * z.positions;
  unsigned u = thread % across;
  for (std::int64_t p = begin + thread / across; p < end;) {
    const std::int64_t c = channel + static_cast<std::int64_t>(u) * V;
    visit((row + p) * channels + c, c);
    p += step_down;
    u += step_across;
    if (u >= across) {
      u -= across;
      ++p;
    }
  }
}

template <class T>
struct SetForward {
  const T* x;
  const float *gamma, *beta;
  float eps;
  Tail<T> tail;
  T* y;
  float *mean, *rstd;
};

template <int kWidth, int V, class T>
__device__ __forceinline__ Moments set_moments(const Sets& z, std::int64_t set, unsigned chunk, const T* x) {
  Moments m{0.0f, 0.0f, 0.0f};
  for_units<kWidth, V>(z, set, chunk, [&](std::int64_t at, std::int64_t) {
    const auto from = load_pack<V>(x + at);
    float v[V];
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) v[k] = load_value(from.v[k]);
    m = m + moments_of(v);
  });
  return m;
}

/// Writes y of a chunk, and the set's statistics once.
template <int kWidth, int V, class T>
__device__ __forceinline__ void set_apply(const Sets& z, std::int64_t set, unsigned chunk, const SetForward<T>& f,
                                          const Moments& m) {
  const auto rstd = static_cast<float>(1.0 / exact_sqrt(static_cast<double>(m.squares / m.count) + f.eps));
  if (threadIdx.x % kWidth == 0 && chunk == 0) {
    f.mean[set] = m.mean;
    f.rstd[set] = rstd;
  }
  for_units<kWidth, V>(z, set, chunk, [&](std::int64_t at, std::int64_t c) {
    const auto from = load_pack<V>(f.x + at);
    float v[V];
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) v[k] = (load_value(from.v[k]) - m.mean) * rstd * f.gamma[c + k] + f.beta[c + k];
    f.tail.template store<V>(v, f.y, at);
  });
}

template <class T>
struct SetBackward {
  NormGradient<T> in;
  T *grad_x, *grad_residual;
};

/// Sums of g * gamma and g * gamma * h over a chunk.
template <int kWidth, int V, class T>
__device__ __forceinline__ Pair set_sums(const Sets& z, std::int64_t set, unsigned chunk, const SetBackward<T>& b) {
  const float mean = b.in.mean[set], rstd = b.in.rstd[set];
  Pair sums{0.0f, 0.0f};
  for_units<kWidth, V>(z, set, chunk, [&](std::int64_t at, std::int64_t c) {
    const auto x = load_pack<V>(b.in.x + at);
    float g[V];
    b.in.masked(at, g);
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) {
      const float weighted = g[k] * b.in.gamma[c + k];
      sums.a += weighted;
      sums.b += weighted * ((load_value(x.v[k]) - mean) * rstd);
    }
  });
  return sums;
}

/// grad_x may be grad_y: a thread reads what it overwrites before it writes.
template <int kWidth, int V, class T>
__device__ __forceinline__ void set_gradient(const Sets& z, std::int64_t set, unsigned chunk, const SetBackward<T>& b,
                                             const Pair& sums) {
  const auto count = static_cast<float>(z.positions * z.per_group);
  const float mean = b.in.mean[set], rstd = b.in.rstd[set], mean_g = sums.a / count, mean_gh = sums.b / count;
  for_units<kWidth, V>(z, set, chunk, [&](std::int64_t at, std::int64_t c) {
    const auto x = load_pack<V>(b.in.x + at);
    float g[V];
    b.in.masked(at, g);
    if (b.grad_residual != nullptr) store_values(b.grad_residual + at, g);
    SUTURA_UNROLL
    for (int k = 0; k < V; ++k) g[k] = rstd * (g[k] * b.in.gamma[c + k] - mean_g - (load_value(x.v[k]) - mean) * rstd * mean_gh);
    store_values(b.grad_x + at, g);
  });
}

/// The two directions behind one pair of kernels: what is summed over a set, and what is done with the sum.
template <int kWidth, int V, class T>
__device__ __forceinline__ Moments set_reduce(const Sets& z, std::int64_t set, unsigned chunk, const SetForward<T>& f) {
  return set_moments<kWidth, V>(z, set, chunk, f.x);
}
template <int kWidth, int V, class T>
__device__ __forceinline__ Pair set_reduce(const Sets& z, std::int64_t set, unsigned chunk, const SetBackward<T>& b) {
  return set_sums<kWidth, V>(z, set, chunk, b);
}
template <int kWidth, int V, class T>
__device__ __forceinline__ void set_finish(const Sets& z, std::int64_t set, unsigned chunk, const SetForward<T>& f,
                                           const Moments& m) {
  set_apply<kWidth, V>(z, set, chunk, f, m);
}
template <int kWidth, int V, class T>
__device__ __forceinline__ void set_finish(const Sets& z, std::int64_t set, unsigned chunk, const SetBackward<T>& b,
                                           const Pair& sums) {
  set_gradient<kWidth, V>(z, set, chunk, b, sums);
}

/// A warp or a block a set.
/// Limit: memory where sets are many; a set's second reading comes from a cache. Shape: 256 threads, which are eight sets
/// of a warp each, or enough loads under way for one set.
template <int kWidth, int V, class Total, class Work>
__global__ void __launch_bounds__(kSetThreads, 4) set_kernel(Sets z, Work work) {
  SUTURA_SHARED(Total, shared, kSetThreads / 32);
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.x) * (kSetThreads / kWidth) + threadIdx.x / kWidth;
  const std::int64_t stride = static_cast<std::int64_t>(gridDim.x) * (kSetThreads / kWidth);
  for (std::int64_t set = first; set < z.count; set += stride) {  // the same for all threads of a warp or block
    const Total total = set_total<kWidth>(set_reduce<kWidth, V>(z, set, 0, work), &shared[0]);
    set_finish<kWidth, V>(z, set, 0, work, total);
  }
}

/// The sums of chunk blockIdx.y of set blockIdx.x to partials [count, chunks]. Where a block a set would leave the chip empty.
/// Limit: memory. Shape: as set_kernel with a block a set; sets_of() cuts a set until two blocks a multiprocessor are busy, and no
/// finer than eight pieces a thread.
template <int V, class Total, class Work>
__global__ void __launch_bounds__(kSetThreads, 4) set_chunk_kernel(Sets z, Work work, Total* partials) {
  SUTURA_SHARED(Total, shared, kSetThreads / 32);
  const Total total = set_total<kSetThreads>(set_reduce<kSetThreads, V>(z, blockIdx.x, blockIdx.y, work), &shared[0]);
  if (threadIdx.x == 0) partials[static_cast<std::int64_t>(blockIdx.x) * z.chunks + blockIdx.y] = total;
}
/// Every block joins its set's sums in the same order, then finishes its chunk.
/// Limit: memory; at most 64 sums to join, which every thread reads from a cache: a launch less than a kernel of its own. Shape:
/// that of set_chunk_kernel.
template <int V, class Total, class Work>
__global__ void __launch_bounds__(kSetThreads, 4) set_finish_kernel(Sets z, Work work, const Total* partials) {
  const Total* mine = partials + static_cast<std::int64_t>(blockIdx.x) * z.chunks;
  Total total = mine[0];
  for (unsigned i = 1; i < z.chunks; ++i) total = total + mine[i];
  set_finish<kSetThreads, V>(z, blockIdx.x, blockIdx.y, work, total);
}

/// How sets are cut; `vector`: values a thread moves at once. A function of the shape alone.
inline Sets sets_of(std::int64_t records, std::int64_t groups, std::int64_t positions, std::int64_t per_group, int vector) {
  constexpr std::int64_t kBlocks = 132 * 2, kMostChunks = 64, kLeastUnits = 8 * kSetThreads;
  const std::int64_t sets = records * groups, units = positions * (per_group / vector);
  const std::int64_t chunks =
      std::clamp<std::int64_t>(std::min(kBlocks / sets, units / kLeastUnits), 1, std::min(positions, kMostChunks));
  const std::int64_t each = (positions + chunks - 1) / chunks;
  return {sets, groups, positions, per_group, each, static_cast<unsigned>((positions + each - 1) / each)};
}

/// The pieces of a set that a warp reads, eight a lane: beyond that a block reads a set faster.
inline constexpr std::int64_t kMostWarpUnits = 256;

template <int V, class Total, class Work>
void run_sets(Context& ctx, const Sets& z, const Work& work) {
  const Stream stream = ctx.stream().stream();
  if (z.chunks > 1) {
    const dim3 grid(static_cast<unsigned>(z.count), z.chunks);
    Tensor memory = ctx.tensor({z.count * z.chunks, static_cast<std::int64_t>(sizeof(Total) / sizeof(float))});
    auto* partials = static_cast<Total*>(memory.data());
    SUTURA_LAUNCH((set_chunk_kernel<V, Total, Work>), grid, kSetThreads, 0, stream, z, work, partials);
    SUTURA_LAUNCH((set_finish_kernel<V, Total, Work>), grid, kSetThreads, 0, stream, z, work, partials);
  } else if (z.positions * (z.per_group / V) <= kMostWarpUnits) {
    constexpr std::int64_t kSets = kSetThreads / 32;
    const auto blocks = static_cast<unsigned>(std::min((z.count + kSets - 1) / kSets, kMostBlocks));
    SUTURA_LAUNCH((set_kernel<32, V, Total, Work>), blocks, kSetThreads, 0, stream, z, work);
  } else {
    SUTURA_LAUNCH((set_kernel<static_cast<int>(kSetThreads), V, Total, Work>),
                  static_cast<unsigned>(std::min(z.count, kMostBlocks)), kSetThreads, 0, stream, z, work);
  }
}

/// x, y: [records, positions, groups * per_group]; mean, rstd: one a set.
inline void set_norm_forward(Context& ctx, std::int64_t records, std::int64_t groups, std::int64_t positions, float eps,
                             const Tensor& x, const Tensor& gamma, const Tensor& beta, const NormTail& tail, Tensor& y,
                             Tensor& mean, Tensor& rstd) {
  const std::int64_t per_group = gamma.elements() / groups;
  with_columns(x.dtype(), per_group, {x.data(), y.data(), residual_address(tail)},
               [&]<class T, int V>(T*, std::integral_constant<int, V>) {
                 run_sets<V, Moments>(
                     ctx, sets_of(records, groups, positions, per_group, V),
                     SetForward<T>{static_cast<const T*>(x.data()), static_cast<const float*>(gamma.data()),
                                   static_cast<const float*>(beta.data()), eps, tail_of<T>(tail), static_cast<T*>(y.data()),
                                   static_cast<float*>(mean.data()), static_cast<float*>(rstd.data())});
               });
}

/// The parameters' gradients first (grad_x may be grad_y), then grad_x.
inline void set_norm_backward(Context& ctx, std::int64_t records, std::int64_t groups, std::int64_t positions, const Tensor& x,
                              const Tensor& grad_y, const Tensor& gamma, const Tensor& mean, const Tensor& rstd,
                              const NormTailGradient& tail, Tensor& grad_x, Tensor& grad_gamma, Tensor& grad_beta) {
  const std::int64_t channels = gamma.elements(), per_group = channels / groups;
  const auto addresses = {x.data(), grad_y.data(), static_cast<const void*>(grad_x.data()),
                          static_cast<const void*>(output_of<void>(tail)),
                          static_cast<const void*>(grad_residual_of<void>(tail))};
  const auto in = [&]<class T>(T*) {
    return NormGradient<T>{static_cast<const T*>(x.data()),
                           static_cast<const T*>(grad_y.data()),
                           output_of<T>(tail),
                           static_cast<const float*>(gamma.data()),
                           static_cast<const float*>(mean.data()),
                           static_cast<const float*>(rstd.data()),
                           positions,
                           groups,
                           per_group};
  };
  with_columns(x.dtype(), channels, addresses, [&]<class T, int V>(T* type, std::integral_constant<int, V>) {
    column_gradients<T, V>(ctx, records * positions, channels, in(type), nullptr, grad_gamma, grad_beta);
  });
  with_columns(x.dtype(), per_group, addresses, [&]<class T, int V>(T* type, std::integral_constant<int, V>) {
    run_sets<V, Pair>(ctx, sets_of(records, groups, positions, per_group, V),
                      SetBackward<T>{in(type), static_cast<T*>(grad_x.data()), grad_residual_of<T>(tail)});
  });
}

}  // namespace sutura::SUTURA_DEVICE
