#pragma once
#include "kernels/ops/release_rows/row_teams.h"

/// Clip, quantisation and norm check of one row, for .cu files.
namespace sutura::SUTURA_DEVICE {

/// v * scale within [-bound, bound]; bound where the product is NaN.
__device__ __forceinline__ double scaled(double v, double scale, double bound) {
  double x = exact_mul(v, scale);
  x = x < bound ? x : bound;
  return x > -bound ? x : -bound;
}
/// rint(x), |x| <= 2^20: the low bits of the sum's mantissa are the integer.
__device__ __forceinline__ std::int32_t nearest(double x) {
  return static_cast<std::int32_t>(std::bit_cast<std::uint64_t>(exact_add(x, row_steps::kRoundMagic)));
}

/// use(j, value) for j in [0, end), each by one thread of the team, in no order; values beyond the row are 0. Four values a
/// thread are fetched before one is used: with 16 warps a multiprocessor that hides a read from the second cache.
template <class Team, class Use>
__device__ __forceinline__ void each_value(const Team& team, const RowArguments& r, const float* a, std::int64_t end, Use use) {
  constexpr int kAhead = 4;
  for (std::int64_t base = team.rank(); base < end; base += Team::kSize * kAhead) {
    float next[kAhead];
    SUTURA_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      const std::int64_t j = base + s * Team::kSize;
      next[s] = j < r.d ? a[j] : 0.0f;
    }
    SUTURA_UNROLL
    for (int s = 0; s < kAhead; ++s) {
      const std::int64_t j = base + s * Team::kSize;
      if (j < end) use(j, sanitised(r, next[s]));
    }
  }
}

/// sum rint(a_j scale)^2 in integers, over the row and the zeros that fill its last 64 lanes. The CPU adds the same terms in
/// doubles: below 2^53 that is exact and the order does not matter. Beyond, `scale` is infinite or NaN, all values are +-B, and a
/// row of more than one value ends as zeros whatever the sum was.
template <class Team>
__device__ __forceinline__ double squared_norm(const Team& team, const RowArguments& r, const float* a, double scale) {
  std::uint64_t sum = 0;
  each_value(team, r, a, (r.d + kLanes - 1) / kLanes * kLanes, [&](std::int64_t, double v) {
    const std::int64_t q = nearest(scaled(v, scale, r.constants.bound));
    sum += static_cast<std::uint64_t>(q * q);
  });
  return static_cast<double>(team.sum(sum));
}

/// Steps of quantise_rows for one row by one team. `a` and `q` are the row's values and integers, of which only those in
/// [from, to) are written. Every row takes the same passes whatever it holds and wherever it is cut; all that varies is the time
/// of a division or a root of numbers near the ends of their range.
/// The row is read seven times: one pass in fixed order (64 lanes cannot be more than 64 threads), then six by the whole team, of
/// four fp64 operations and a conversion a value.
template <class Team>
__device__ __forceinline__ void quantise_row(const Team& team, const RowArguments& r, const float* a, std::int64_t from,
                                             std::int64_t to, std::int32_t* q) {
  const row_steps::Constants& c = r.constants;
  const RowNorm norm = row_norm(team, r, a);
  const double stretch = exact_div(c.clip_norm, norm.norm);
  double f = r.fit == RowSettings::Fit::kClip ? (norm.norm > c.clip_norm ? stretch : 1.0)
                                              : (norm.norm > row_steps::kTinyNorm ? stretch : 0.0);
  f = exact_mul(f, c.shrink);
  f = norm.finite ? f : 0.0;
  for (int repeat = 0; repeat < row_steps::kRepeats; ++repeat) {
    const double squared = squared_norm(team, r, a, exact_mul(f, c.per_grid));
    const double smaller = exact_mul(exact_mul(f, exact_sqrt(exact_div(c.bound_squared, squared))), row_steps::kMargin);
    f = squared > c.bound_squared ? smaller : f;
  }
  const double scale = exact_mul(f, c.per_grid);
  const std::uint32_t truncate = squared_norm(team, r, a, scale) > c.bound_squared ? ~0u : 0u;

  std::uint64_t sum = 0;
  each_value(team, r, a, r.d, [&](std::int64_t j, double v) {
    const double x = scaled(v, scale, c.bound);
    const auto toward_zero = static_cast<std::uint32_t>(static_cast<std::int32_t>(x));
    const auto integer =
        static_cast<std::int32_t>((toward_zero & truncate) | (static_cast<std::uint32_t>(nearest(x)) & ~truncate));
    sum += static_cast<std::uint64_t>(std::int64_t{integer} * integer);
    if (j >= from && j < to) q[j] = integer;
  });
  // The only line the guarantee rests on: whatever was computed above, these integers have norm <= B or are zero. Of blocks that
  // share a row each checks all of them and writes its slice: the same integers, because nobody writes `a` while the kernel runs.
  const std::uint32_t keep = team.sum(sum) <= r.bound_squared ? ~0u : 0u;
  // Each integer by the thread that wrote it: that is j % kSize, whatever `from` is.
  for (std::int64_t j = from / Team::kSize * Team::kSize + team.rank(); j < to; j += Team::kSize)
    if (j >= from) q[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(q[j]) & keep);
}

}  // namespace sutura::SUTURA_DEVICE
