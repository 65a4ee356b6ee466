#pragma once
#include <cstdint>

#include "core/random/chacha20.h"
#include "kernels/context.h"
#include "kernels/cpu/isa.h"
#include "kernels/ops/release_rows/rounded_gaussian.h"
#include "kernels/tensor.h"

namespace sutura {

/// The integer row mechanism: public numbers, the same at every party.
struct RowSettings {
  enum class Sign { kSigned, kNonnegative };  ///< kNonnegative: negative values become 0 before the norm is taken
  enum class Fit { kClip, kScaleToNorm };     ///< kScaleToNorm: short rows are stretched to the norm too
  double clip_norm = 1.0;                     ///< C > 0
  std::int32_t bound = 128;                   ///< B, 1..2^20: every quantised row q has sum q_j^2 <= B^2
  Sign sign = Sign::kSigned;
  Fit fit = Fit::kClip;
  DType wire = DType::kInt8;  ///< kInt8 or kInt16
  int shift = 4;              ///< 0..8: low bits dropped before the wire, with rounding
  /// Real size of one integer step, C / B.
  double grid() const { return clip_norm / bound; }
};

/// Which keystream the noise comes from; (key, nonce, element) must never serve two different rows.
struct NoiseNonce {
  std::uint64_t step = 0;
  std::uint32_t kind = 0;  ///< below 2^31: the top bit marks the rare second words
};

/// Clips and quantises: non-finite rows become zero rows; f = min(1, C/n) (or C/n) with n the fp64 norm over 64 fixed
/// lanes, shrunk by 1/sqrt(1 + D/(12 B^2)); q = rint(a f / grid); while sum q^2 > B^2, f is reduced (four repeats,
/// always run, selected by mask), then q is truncated towards zero, then the row is zero. Shapes   rows: [N, ...]
/// float32, D values a row, D <= 2^22; q: the same shape, int32. Numbers  sum q^2 <= B^2 for every input. A row's
/// integers depend on that row alone; the same on every isa, thread count and device. Errors   kShapeMismatch,
/// kInvalidArgument.
/// `isa` here and below is the CPU's: a device does not look at it. Tensors lie where `ctx` computes.
void quantise_rows(Context& ctx, const RowSettings& settings, const Tensor& rows, Tensor& q, Isa isa = widest_isa());

/// The released form of rows: quantise_rows, plus rounded Gaussian noise (sigma 256) for element first_element + i from
/// keystream word i, then (y + 2^(shift-1)) >> shift, saturated to the wire type.
/// Shapes   rows: [N, ...] float32; wire: the same shape, settings.wire; for a device also in host memory, best of
///          Context::pinned(): the copy is then queued behind the noise, otherwise waited for.
/// Numbers  A pure function of (settings, key, nonce, first_element, rows): the same bytes on every isa, thread count and
///          device, and for one call or many with matching first_element.
/// Key      On a device it goes to the kernel as an argument, and the clipped integers' workspace is zeroed in stream order.
///          Never capture this call: a graph freezes its arguments, so a replay would draw the same noise for other rows.
/// Errors   kShapeMismatch, kInvalidArgument (settings, element beyond 2^35).
/// Source   Balle & Wang 2018 (calibration); Canonne, Kamath & Steinke 2020 (why integers).
void release_rows(Context& ctx, const RowSettings& settings, const ChaChaKey& key, const NoiseNonce& nonce,
                  std::uint64_t first_element, const Tensor& rows, Tensor& wire, Isa isa = widest_isa());

/// x = wire * 2^shift * grid. Post-processing: needs no key.
/// Shapes   wire: [N, ...] settings.wire; rows: the same shape, float32; on a device also bfloat16, which is that float32 rounded
///          to nearest even. Errors  kShapeMismatch, kInvalidArgument.
void dequantise_rows(Context& ctx, const RowSettings& settings, const Tensor& wire, Tensor& rows);

/// Gradient of the clip: where ||a|| > C (kScaleToNorm: always), (C/||a||) (g - a (a.g)/||a||^2), else g. Noise is
/// additive and quantisation (its shrink included) counts as the identity. kNonnegative: no gradient where a <= 0.
/// Shapes   rows, grad_y, grad_x: [N, ...] float32, equal; grad_x may alias grad_y.
/// Numbers  Rows that quantise to zero because they are not finite (or too short to stretch) get zero gradients. fp64
/// inside. Errors   kShapeMismatch, kInvalidArgument.
void clip_backward(Context& ctx, const RowSettings& settings, const Tensor& rows, const Tensor& grad_y, Tensor& grad_x);

}  // namespace sutura
