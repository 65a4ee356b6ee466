#include "kernels/cuda/double_sum.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/ops/loss_sum/loss_sum_impl.h"
#include "kernels/ops/loss_sum/loss_types.h"
#include "kernels/ops/mean_squared_error/mean_squared_error_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 128, kRows = kThreads / 32;

/// Limit: latency for the few outputs of a regression, memory for wide ones. Shape: a warp per row: lanes take consecutive elements,
/// and a row's sum needs no barrier of the block.
template <class T, class G>
__global__ void __launch_bounds__(kThreads) squares_kernel(std::int64_t rows, std::int64_t width, const T* y, const float* target,
                                                           double scale, G* grad, double* losses, double* broken) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * kRows + threadIdx.x / 32;
  if (n >= rows) return;  // whole warps
  const double factor = scale * 2.0 / static_cast<double>(width);
  double sum = 0.0;
  bool bad = false;
  for (std::int64_t d = lane_id(); d < width; d += 32) {
    const std::int64_t i = n * width + d;
    const double v = load_value(y[i]), difference = v - target[i];
    grad[i] = store_value<G>(static_cast<float>(factor * difference));
    sum += difference * difference;
    bad = bad || !finite(v);
  }
  const double loss = warp_sum_double(sum) / static_cast<double>(width);
  const bool any = warp_ballot(bad || !finite(loss)) != 0;
  if (lane_id() != 0) return;
  losses[n] = loss;
  broken[n] = any ? 1.0 : 0.0;
}

}  // namespace

void mean_squared_error(Context& ctx, const Tensor& y, const Tensor& target, double scale, Tensor& grad_y, LossSum& sum) {
  const std::int64_t rows = y.shape()[0], width = y.shape()[1];
  LossRows values = loss_rows(ctx, rows);
  with_loss_types(y, grad_y, [&]<class T, class G>(T*, G*) {
    SUTURA_LAUNCH((squares_kernel<T, G>), static_cast<unsigned>((rows + kRows - 1) / kRows), kThreads, 0, ctx.stream().stream(),
                  rows, width, static_cast<const T*>(y.data()), static_cast<const float*>(target.data()), scale,
                  static_cast<G*>(grad_y.data()), values.losses(), values.broken());
  });
  add_loss_rows(ctx, values, Tensor(), scale, sum);
}

}  // namespace sutura::SUTURA_DEVICE
