#pragma once
#include <bit>
#include <cstdint>

#include "kernels/cpu/isa.h"

/// Elementary functions without branches or calls, for loops that the compiler vectorises. Accurate to a few units in the
/// last place of float; the oracle's functions are in kernels/cpu/math.h.
namespace sutura::onednn {

/// exp(x) for x <= 0 (used with -|x| and -x^2/2); results below 2^-126 become 0. NaN gives NaN.
/// Source: argument reduction by ln 2 in two parts and a degree-6 minimax polynomial (Cephes expf, Moshier).
SUTURA_INLINE float exp_nonpositive(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;                       // keeps NaN: the comparison is false
  const float shifted = clamped * 1.44269504088896341f + 12582912.0f;  // adding 1.5 * 2^23 rounds to an integer
  const float n = shifted - 12582912.0f;
  const float r = (clamped - n * 0.693359375f) - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const float mantissa = (p * r * r + r) + 1.0f;
  const auto exponent = (std::bit_cast<std::uint32_t>(shifted) - std::bit_cast<std::uint32_t>(12582912.0f)) << 23;
  const float scaled = std::bit_cast<float>(std::bit_cast<std::uint32_t>(mantissa) + exponent);
  const float result = x < -87.0f ? 0.0f : scaled;
  return x != x ? x : result;
}

/// Standard normal distribution function Phi(x), given gauss = exp(-x^2 / 2). Absolute error below 3e-7.
/// Source: Abramowitz & Stegun 1964, formula 7.1.26.
SUTURA_INLINE float normal_cdf(float x, float gauss) {
  const float z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float upper = 0.5f * p * t * gauss;  // 1 - Phi(|x|)
  return x < 0.0f ? upper : 1.0f - upper;
}

}  // namespace sutura::onednn
