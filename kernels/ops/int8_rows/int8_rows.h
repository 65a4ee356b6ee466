#pragma once
#include "kernels/context.h"
#include "kernels/tensor.h"

namespace sutura {

/// Rows rounded to int8 with one scale each: q = round(x / scale), scale = max|x| / 127 of the row.
/// Shapes   x, q: [n, ...] float32 and int8; scales: [n] float32.
/// Numbers  |q| <= 127, ties to even; |x - q scale| <= 0.51 scale. A row of zeros, or one so small that its scale is not a
///          number of float32, has scale 0. A row that holds NaN or infinity has scale NaN and q 0: whoever checks the
///          scales refuses it. The same bits on every backend.
/// Errors   kInvalidArgument, kShapeMismatch.
void int8_rows_quantise(Context& ctx, const Tensor& x, Tensor& q, Tensor& scales);

/// x = q scale. Shapes and types as above.
void int8_rows_dequantise(Context& ctx, const Tensor& q, const Tensor& scales, Tensor& x);

}  // namespace sutura
