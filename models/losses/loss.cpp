#include "models/losses/loss.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/error.h"
#include "kernels/cpu/math.h"
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"
#include "kernels/ops/cast/cast.h"
#include "kernels/ops/mean_squared_error/mean_squared_error.h"
#include "kernels/ops/softmax_cross_entropy/softmax_cross_entropy.h"

namespace sutura {
namespace {

/// Outputs as float32, without a Context: scores are computed on the CPU from a few values a record.
Tensor as_float32(const Tensor& outputs) {
  if (outputs.dtype() == DType::kFloat32) return outputs.clone();
  require(outputs.dtype() == DType::kBfloat16, Errc::kInvalidArgument, "scores need float32 or bfloat16 outputs");
  Tensor y(outputs.shape());
  std::ranges::transform(outputs.as<bf16>(), y.f32().begin(), [](bf16 v) { return to_float(v); });
  return y;
}

class BinaryCrossEntropy final : public Loss {
 public:
  explicit BinaryCrossEntropy(std::vector<double> class_weights) : class_weights_(std::move(class_weights)) {}
  std::optional<HeadTerms> head_terms() const override { return HeadTerms{HeadLoss::kBinaryCrossEntropy, class_weights_}; }
  Tensor scores(const Tensor& outputs) const override {
    Tensor p = as_float32(outputs);  // [N, 1]
    for (float& v : p.f32()) v = static_cast<float>(reference::sigmoid(v));
    return p;
  }

 protected:
  void do_evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad,
                   LossSum& sum) const override {
    binary_cross_entropy_with_logits_into(ctx, outputs, labels, scale, grad, class_weights_, sum);
  }

 private:
  std::vector<double> class_weights_;
};

class CrossEntropy final : public Loss {
 public:
  explicit CrossEntropy(std::vector<double> class_weights) : class_weights_(std::move(class_weights)) {}
  std::optional<HeadTerms> head_terms() const override { return HeadTerms{HeadLoss::kCrossEntropy, class_weights_}; }
  Tensor scores(const Tensor& outputs) const override {
    require(outputs.shape().rank() == 2 && outputs.shape()[1] >= 1, Errc::kShapeMismatch,
            "cross entropy takes outputs [N, C], got " + outputs.shape().text());
    Tensor p = as_float32(outputs);  // [N, C]
    const auto classes = static_cast<std::size_t>(p.shape()[1]);
    std::vector<double> e(classes);
    for (std::size_t begin = 0; begin < p.f32().size(); begin += classes) {
      const auto row = p.f32().subspan(begin, classes);
      const double top = *std::ranges::max_element(row);
      double sum = 0.0;
      for (std::size_t c = 0; c < classes; ++c) sum += e[c] = reference::exp(static_cast<double>(row[c]) - top);
      for (std::size_t c = 0; c < classes; ++c) row[c] = static_cast<float>(e[c] / sum);
    }
    return p;
  }

 protected:
  void do_evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad,
                   LossSum& sum) const override {
    softmax_cross_entropy_into(ctx, outputs, labels, scale, grad, class_weights_, sum);
  }

 private:
  std::vector<double> class_weights_;
};

class MeanSquaredError final : public Loss {
 public:
  Tensor scores(const Tensor& outputs) const override { return as_float32(outputs); }

 protected:
  void do_evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad,
                   LossSum& sum) const override {
    mean_squared_error_into(ctx, outputs, labels, scale, grad, sum);
  }
};

}  // namespace

double Loss::evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad) const {
  if (grad.defined() && grad.dtype() != DType::kFloat32) grad = Tensor();
  LossSum sum(ctx);
  evaluate_into(ctx, outputs, labels, scale, grad, sum);
  const LossSum::Value value = sum.read(ctx);
  require(value.bad_labels == 0.0, Errc::kInvalidArgument,
          "a label lies outside the classes of outputs " + outputs.shape().text());
  return value.loss;
}

void Loss::evaluate_into(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad,
                         LossSum& sum) const {
  require(outputs.defined() && labels.defined(), Errc::kInvalidArgument, "a loss needs outputs and labels");
  require(outputs.shape().rank() == 2 && labels.shape().rank() >= 1 && labels.shape()[0] == outputs.shape()[0],
          Errc::kShapeMismatch, "a loss got outputs " + outputs.shape().text() + " and labels " + labels.shape().text());
  const bool narrow = ctx.on_device() && grad.defined() && grad.dtype() == outputs.dtype();
  if (!grad.defined() || grad.shape() != outputs.shape() || (grad.dtype() != DType::kFloat32 && !narrow))
    grad = ctx.tensor(outputs.shape());
  if (ctx.on_device() || outputs.dtype() == DType::kFloat32) return do_evaluate(ctx, outputs, labels, scale, grad, sum);
  do_evaluate(ctx, cast(ctx, outputs, DType::kFloat32), labels, scale, grad, sum);
}

std::unique_ptr<Loss> make_loss(LossKind kind, std::vector<double> class_weights) {
  require(std::ranges::all_of(class_weights, [](double w) { return std::isfinite(w) && w > 0; }), Errc::kConfig,
          "class weights must be finite and > 0");
  require(kind != LossKind::kBinaryCrossEntropy || class_weights.empty() || class_weights.size() == 2, Errc::kConfig,
          "binary cross entropy takes two class weights, got " + std::to_string(class_weights.size()));
  require(kind != LossKind::kMeanSquaredError || class_weights.empty(), Errc::kConfig,
          "class weights need classes, and mean squared error has none");
  switch (kind) {
    case LossKind::kBinaryCrossEntropy: return std::make_unique<BinaryCrossEntropy>(std::move(class_weights));
    case LossKind::kCrossEntropy: return std::make_unique<CrossEntropy>(std::move(class_weights));
    case LossKind::kMeanSquaredError: return std::make_unique<MeanSquaredError>();
  }
  throw Error(Errc::kInternal, "a loss outside the list");
}

std::int64_t outputs_for(LossKind kind, std::int64_t classes) {
  switch (kind) {
    case LossKind::kBinaryCrossEntropy:
      require(classes == 2, Errc::kConfig, "binary cross entropy needs 2 classes, the data has " + std::to_string(classes));
      return 1;
    case LossKind::kCrossEntropy:
      require(classes >= 2, Errc::kConfig, "cross entropy needs at least 2 classes, the data has " + std::to_string(classes));
      return classes;
    case LossKind::kMeanSquaredError: return 1;
  }
  throw Error(Errc::kInternal, "a loss outside the list");
}

}  // namespace sutura
