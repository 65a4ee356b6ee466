#include "models/cosine.h"

#include <cmath>
#include <numbers>

namespace sutura {
namespace {

/// Sum of (-t^2)^k / ((2k + offset)!) for |t| <= pi/4, where 10 terms reach double precision; innermost term first.
double alternating_series(double t, int offset) {
  double sum = 1.0;
  for (int k = 9; k >= 1; --k) sum = 1.0 - t * t / static_cast<double>((2 * k + offset - 1) * (2 * k + offset)) * sum;
  return sum;
}

}  // namespace

double cos_pi(double x) {
  x = std::fmod(std::abs(x), 2.0);  // exact
  if (x > 1.0) x = 2.0 - x;
  if (x > 0.5) return -cos_pi(1.0 - x);
  if (x > 0.25) {
    const double t = std::numbers::pi * (0.5 - x);  // cos(pi x) = sin(pi / 2 - pi x)
    return t * alternating_series(t, 1);
  }
  return alternating_series(std::numbers::pi * x, 0);
}

}  // namespace sutura
