#pragma once
#include "kernels/ops/pooled_head/pooled_head.h"

/// Arguments are checked, the batch is not empty. CPU backends compose it of their ops (pooled_head.cpp).
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
void pooled_head(Context& ctx, HeadLoss loss, const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& labels,
                 double scale, std::span<const double> class_weights, Tensor& logits, HeadGradients grads, LossSum& sum);
}
#endif
