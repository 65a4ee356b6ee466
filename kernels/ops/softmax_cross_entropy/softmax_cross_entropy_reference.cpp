#include <vector>

#include "kernels/cpu/math.h"
#include "kernels/cpu/reduce.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy_impl.h"

namespace sutura::reference {

double softmax_cross_entropy(Context&, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                             std::span<const double> class_weights) {
  const auto rows = static_cast<std::size_t>(logits.shape()[0]);
  const auto classes = static_cast<std::size_t>(logits.shape()[1]);
  std::vector<double> losses(rows), powers(classes);
  for (std::size_t n = 0; n < rows; ++n) {
    const auto z = logits.f32().subspan(n * classes, classes);
    const auto grad = grad_logits.f32().subspan(n * classes, classes);
    const auto label = static_cast<std::size_t>(labels.as<std::int32_t>()[n]);
    const double w = class_weights.empty() ? 1.0 : class_weights[label];
    double top = z[0];
    for (const float v : z) top = v > top || v != v ? double{v} : top;
    const double own = z[label] - top;  // before grad, which may share the memory of logits
    for (std::size_t c = 0; c < classes; ++c) powers[c] = exp(z[c] - top);
    const double sum = sum_tree(powers);
    losses[n] = w * (log(sum) - own);
    for (std::size_t c = 0; c < classes; ++c) {
      grad[c] = static_cast<float>(scale * w * (powers[c] / sum - (c == label ? 1.0 : 0.0)));
    }
  }
  return scale * sum_tree(losses);
}

}  // namespace sutura::reference
