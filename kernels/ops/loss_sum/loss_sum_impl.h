#pragma once
#include "kernels/loss_sum.h"
#include "kernels/ops/class_weights.h"

/// What the losses' device implementations share: labels are checked before anything is written, rows are computed by the loss's
/// own kernel, their values are added up last.
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {

/// Per record of a batch: its loss before scaling, and 1 where an output or the loss is not finite.
struct LossRows {
  Tensor values;  // [2, N] float64: losses, then flags
  double* losses() { return static_cast<double*>(values.data()); }
  double* broken() { return losses() + values.shape()[1]; }
};
LossRows loss_rows(const Context& ctx, std::int64_t records);

/// [1] int32, on the device: not 0 where a label lies outside [0, classes).
Tensor labels_outside(Context& ctx, const Tensor& labels, std::int64_t classes);
/// sum += {scale * all losses, all flags, 0}, or {0, 0, 1} where `outside` is set (undefined: no labels were checked).
void add_loss_rows(Context& ctx, LossRows& rows, const Tensor& outside, double scale, LossSum& sum);

}  // namespace sutura::SUTURA_DEVICE
#endif
