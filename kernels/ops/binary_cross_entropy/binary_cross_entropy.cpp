#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/binary_cross_entropy/binary_cross_entropy_impl.h"
#include "kernels/ops/checks.h"

namespace sutura {

double binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                        Tensor& grad_logits, std::span<const double> class_weights) {
  const OpCheck check(ctx, "binary_cross_entropy_with_logits");
  check.type("logits", logits, DType::kFloat32);
  check.rank("logits", logits, 2, 2);
  check.shape("logits", logits, Shape{logits.shape()[0], 1});
  check.type("labels", labels, DType::kInt32);
  check.shape("labels", labels, Shape{logits.shape()[0]});
  check.f32("grad_logits", grad_logits, logits.shape());
  check.setting(std::ranges::all_of(labels.as<std::int32_t>(), [](std::int32_t l) { return l == 0 || l == 1; }),
                "a label is neither 0 nor 1");
  check.setting(class_weights.empty() || class_weights.size() == 2, "class weights are not two");
  check.setting(std::ranges::all_of(class_weights, [](double w) { return std::isfinite(w) && w > 0; }),
                "a class weight is not finite and > 0");
  if (logits.elements() == 0) return 0.0;
  return reference::binary_cross_entropy_with_logits(ctx, logits, labels, scale, grad_logits, class_weights);
}

}  // namespace sutura
