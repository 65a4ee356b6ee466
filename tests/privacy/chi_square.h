#pragma once
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ops/release_rows/rounded_gaussian.h"

namespace sutura::privacy_tests {

/// P(Z = k) of a Gaussian of deviation `sigma` rounded to integers.
inline double rounded_pmf(double sigma, int k) {
  const double scale = 1.0 / (sigma * std::sqrt(2.0));
  const double a = std::fabs(static_cast<double>(k));
  return 0.5 * (std::erfc((a - 0.5) * scale) - std::erfc((a + 0.5) * scale));
}

/// Counts of the values -kNoiseMax..kNoiseMax.
struct Histogram {
  std::vector<std::int64_t> counts = std::vector<std::int64_t>(2 * kNoiseMax + 1);
  double sum = 0, squares = 0;
  std::int64_t n = 0;
  void add(std::span<const std::int32_t> z) {
    std::int64_t s = 0, s2 = 0;
    for (const std::int32_t v : z) {
      ++counts[static_cast<std::size_t>(v + kNoiseMax)];
      s += v;
      s2 += std::int64_t{v} * v;
    }
    sum += static_cast<double>(s);
    squares += static_cast<double>(s2);
    n += static_cast<std::int64_t>(z.size());
  }
};

/// Upper tail probability of Pearson's statistic against the rounded Gaussian of deviation sigma, the tails pooled so that
/// every cell expects at least 50. Wilson-Hilferty: good to a few percent of p at the thousands of cells there are here.
inline double chi_square_p(const Histogram& h, double sigma) {
  double statistic = 0, pooled_expected = 0, pooled_seen = 0;
  int cells = 0;
  for (int k = -kNoiseMax; k <= kNoiseMax; ++k) {
    const double expected = static_cast<double>(h.n) * rounded_pmf(sigma, k);
    const auto seen = static_cast<double>(h.counts[static_cast<std::size_t>(k + kNoiseMax)]);
    if (expected < 50) {
      pooled_expected += expected;
      pooled_seen += seen;
      continue;
    }
    statistic += (seen - expected) * (seen - expected) / expected;
    ++cells;
  }
  statistic += (pooled_seen - pooled_expected) * (pooled_seen - pooled_expected) / pooled_expected;
  const double freedom = cells;  // cells + 1 pooled - 1
  const double shrink = 2.0 / (9.0 * freedom);
  const double normal = (std::cbrt(statistic / freedom) - (1 - shrink)) / std::sqrt(shrink);
  return 0.5 * std::erfc(normal / std::sqrt(2.0));
}

}  // namespace sutura::privacy_tests
