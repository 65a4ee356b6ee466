#pragma once
#include "kernels/ops/binary_cross_entropy/binary_cross_entropy.h"

/// Implementation behind the contract; arguments are already checked and nothing is empty. Both CPU backends use this
/// one: the loss is a few values per record and its bits must not depend on which of them computes. A device adds to `sum`.
namespace sutura::reference {
double binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale,
                                        Tensor& grad_logits, std::span<const double> class_weights);
}  // namespace sutura::reference
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void binary_cross_entropy_with_logits(Context& ctx, const Tensor& logits, const Tensor& labels, double scale, Tensor& grad_logits,
                                      std::span<const double> class_weights, LossSum& sum);
}  // namespace sutura::SUTURA_DEVICE
#endif
