#include "kernels/ops/release_rows/quantise_row.h"
#include "kernels/ops/release_rows/release_rows_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

/// quantise_rows, one row a team.
/// Limit: latency of the one pass in fixed order, then issue slots: six passes of some twenty instructions a value, four of them
/// fp64. The row is read from the first cache for a warp's rows and from the second for longer ones. Shape: one warp for short
/// rows, so that a batch of small rows fills the device; a block of 512 for long ones, where 16 warps share the six passes that
/// need no order.
template <class Team>
__global__ void __launch_bounds__(Team::kThreads) quantise_kernel(RowArguments r, const float* rows, std::int32_t* q) {
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const Team team(scratch[0]);
  if (team.row() >= r.rows) return;  // a whole team
  quantise_row(team, r, rows + team.row() * r.d, 0, r.d, q + team.row() * r.d);
}

}  // namespace

void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q) {
  const RowArguments r = row_arguments(settings, rows);
  launch_rows(ctx, "quantise_kernel", quantise_kernel<WarpTeam>, quantise_kernel<BlockTeam>, r,
              static_cast<const float*>(rows.data()), static_cast<std::int32_t*>(q.data()));
}

}  // namespace sutura::SUTURA_DEVICE
