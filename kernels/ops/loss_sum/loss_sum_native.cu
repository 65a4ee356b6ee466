#include "kernels/cuda/launch.h"
#include "kernels/device_stream.h"
#include "kernels/ops/loss_sum/loss_sum_impl.h"
#include "kernels/ops/loss_sum/rows.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kWarps = 32, kThreads = 32 * kWarps;

/// Limit: latency, a batch's labels are a few KiB. Shape: one block, so that the answer needs neither atomics nor a cleared flag.
__global__ void labels_outside_kernel(std::int64_t records, std::int64_t classes, const std::int32_t* labels,
                                      std::int32_t* outside) {
  bool found = false;
  for (std::int64_t i = threadIdx.x; i < records; i += blockDim.x) found = found || labels[i] < 0 || labels[i] >= classes;
  found = block_any(found);
  if (threadIdx.x == 0) *outside = found ? 1 : 0;
}

/// Limit: latency, two doubles a record. Shape: one block adds them in a fixed order; a thousand records are one load and addition
/// a thread.
__global__ void __launch_bounds__(kThreads) add_loss_rows_kernel(std::int64_t records, const double* losses, const double* broken,
                                                                 const std::int32_t* outside, double scale, double* sum) {
  SUTURA_SHARED(double, loss_warps, kWarps);
  SUTURA_SHARED(double, broken_warps, kWarps);
  if (outside != nullptr && *outside != 0) {  // the same for all threads
    if (threadIdx.x == 0) sum[LossSum::kBadLabels] += 1.0;
    return;
  }
  add_rows(records, losses, broken, scale, sum, loss_warps, broken_warps);
}

}  // namespace

LossRows loss_rows(const Context& ctx, std::int64_t records) { return {ctx.tensor({2, records}, DType::kFloat64)}; }

Tensor labels_outside(Context& ctx, const Tensor& labels, std::int64_t classes) {
  Tensor outside = ctx.tensor({1}, DType::kInt32);
  SUTURA_LAUNCH(labels_outside_kernel, 1, kThreads, 0, ctx.stream().stream(), labels.elements(), classes,
                static_cast<const std::int32_t*>(labels.data()), static_cast<std::int32_t*>(outside.data()));
  return outside;
}

void add_loss_rows(Context& ctx, LossRows& rows, const Tensor& outside, double scale, LossSum& sum) {
  SUTURA_LAUNCH(add_loss_rows_kernel, 1, kThreads, 0, ctx.stream().stream(), rows.values.shape()[1], rows.losses(), rows.broken(),
                static_cast<const std::int32_t*>(outside.data()), scale, static_cast<double*>(sum.tensor().data()));
}

}  // namespace sutura::SUTURA_DEVICE
