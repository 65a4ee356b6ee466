#pragma once
#include "core/shape.h"
#include "kernels/tensor.h"

namespace sutura {

/// A shape as an int32 tensor: what layers that only move data keep for backward.
Tensor save_shape(const Shape& shape);
Shape saved_shape(const Tensor& dims);

}  // namespace sutura
