#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

#include "kernels/cpu/isa.h"
#include "kernels/ops/release_rows/row_steps.h"

/// Loops over one row, compiled once per instruction set. Rows are padded with zeros to whole blocks of 64 values.
namespace sutura::row_loops {

using row_steps::kLanes, row_steps::kRoundMagic;

SUTURA_INLINE std::int64_t padded(std::int64_t d) { return (d + kLanes - 1) / kLanes * kLanes; }

/// Fixed tree over the 64 lanes: the same sum on every machine.
SUTURA_INLINE double tree_sum(double (&lanes)[kLanes]) {
  for (std::int64_t half = kLanes / 2; half > 0; half /= 2)
    for (std::int64_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  return lanes[0];
}

/// What a row is multiplied with, and whether it may be used at all.
struct RowNorm {
  double norm;
  std::uint32_t finite;  ///< all ones or 0
};

/// Copies a row, sanitised, to `out` (padded) and takes its norm. Values that are not finite are copied as 0.
template <RowSettings::Sign kSign>
struct Prepare {
  SUTURA_INLINE static void run(const float* a, std::int64_t d, float* out, RowNorm* result) {
    double lanes[kLanes] = {};
    std::uint32_t bad[kLanes] = {};
    const auto take = [&](std::int64_t j, std::int64_t l) __attribute__((always_inline)) {
      const auto bits = std::bit_cast<std::uint32_t>(a[j]);
      const std::uint32_t not_finite = (bits & 0x7f800000u) == 0x7f800000u ? ~0u : 0u;
      bad[l] |= not_finite;
      float v = std::bit_cast<float>(bits & ~not_finite);
      if constexpr (kSign == RowSettings::Sign::kNonnegative) v = v > 0.0f ? v : 0.0f;
      out[j] = v;
      lanes[l] += static_cast<double>(v) * static_cast<double>(v);
    };
    std::int64_t j = 0;
    for (; j + kLanes <= d; j += kLanes)
      for (std::int64_t l = 0; l < kLanes; ++l) take(j + l, l);
    for (; j < d; ++j) take(j, j % kLanes);
    for (; j < padded(d); ++j) out[j] = 0.0f;
    std::uint32_t any_bad = 0;
    for (const std::uint32_t b : bad) any_bad |= b;
    *result = {std::sqrt(tree_sum(lanes)), ~any_bad};
  }
};

SUTURA_INLINE double round_even(double x) { return (x + kRoundMagic) - kRoundMagic; }
SUTURA_INLINE double saturated(double x, double bound) {
  x = x < bound ? x : bound;
  return x > -bound ? x : -bound;
}

/// sum_j rint(a_j scale)^2, exact: all terms are integers and the sum stays below 2^53 (it is at most (B +
/// sqrt(D)/2)^2).
struct SquaredNorm {
  SUTURA_INLINE static void run(const float* a, std::int64_t d, double scale, double bound, double* result) {
    double lanes[kLanes] = {};
    for (std::int64_t j = 0; j < d; j += kLanes)
      for (std::int64_t l = 0; l < kLanes; ++l) {
        const double q = round_even(saturated(static_cast<double>(a[j + l]) * scale, bound));
        lanes[l] += q * q;
      }
    *result = tree_sum(lanes);
  }
};

/// q_j = rint(a_j scale), or towards zero where `truncate` is all ones.
struct Quantise {
  SUTURA_INLINE static void run(const float* a, std::int64_t d, double scale, double bound, std::uint32_t truncate,
                                std::int32_t* q) {
    for (std::int64_t j = 0; j < d; ++j) {
      const double x = saturated(static_cast<double>(a[j]) * scale, bound);
      const auto nearest = static_cast<std::int32_t>(round_even(x));
      const auto toward_zero = static_cast<std::int32_t>(x);
      q[j] = static_cast<std::int32_t>((static_cast<std::uint32_t>(toward_zero) & truncate) |
                                       (static_cast<std::uint32_t>(nearest) & ~truncate));
    }
  }
};

/// sum q^2 of the very integers that will be noised, in 64-bit integers.
struct IntegerNorm {
  SUTURA_INLINE static void run(const std::int32_t* q, std::int64_t d, std::uint64_t* result) {
    std::uint64_t sum = 0;
    for (std::int64_t j = 0; j < d; ++j) {
      const auto m = static_cast<std::uint32_t>(q[j] < 0 ? -q[j] : q[j]);
      sum += std::uint64_t{m} * m;
    }
    *result = sum;
  }
};

struct Mask {
  SUTURA_INLINE static void run(std::int32_t* q, std::int64_t d, std::uint32_t keep) {
    for (std::int64_t j = 0; j < d; ++j) q[j] = static_cast<std::int32_t>(static_cast<std::uint32_t>(q[j]) & keep);
  }
};

/// wire = saturate((q + z + 2^(shift-1)) >> shift).
template <class Wire>
struct ToWire {
  SUTURA_INLINE static void run(const std::int32_t* q, const std::int32_t* z, std::int64_t n, int shift, Wire* wire) {
    constexpr std::int32_t kTop = sizeof(Wire) == 1 ? 127 : 32767;
    const std::int32_t half = shift > 0 ? 1 << (shift - 1) : 0;
    for (std::int64_t i = 0; i < n; ++i) {
      std::int32_t y = (q[i] + z[i] + half) >> shift;
      y = y < kTop ? y : kTop;
      y = y > -kTop - 1 ? y : -kTop - 1;
      wire[i] = static_cast<Wire>(y);
    }
  }
};

template <class Wire>
struct FromWire {
  SUTURA_INLINE static void run(const Wire* wire, std::int64_t n, double step, float* rows) {
    for (std::int64_t i = 0; i < n; ++i) rows[i] = static_cast<float>(static_cast<double>(wire[i]) * step);
  }
};

/// grad_x = scale * (g - a * (a.g)/n^2) with masks, see clip_backward. `a` is a prepared row.
struct ClipBackward {
  SUTURA_INLINE static void run(const float* a, const float* g, std::int64_t d, double scale, double along,
                                std::uint32_t keep_all, std::uint32_t usable, float* grad_x) {
    for (std::int64_t j = 0; j < d; ++j) {
      const double v = static_cast<double>(a[j]);
      const auto x = static_cast<float>(scale * (static_cast<double>(g[j]) - v * along));
      const std::uint32_t keep = (v > 0.0 ? ~0u : keep_all) & usable;
      grad_x[j] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(x) & keep);
    }
  }
};

/// a.g over the fixed lanes. `a` is a prepared (padded) row, g has d values.
struct Dot {
  SUTURA_INLINE static void run(const float* a, const float* g, std::int64_t d, double* result) {
    double lanes[kLanes] = {};
    std::int64_t j = 0;
    for (; j + kLanes <= d; j += kLanes)
      for (std::int64_t l = 0; l < kLanes; ++l) lanes[l] += static_cast<double>(a[j + l]) * static_cast<double>(g[j + l]);
    for (; j < d; ++j) lanes[j % kLanes] += static_cast<double>(a[j]) * static_cast<double>(g[j]);
    *result = tree_sum(lanes);
  }
};

}  // namespace sutura::row_loops
