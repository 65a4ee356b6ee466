#include "kernels/cuda/elementwise.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy_impl.h"
#include "kernels/ops/loss_sum/loss_sum_impl.h"
#include "kernels/ops/loss_sum/loss_types.h"
#include "kernels/ops/loss_sum/rows.h"

namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 64;

/// Limit: latency, one value a record. Shape: a thread per record, in small blocks so that a few hundred records reach several
/// multiprocessors.
template <class T, class G>
__global__ void __launch_bounds__(kThreads)
    binary_rows_kernel(std::int64_t rows, const T* logits, const std::int32_t* labels, double scale, double weight0,
                       double weight1, const std::int32_t* outside, G* grad, double* losses, double* broken) {
  const std::int64_t n = static_cast<std::int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (n >= rows || *outside != 0) return;
  const double z = load_value(logits[n]);
  const bool one = labels[n] != 0;
  const double w = one ? weight1 : weight0;
  const BinaryRow row = binary_row(z, one);
  const double loss = w * row.loss;
  grad[n] = store_value<G>(static_cast<float>(scale * w * (row.probability - (one ? 1.0 : 0.0))));
  losses[n] = loss;
  broken[n] = finite(z) && finite(loss) ? 0.0 : 1.0;
}

}  // namespace

void binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                                      std::span<const double> class_weights, LossSum& sum) {
  const std::int64_t rows = logits.shape()[0];
  const double weight0 = class_weights.empty() ? 1.0 : class_weights[0], weight1 = class_weights.empty() ? 1.0 : class_weights[1];
  LossRows values = loss_rows(ctx, rows);
  const Tensor outside = labels_outside(ctx, labels, 2);
  with_loss_types(logits, grad_logits, [&]<class T, class G>(T*, G*) {
    SUTURA_LAUNCH(
        (binary_rows_kernel<T, G>), static_cast<unsigned>((rows + kThreads - 1) / kThreads), kThreads, 0, ctx.stream().stream(),
        rows, static_cast<const T*>(logits.data()), static_cast<const std::int32_t*>(labels.data()), scale, weight0, weight1,
        static_cast<const std::int32_t*>(outside.data()), static_cast<G*>(grad_logits.data()), values.losses(), values.broken());
  });
  add_loss_rows(ctx, values, outside, scale, sum);
}

}  // namespace sutura::SUTURA_DEVICE
