#pragma once
#include "kernels/ops/int8_rows/int8_rows.h"

/// Implementations behind the contract: arguments are already checked and nothing is empty.
namespace sutura::reference {
void int8_rows_quantise(Context& ctx, const Tensor& x, Tensor& q, Tensor& scales);
void int8_rows_dequantise(Context& ctx, const Tensor& q, const Tensor& scales, Tensor& x);
}  // namespace sutura::reference
#if defined(SUTURA_DEVICE)
namespace sutura::SUTURA_DEVICE {
decltype(reference::int8_rows_quantise) int8_rows_quantise;
decltype(reference::int8_rows_dequantise) int8_rows_dequantise;
}  // namespace sutura::SUTURA_DEVICE
#endif
