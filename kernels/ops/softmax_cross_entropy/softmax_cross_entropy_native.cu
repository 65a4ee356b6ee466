#include "kernels/cuda/elementwise.h"
#include "kernels/ops/loss_sum/loss_sum_impl.h"
#include "kernels/ops/loss_sum/loss_types.h"
#include "kernels/ops/loss_sum/rows.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 128, kRows = kThreads / 32;

/// The exponentials are computed a second time for the gradient: cheaper than keeping a row of any length.
/// Limit: latency, a batch is a few hundred rows of a few classes. Shape: a warp per row, so that rows spread over the chip and no
/// barrier of the block is needed; four rows a block.
template <class T, class G>
__global__ void __launch_bounds__(kThreads)
    softmax_rows_kernel(std::int64_t rows, std::int64_t classes, const T* logits, const std::int32_t* labels, double scale,
                        ClassWeights weights, const std::int32_t* outside, G* grad, double* losses, double* broken) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * kRows + threadIdx.x / 32;
  if (n >= rows || *outside != 0) return;  // whole warps
  const T* z = logits + n * classes;
  G* g = grad + n * classes;
  const std::int64_t label = labels[n];
  const SoftmaxRow row = softmax_row(classes, label, [z](std::int64_t c) { return static_cast<double>(load_value(z[c])); });
  bool bad = false;
  for (std::int64_t c = lane_id(); c < classes; c += 32) bad = bad || !finite(load_value(z[c]));
  const double w = weights.count == 0 ? 1.0 : weights.of[label];
  const double loss = w * row.loss;
  const bool any = warp_ballot(bad || !finite(loss)) != 0;
  warp_sync();  // grad may be the memory of logits: every lane has read its row's own logit by now
  const double factor = scale * w;
  for (std::int64_t c = lane_id(); c < classes; c += 32) {
    const double p = exp(load_value(z[c]) - row.top) * row.share;
    g[c] = store_value<G>(static_cast<float>(factor * (p - (c == label ? 1.0 : 0.0))));
  }
  if (lane_id() != 0) return;
  losses[n] = loss;
  broken[n] = any ? 1.0 : 0.0;
}

}  // namespace

void softmax_cross_entropy(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                           std::span<const double> class_weights, LossSum& sum) {
  const std::int64_t rows = logits.shape()[0], classes = logits.shape()[1];
  const ClassWeights weights(class_weights);
  LossRows values = loss_rows(ctx, rows);
  const Tensor outside = labels_outside(ctx, labels, classes);
  with_loss_types(logits, grad_logits, [&]<class T, class G>(T*, G*) {
    SUTURA_LAUNCH(
        (softmax_rows_kernel<T, G>), static_cast<unsigned>((rows + kRows - 1) / kRows), kThreads, 0, ctx.stream().stream(), rows,
        classes, static_cast<const T*>(logits.data()), static_cast<const std::int32_t*>(labels.data()), scale, weights,
        static_cast<const std::int32_t*>(outside.data()), static_cast<G*>(grad_logits.data()), values.losses(), values.broken());
  });
  add_loss_rows(ctx, values, outside, scale, sum);
}

}  // namespace sutura::SUTURA_DEVICE
