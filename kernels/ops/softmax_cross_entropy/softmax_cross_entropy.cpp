#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "kernels/ops/checks.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy_impl.h"

namespace sutura {

double softmax_cross_entropy(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                             std::span<const double> class_weights) {
  const OpCheck check(ctx, "softmax_cross_entropy");
  check.type("logits", logits, DType::kFloat32);
  check.rank("logits", logits, 2, 2);
  check.type("labels", labels, DType::kInt32);
  check.shape("labels", labels, Shape{logits.shape()[0]});
  check.f32("grad_logits", grad_logits, logits.shape());
  const std::int64_t classes = logits.shape()[1];
  check.setting(std::ranges::all_of(labels.as<std::int32_t>(), [&](std::int32_t l) { return l >= 0 && l < classes; }),
                "a label lies outside the classes of logits " + logits.shape().text());
  check.setting(class_weights.empty() || static_cast<std::int64_t>(class_weights.size()) == classes,
                "class weights are not as many as the classes");
  check.setting(std::ranges::all_of(class_weights, [](double w) { return std::isfinite(w) && w > 0; }),
                "a class weight is not finite and > 0");
  if (logits.elements() == 0) return 0.0;
  return reference::softmax_cross_entropy(ctx, logits, labels, scale, grad_logits, class_weights);
}

}  // namespace sutura
