#include "kernels/ops/release_rows/release_rows.h"

#include <cmath>
#include <string>

#include "core/error.h"
#include "kernels/device_ops.h"
#include "kernels/ops/checks.h"
#include "kernels/ops/dispatch.h"
#include "kernels/ops/release_rows/release_rows_impl.h"

namespace sutura {
namespace {

constexpr std::uint64_t kElementLimit = std::uint64_t{1} << 35;  // 2^32 blocks of eight words

OpCheck checked(const Context& ctx, const char* op, const RowSettings& s, const Tensor& rows) {
  require(std::isfinite(s.clip_norm) && s.clip_norm > 0, Errc::kInvalidArgument, "clip_norm must be a positive number");
  require(s.bound >= 1 && s.bound <= 1 << 20, Errc::kInvalidArgument, "the integer bound must lie in 1..2^20");
  require(s.wire == DType::kInt8 || s.wire == DType::kInt16, Errc::kInvalidArgument, "rows travel as int8 or int16");
  require(s.shift >= 0 && s.shift <= 8, Errc::kInvalidArgument, "the wire shift must lie in 0..8");
  require(rows.defined() && rows.shape().rank() >= 2, Errc::kShapeMismatch, "rows have the shape [N, ...]");
  require(rows.shape().row_elements() <= std::int64_t{1} << 22, Errc::kShapeMismatch, "a row has at most 2^22 values");
  return OpCheck(ctx, op);
}
void check_like(const OpCheck& check, const char* what, const Tensor& t, DType dtype, const Tensor& rows) {
  require(t.defined(), Errc::kShapeMismatch, std::string(what) + " is undefined");
  check.shape(what, t, rows.shape());
  check.type(what, t, dtype);
}
void check_isa(const Context& ctx, Isa isa) {
  require(ctx.on_device() || isa <= widest_isa(), Errc::kInvalidArgument, "this CPU does not have that instruction set");
}

/// The device's function of a table entry. Errors: kDevice where the table has none.
template <class Function>
Function* on_device(const Context& ctx, Function* DeviceOps::*entry) {
  return on_backend<Function>(ctx, nullptr, nullptr, entry);
}

}  // namespace

void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q, Isa isa) {
  const OpCheck check = checked(ctx, "quantise_rows", settings, rows);
  check.type("rows", rows, DType::kFloat32);
  check_like(check, "q", q, DType::kInt32, rows);
  check_isa(ctx, isa);
  if (rows.elements() == 0) return;
  if (ctx.on_device()) return on_device(ctx, &DeviceOps::quantise_rows)(ctx, settings, rows, q);
  reference::quantise_rows(ctx, settings, rows, q, isa);
}

void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire, Isa isa) {
  const OpCheck check = checked(ctx, "release_rows", settings, rows);
  check.type("rows", rows, DType::kFloat32);
  const bool leaves = ctx.on_device() && wire.defined() && wire.place() == Tensor::Place::kHost;
  if (leaves) {
    check.shape("wire", wire, rows.shape());
    require(wire.dtype() == settings.wire, Errc::kInvalidArgument, "wire must be " + std::string(name(settings.wire)));
  } else {
    check_like(check, "wire", wire, settings.wire, rows);
  }
  check_isa(ctx, isa);
  require(nonce.kind < kExtensionKind, Errc::kInvalidArgument, "the stream kind of a nonce has 31 bits");
  const auto elements = static_cast<std::uint64_t>(rows.elements());
  require(first_element <= kElementLimit && elements <= kElementLimit - first_element, Errc::kInvalidArgument,
          "one nonce serves 2^35 elements");
  if (elements == 0) return;
  if (!ctx.on_device()) return reference::release_rows(ctx, settings, key, nonce, first_element, rows, wire, isa);
  const auto release = on_device(ctx, &DeviceOps::release_rows);
  if (!leaves) return release(ctx, settings, key, nonce, first_element, rows, wire);
  // Made in device memory and then copied by the copy engine: stores over PCIe from a kernel would keep its threads waiting.
  Tensor made_here = ctx.tensor(rows.shape(), settings.wire);
  release(ctx, settings, key, nonce, first_element, rows, made_here);
  ctx.copy(made_here, wire);
}

void dequantise_rows(Context& ctx, const RowSettings& settings, const Tensor& wire, Tensor& rows) {
  const OpCheck check = checked(ctx, "dequantise_rows", settings, rows);
  check.type("rows", rows, ctx.on_device() && rows.dtype() == DType::kBfloat16 ? DType::kBfloat16 : DType::kFloat32);
  check_like(check, "wire", wire, settings.wire, rows);
  if (rows.elements() == 0) return;
  on_backend(ctx, reference::dequantise_rows, reference::dequantise_rows, &DeviceOps::dequantise_rows)(ctx, settings, wire, rows);
}

void clip_backward(Context& ctx, const RowSettings& settings, const Tensor& rows, const Tensor& grad_y, Tensor& grad_x) {
  const OpCheck check = checked(ctx, "clip_backward", settings, rows);
  check.type("rows", rows, DType::kFloat32);
  check_like(check, "grad_y", grad_y, DType::kFloat32, rows);
  check_like(check, "grad_x", grad_x, DType::kFloat32, rows);
  if (rows.elements() == 0) return;
  on_backend(ctx, reference::clip_backward, reference::clip_backward, &DeviceOps::clip_backward)(ctx, settings, rows, grad_y,
                                                                                                 grad_x);
}

}  // namespace sutura
