#pragma once
#include <vector>

#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Joins tensors along the last dimension, in the order given.
/// Shapes   xs: at least one, rank >= 1, equal in all dimensions but the last and in type (float32; onednn and
///          devices also bfloat16); y: the same leading dimensions, last = sum of the last. Nothing aliases.
/// Numbers  Copies bits.
/// Errors   kShapeMismatch, kInvalidArgument.
void concat_forward(Context& ctx, const std::vector<const Tensor*>& xs, Tensor& y);

/// Splits grad_y along the last dimension into grad_xs, in the order given; overwrites them.  Shapes, errors as
/// concat_forward.
void concat_backward(Context& ctx, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs);

}  // namespace sutura
