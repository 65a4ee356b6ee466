#include "kernels/ops/int8_rows/int8_rows.h"

#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/int8_rows/int8_rows_impl.h"

namespace sutura {
namespace {

void check_rows(const Context& ctx, const char* op, const Tensor& x, const Tensor& q, const Tensor& scales) {
  const OpCheck check(ctx, op);
  check.type("x", x, DType::kFloat32);
  check.type("q", q, DType::kInt8);
  check.rank("x", x, 1, Shape::kMaxRank, 1);
  check.shape("q", q, x.shape());
  check.f32("scales", scales, Shape{x.shape()[0]});
}

}  // namespace

// Two passes over memory that is about to cross a network: one implementation serves every backend, and bits agree.
void int8_rows_quantise(Context& ctx, const Tensor& x, Tensor& q, Tensor& scales) {
  check_rows(ctx, "int8_rows_quantise", x, q, scales);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::int8_rows_quantise, reference::int8_rows_quantise, &DeviceOps::int8_rows_quantise)(ctx, x, q, scales);
}

void int8_rows_dequantise(Context& ctx, const Tensor& q, const Tensor& scales, Tensor& x) {
  check_rows(ctx, "int8_rows_dequantise", x, q, scales);
  if (x.elements() == 0) return;
  on_backend(ctx, reference::int8_rows_dequantise, reference::int8_rows_dequantise, &DeviceOps::int8_rows_dequantise)(ctx, q, scales, x);
}

}  // namespace sutura
