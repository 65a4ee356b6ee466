#include <vector>

#include "kernels/cpu/math.h"
#include "kernels/cpu/reduce.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy_impl.h"

namespace sutura::reference {

double binary_cross_entropy_with_logits(Context&, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                                        std::span<const double> class_weights) {
  const auto rows = static_cast<std::size_t>(logits.shape()[0]);
  std::vector<double> losses(rows);
  for (std::size_t n = 0; n < rows; ++n) {
    const double z = logits.f32()[n];
    const double t = labels.as<std::int32_t>()[n];
    const double w = class_weights.empty() ? 1.0 : class_weights[t != 0.0 ? 1 : 0];
    // log(1 + e^u) with u = -z or z by label: no difference of infinities at infinite logits.
    const double u = t != 0.0 ? -z : z;
    losses[n] = w * ((u < 0.0 ? 0.0 : u) + log1p(exp(u < 0.0 ? u : -u)));
    grad_logits.f32()[n] = static_cast<float>(scale * w * (sigmoid(z) - t));
  }
  return scale * sum_tree(losses);
}

}  // namespace sutura::reference
