#include "runtime/privacy/binomial_bounds.h"

#include <cmath>

#include "core/error.h"

namespace sutura {
namespace {

double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300, kClose = 1e-15;
  constexpr int kMost = 100000;  // about sqrt(max(a, b)) terms are needed
  const auto away_from_zero = [](double v) { return std::fabs(v) < kTiny ? kTiny : v; };
  double c = 1.0;
  double d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
  double result = d;
  for (int m = 1; m <= kMost; ++m) {
    const double even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
    d = 1.0 / away_from_zero(1.0 + even * d);
    c = away_from_zero(1.0 + even / c);
    result *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
    d = 1.0 / away_from_zero(1.0 + odd * d);
    c = away_from_zero(1.0 + odd / c);
    result *= d * c;
    if (std::fabs(d * c - 1.0) < kClose) return result;
  }
  throw Error(Errc::kInternal, "the incomplete beta function did not converge");
}

void check(std::int64_t hits, std::int64_t trials, double alpha) {
  require(trials >= 1 && hits >= 0 && hits <= trials && alpha > 0 && alpha < 1, Errc::kInvalidArgument,
          "a binomial bound needs 0 <= hits <= trials and alpha between 0 and 1");
}

/// x with I_x(a, b) = p.
double beta_quantile(double p, double a, double b) {
  double low = 0.0, high = 1.0;
  for (;;) {
    const double middle = low + (high - low) / 2;
    if (!(middle > low && middle < high)) return middle;
    (incomplete_beta(a, b, middle) < p ? low : high) = middle;
  }
}

}  // namespace

double incomplete_beta(double a, double b, double x) {
  require(a > 0 && b > 0 && x >= 0 && x <= 1, Errc::kInvalidArgument, "the incomplete beta function is not defined there");
  if (x == 0.0 || x == 1.0) return x;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log1p(-x));
  if (x < (a + 1.0) / (a + b + 2.0)) return front * beta_fraction(a, b, x) / a;
  return 1.0 - front * beta_fraction(b, a, 1.0 - x) / b;
}

double clopper_pearson_lower(std::int64_t hits, std::int64_t trials, double alpha) {
  check(hits, trials, alpha);
  if (hits == 0) return 0.0;
  return beta_quantile(alpha, static_cast<double>(hits), static_cast<double>(trials - hits + 1));
}

double clopper_pearson_upper(std::int64_t hits, std::int64_t trials, double alpha) {
  check(hits, trials, alpha);
  if (hits == trials) return 1.0;
  return beta_quantile(1 - alpha, static_cast<double>(hits + 1), static_cast<double>(trials - hits));
}

}  // namespace sutura
