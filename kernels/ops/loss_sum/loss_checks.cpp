#include "kernels/ops/loss_sum/loss_checks.h"

#include <algorithm>
#include <cmath>

namespace sutura {

void check_loss_outputs(const Context& ctx, const OpCheck& check, std::string_view what, const Tensor& outputs) {
  if (ctx.on_device()) {
    check.activation(what, outputs);
  } else {
    check.type(what, outputs, DType::kFloat32);
  }
  check.rank(what, outputs, 2, 2);
}

void check_loss_gradient(const Context& ctx, const OpCheck& check, std::string_view what, const Tensor& outputs,
                         const Tensor& grad) {
  const bool half = ctx.on_device() && grad.defined() && grad.dtype() == DType::kBfloat16;
  check.type(what, grad, half ? outputs.dtype() : DType::kFloat32);
  check.shape(what, grad, outputs.shape());
}

void check_labels(const Context& ctx, const OpCheck& check, const Tensor& outputs, const Tensor& labels, std::int64_t classes) {
  check.type("labels", labels, DType::kInt32);
  check.shape("labels", labels, Shape{outputs.shape()[0]});
  if (ctx.on_device()) return;
  check.setting(std::ranges::all_of(labels.as<std::int32_t>(), [&](std::int32_t l) { return l >= 0 && l < classes; }),
                "a label lies outside the " + std::to_string(classes) + " classes");
}

void check_class_weights(const OpCheck& check, std::span<const double> class_weights, std::int64_t classes) {
  check.setting(class_weights.empty() || static_cast<std::int64_t>(class_weights.size()) == classes,
                "class weights are not as many as the classes");
  check.setting(std::ranges::all_of(class_weights, [](double w) { return std::isfinite(w) && w > 0; }),
                "a class weight is not finite and > 0");
}

double records_not_finite(const Tensor& outputs) {
  const auto width = static_cast<std::size_t>(outputs.shape().row_elements());
  double records = 0.0;
  for (std::size_t at = 0; at < outputs.f32().size(); at += width)
    records += std::ranges::all_of(outputs.f32().subspan(at, width), [](float v) { return std::isfinite(v); }) ? 0.0 : 1.0;
  return records;
}

double read_loss(const Context& ctx, const OpCheck& check, const LossSum& sum) {
  const LossSum::Value value = sum.read(ctx);
  check.setting(value.bad_labels == 0.0, "a label lies outside the classes");
  return value.loss;
}

}  // namespace sutura
