#include "kernels/ops/release_rows/release_rows_impl.h"
#include "kernels/ops/release_rows/row_teams.h"

namespace sutura::SUTURA_DEVICE {
namespace {

/// grad_x of clip_backward, one row a team: norm and a.g in the CPU's order, then one pass over the values.
/// Limit: latency of the two ordered passes for few long rows, else memory (8 bytes a value read, again from a cache, and 4
/// written). Shape: as in quantise_kernel. grad_x may be grad_y: all of a row is read for the sums before any of it is written,
/// then each value is read and written by the same thread.
template <class Team>
__global__ void __launch_bounds__(Team::kThreads)
    clip_backward_kernel(RowArguments r, const float* rows, const float* grad_y, float* grad_x) {
  SUTURA_SHARED(typename Team::Scratch, scratch, 1);
  const Team team(scratch[0]);
  if (team.row() >= r.rows) return;  // a whole team
  const std::int64_t begin = team.row() * r.d;
  const float *a = rows + begin, *g = grad_y + begin;
  const double clip_norm = r.constants.clip_norm;

  const RowNorm norm = row_norm(team, r, a);
  const double dot =
      ordered_sum(team, r.d, [&](std::int64_t j) { return exact_mul(sanitised(r, a[j]), static_cast<double>(g[j])); });
  const bool clipped = r.fit == RowSettings::Fit::kScaleToNorm || norm.norm > clip_norm;
  const bool stretchable = norm.norm > row_steps::kTinyNorm;
  const double scale = clipped ? (stretchable ? exact_div(clip_norm, norm.norm) : 0.0) : 1.0;
  const double along = clipped && stretchable ? exact_div(exact_div(dot, norm.norm), norm.norm) : 0.0;
  const bool usable = norm.finite && (!clipped || stretchable);
  for (std::int64_t j = team.rank(); j < r.d; j += Team::kSize) {
    const double v = sanitised(r, a[j]);
    const bool keep = usable && (v > 0.0 || r.sign == RowSettings::Sign::kSigned);
    const double x = exact_mul(scale, exact_add(static_cast<double>(g[j]), -exact_mul(v, along)));
    grad_x[begin + j] = keep ? static_cast<float>(x) : 0.0f;
  }
}

}  // namespace

void clip_backward(Context& ctx, const RowSettings& settings, const Tensor& rows, const Tensor& grad_y, Tensor& grad_x) {
  const RowArguments r = row_arguments(settings, rows);
  launch_rows(ctx, "clip_backward_kernel", clip_backward_kernel<WarpTeam>, clip_backward_kernel<BlockTeam>, r,
              static_cast<const float*>(rows.data()), static_cast<const float*>(grad_y.data()),
              static_cast<float*>(grad_x.data()));
}

}  // namespace sutura::SUTURA_DEVICE
