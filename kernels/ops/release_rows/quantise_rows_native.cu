#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/release_rows/row_teams.h"

namespace sutura::SUTURA_DEVICE {
namespace {

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

/// sum rint(a_j scale)^2 in integers, over the row and the zeros that fill its last 64 lanes. The CPU adds the same terms in
/// doubles: below 2^53 that is exact and the order does not matter. Beyond, `scale` is infinite or NaN, all values are +-B, and a
/// row of more than one value ends as zeros whatever the sum was.
template <class Team>
__device__ __forceinline__ double squared_norm(const Team& team, const RowArguments& r, const float* a, double scale) {
  const std::int64_t padded = (r.d + kLanes - 1) / kLanes * kLanes;
  std::uint64_t sum = 0;
  for (std::int64_t j = team.rank(); j < padded; j += Team::kSize) {
    const std::int64_t q = nearest(scaled(j < r.d ? sanitised(r, a[j]) : 0.0, scale, r.constants.bound));
    sum += static_cast<std::uint64_t>(q * q);
  }
  return static_cast<double>(team.sum(sum));
}

/// Steps of quantise_rows for one row a team. Every row takes the same passes whatever it holds; all that varies is the time of a
/// division or a root of numbers near the ends of their range.
/// Limit: latency of the one pass in fixed order (64 lanes cannot be more than 64 threads), then fp64 throughput: six passes of
/// four operations and a conversion a value. The row is read seven times, from the first cache for a warp's rows and from the
/// second for longer ones. Shape: one warp for short rows, so that a batch of small rows fills the device; a block of 512 for long
/// ones, where 16 warps share the six passes that need no order.
template <class Team>
__global__ void __launch_bounds__(Team::kThreads) quantise_kernel(RowArguments r, const float* rows, std::int32_t* out) {
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const Team team(scratch[0]);
  if (team.row() >= r.rows) return;  // a whole team
  const float* a = rows + team.row() * r.d;
  std::int32_t* q = out + team.row() * r.d;
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
  for (std::int64_t j = team.rank(); j < r.d; j += Team::kSize) {
    const double x = scaled(sanitised(r, a[j]), scale, c.bound);
    const auto toward_zero = static_cast<std::uint32_t>(static_cast<std::int32_t>(x));
    q[j] = static_cast<std::int32_t>((toward_zero & truncate) | (static_cast<std::uint32_t>(nearest(x)) & ~truncate));
    sum += static_cast<std::uint64_t>(std::int64_t{q[j]} * q[j]);
  }
  // The only line the guarantee rests on: whatever was computed above, these integers have norm <= B or are zero.
  const std::uint32_t keep = team.sum(sum) <= r.bound_squared ? ~0u : 0u;
  for (std::int64_t j = team.rank(); j < r.d; j += Team::kSize)
    q[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(q[j]) & keep);
}

}  // namespace

void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q) {
  const RowArguments r = row_arguments(settings, rows);
  launch_rows(ctx, "quantise_kernel", quantise_kernel<WarpTeam>, quantise_kernel<BlockTeam>, r,
              static_cast<const float*>(rows.data()), static_cast<std::int32_t*>(q.data()));
}

}  // namespace sutura::SUTURA_DEVICE
