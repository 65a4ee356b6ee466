#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "kernels/context.h"
#include "kernels/loss_sum.h"
#include "kernels/ops/pooled_head/pooled_head.h"
#include "kernels/tensor.h"

namespace sutura {

enum class LossKind { kBinaryCrossEntropy, kCrossEntropy, kMeanSquaredError };

/// A loss as pooled_head() takes it.
struct HeadTerms {
  HeadLoss loss;
  std::span<const double> class_weights;  ///< the loss's own
};

/// A loss on a network's outputs: scale * sum_i w[y_i] * l_i, with w the class weights (all 1 without them), so that with
/// scale 1 / (records of the whole step) the micro-batches of a step simply add up. The divisor stays the number of
/// records: a weight makes its class count more, and is not divided out again. Threads: const, may be shared.
class Loss {
 public:
  virtual ~Loss() = default;
  /// Value of the loss and, in `grad`, its gradient.
  /// Shapes: outputs and grad [N, D] (float32 or bfloat16; grad float32, allocated here if it does not fit); labels [N]
  /// int32 class indices, or [N] or [N, D] float32 targets. Numbers: in double, a fixed tree; NaN outputs give NaN.
  /// Errors: kShapeMismatch, kInvalidArgument (a label outside the classes).
  /// On a device it waits for the value.
  double evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad) const;
  /// The same, added to `sum` without a wait, so that it can be part of a captured graph. On a device a label outside the classes
  /// is no error here: it counts in sum's bad labels and nothing else is written. There a `grad` of bfloat16 is kept where
  /// outputs are bfloat16.
  void evaluate_into(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad, LossSum& sum) const;
  /// What metrics look at, as float32 [N, D]: probabilities (sigmoid or softmax), or the values themselves. Of host tensors.
  /// Numbers: the same bits on every x86-64; NaN outputs give NaN scores in their row.
  virtual Tensor scores(const Tensor& outputs) const = 0;
  /// Nothing where pooled_head() does not know this loss.
  virtual std::optional<HeadTerms> head_terms() const { return std::nullopt; }

 protected:
  /// Outputs are float32, on devices also bfloat16.
  virtual void do_evaluate(Context& ctx, const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad,
                           LossSum& sum) const = 0;
};

/// `class_weights`: one finite number > 0 per class, in class order; empty: all 1.
/// Errors: kConfig for weights without classes (mean squared error), or of another number or value.
std::unique_ptr<Loss> make_loss(LossKind kind, std::vector<double> class_weights = {});
/// Width of the last layer for this loss: 1, or `classes` for cross entropy.
/// Errors: kConfig if binary cross entropy meets other than 2 classes, or cross entropy fewer than 2.
std::int64_t outputs_for(LossKind kind, std::int64_t classes);

}  // namespace sutura
