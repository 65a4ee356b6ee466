#pragma once
#include <bit>
#include <cstdint>

#include "kernels/context.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/simt.h"
#include "kernels/device_stream.h"
#include "kernels/ops/release_rows/row_steps.h"

/// The threads that serve one row, for .cu files. A team adds doubles in the CPU's order: value j of a row belongs to lane j % 64,
/// one thread adds a lane's values one after the other, then the 64 lanes are added in the fixed tree.
namespace sutura::SUTURA_DEVICE {

using row_steps::kLanes;

/// Rows up to this length are served by a warp, longer ones by a block.
inline constexpr std::int64_t kWarpRow = 2048;

/// A warp a row: eight rows a block of 256. Each thread has two lanes, t and t + 32.
class WarpTeam {
 public:
  static constexpr unsigned kThreads = 256, kRows = 8, kSize = 32, kOwnLanes = 2;
  struct Scratch {
    std::uint32_t unused;
  };
  __device__ explicit WarpTeam(Scratch&) {}
  __device__ unsigned index() const { return threadIdx.x / kSize; }  ///< among the block's teams
  __device__ std::int64_t row() const { return static_cast<std::int64_t>(blockIdx.x) * kRows + index(); }
  __device__ unsigned rank() const { return lane_id(); }
  __device__ bool any(bool predicate) const { return warp_ballot(predicate) != 0; }
  __device__ std::uint64_t sum(std::uint64_t v) const {
    for (unsigned mask = 16; mask > 0; mask /= 2) v += warp_shuffle_xor(v, mask);
    return v;
  }
  __device__ double tree_sum(const double (&lane)[kOwnLanes]) const {
    double v = exact_add(lane[0], lane[1]);
    for (unsigned half = 16; half > 0; half /= 2) v = exact_add(v, warp_shuffle_down(v, half));
    return warp_shuffle(v, 0);
  }
};

/// A block of 512 a row. The first 64 threads have one lane each.
class BlockTeam {
 public:
  static constexpr unsigned kThreads = 512, kRows = 1, kSize = 512, kOwnLanes = 1;
  struct Scratch {
    double lanes[kLanes];
    std::uint64_t sums[kSize / 32];
  };
  __device__ explicit BlockTeam(Scratch& scratch) : scratch_(scratch) {}
  __device__ unsigned index() const { return 0; }
  __device__ std::int64_t row() const { return blockIdx.x; }
  __device__ unsigned rank() const { return threadIdx.x; }
  __device__ bool any(bool predicate) const { return block_any(predicate); }
  __device__ std::uint64_t sum(std::uint64_t v) const {
    for (unsigned mask = 16; mask > 0; mask /= 2) v += warp_shuffle_xor(v, mask);
    if (lane_id() == 0) scratch_.sums[threadIdx.x / 32] = v;
    block_sync();
    std::uint64_t total = 0;
    for (unsigned w = 0; w < kSize / 32; ++w) total += scratch_.sums[w];
    block_sync();  // before the next sum
    return total;
  }
  __device__ double tree_sum(const double (&lane)[kOwnLanes]) const {
    if (threadIdx.x < kLanes) scratch_.lanes[threadIdx.x] = lane[0];
    block_sync();
    if (threadIdx.x < 32) {
      double v = exact_add(scratch_.lanes[threadIdx.x], scratch_.lanes[threadIdx.x + 32]);
      for (unsigned half = 16; half > 0; half /= 2) v = exact_add(v, warp_shuffle_down(v, half));
      if (threadIdx.x == 0) scratch_.lanes[0] = v;
    }
    block_sync();
    const double total = scratch_.lanes[0];
    block_sync();
    return total;
  }

 private:
  Scratch& scratch_;
};

/// Sum of term(0) .. term(d - 1) in the fixed order. Eight values a lane are fetched before they are added: the additions of a
/// lane wait for each other, their loads need not.
template <class Team, class Term>
__device__ __forceinline__ double ordered_sum(const Team& team, std::int64_t d, Term term) {
  constexpr unsigned kAhead = 8, kStride = kLanes / Team::kOwnLanes;
  double lane[Team::kOwnLanes] = {};
  if (team.rank() < kStride) {
    for (std::int64_t base = team.rank(); base < d; base += kLanes * kAhead) {
      double next[kAhead][Team::kOwnLanes];
      SUTURA_UNROLL
      for (unsigned s = 0; s < kAhead; ++s) {
        SUTURA_UNROLL
        for (unsigned o = 0; o < Team::kOwnLanes; ++o) {
          const std::int64_t j = base + s * kLanes + o * kStride;
          next[s][o] = j < d ? term(j) : 0.0;  // adding 0 changes no lane: none is ever -0
        }
      }
      SUTURA_UNROLL
      for (unsigned s = 0; s < kAhead; ++s) {
        SUTURA_UNROLL
        for (unsigned o = 0; o < Team::kOwnLanes; ++o) lane[o] = exact_add(lane[o], next[s][o]);
      }
    }
  }
  return team.tree_sum(lane);
}

/// Numbers of a launch, the same for all rows.
struct RowArguments {
  row_steps::Constants constants;
  std::int64_t rows;
  std::int64_t d;
  std::uint64_t bound_squared;
  RowSettings::Sign sign;
  RowSettings::Fit fit;
};

__device__ __forceinline__ bool is_finite(float v) { return (std::bit_cast<std::uint32_t>(v) & 0x7f800000u) != 0x7f800000u; }
/// A value as the mechanism sees it: 0 where it is not finite, or below 0 with kNonnegative.
__device__ __forceinline__ double sanitised(const RowArguments& r, float v) {
  const bool used = is_finite(v) & ((v > 0.0f) | (r.sign == RowSettings::Sign::kSigned));
  return used ? static_cast<double>(v) : 0.0;
}

struct RowNorm {
  double norm;
  bool finite;
};
template <class Team>
__device__ __forceinline__ RowNorm row_norm(const Team& team, const RowArguments& r, const float* a) {
  bool bad = false;
  const double squared = ordered_sum(team, r.d, [&](std::int64_t j) {
    bad |= !is_finite(a[j]);
    const double v = sanitised(r, a[j]);
    return exact_mul(v, v);
  });
  return {exact_sqrt(squared), !team.any(bad)};
}

inline RowArguments row_arguments(const RowSettings& s, const Tensor& rows) {
  const std::int64_t d = rows.shape().row_elements();
  const auto bound = static_cast<std::uint64_t>(s.bound);
  return {row_steps::constants(s, d), rows.shape()[0], d, bound * bound, s.sign, s.fit};
}

/// Launches the instance of a kernel whose team suits rows of this length.
template <class... P, class... A>
void launch_rows(Context& ctx, const char* name, void (*by_warp)(RowArguments, P...), void (*by_block)(RowArguments, P...),
                 const RowArguments& r, A... pointers) {
  const bool warp = r.d <= kWarpRow;
  const std::int64_t each = warp ? WarpTeam::kRows : BlockTeam::kRows;
  launch(name, warp ? by_warp : by_block, static_cast<unsigned>((r.rows + each - 1) / each),
         warp ? WarpTeam::kThreads : BlockTeam::kThreads, 0, ctx.stream().stream(), r, pointers...);
}

}  // namespace sutura::SUTURA_DEVICE
