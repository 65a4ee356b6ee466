#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// The values of `x` as element type `to`, in a new tensor; the same type gives a copy.
/// Shapes   any; float32 and bfloat16 only.
/// Numbers  float32 to bfloat16 rounds to nearest even, overflow to infinity; NaN stays NaN. The same bits on every
///          backend.
/// Errors   kInvalidArgument for other types or an undefined tensor.
Tensor cast(Context& ctx, const Tensor& x, DType to);

}  // namespace sutura
