#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// y = a + b, element by element.
/// Shapes   all of one shape and type (float32; onednn and devices also bfloat16). y may alias a or b.
/// Numbers  IEEE addition: NaN propagates.
/// Errors   kShapeMismatch, kInvalidArgument.
void add(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y);

}  // namespace sutura
