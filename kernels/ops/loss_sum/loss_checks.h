#pragma once
#include <span>

#include "kernels/loss_sum.h"
#include "kernels/ops/checks.h"

/// What the public functions of the three losses share. Outputs are float32, on devices also bfloat16; gradients are float32, on
/// devices also of the outputs' type.
namespace sutura {

void check_loss_outputs(const Context& ctx, const OpCheck& check, std::string_view what, const Tensor& outputs);
void check_loss_gradient(const Context& ctx, const OpCheck& check, std::string_view what, const Tensor& outputs,
                         const Tensor& grad);
/// Class indices [N] int32; their values only where they lie on the host. Errors: kInvalidArgument for one outside the classes.
void check_labels(const Context& ctx, const OpCheck& check, const Tensor& outputs, const Tensor& labels, std::int64_t classes);
/// Errors: kInvalidArgument unless empty, or one finite number > 0 per class.
void check_class_weights(const OpCheck& check, std::span<const double> class_weights, std::int64_t classes);
/// Records with a value that is not finite, of host outputs.
double records_not_finite(const Tensor& outputs);
/// The value of a single evaluation. Errors: kInvalidArgument for a label outside the classes. Waits.
double read_loss(const Context& ctx, const OpCheck& check, const LossSum& sum);

}  // namespace sutura
