#include "kernels/cpu/math.h"

#include <xmmintrin.h>

#include <bit>
#include <cstdint>
#include <limits>

#include "core/error.h"

namespace sutura::reference {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2High = 0x1.62e42feep-1;  // 32 bits: exact when multiplied by an exponent
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kLog2E = 0x1.71547652b82fep+0;

// erf(x) / x on |x| <= 1 as a polynomial in x^2: Chebyshev fit, error below 3e-21.
constexpr double kErfSmall[] = {0x1.20dd750429b6dp+0,  -0x1.812746b0379e7p-2,  0x1.ce2f21a042bdep-4,  -0x1.b82ce312889bap-6,
                                0x1.565bcd0e6502dp-8,  -0x1.c02db3feeb579p-11, 0x1.f9a326c233146p-14, -0x1.f4d2561aeafd4p-17,
                                0x1.b9e6509b9867dp-20, -0x1.5f6d925a0bc7ap-23, 0x1.fc4356498c2d9p-27, -0x1.4e607b41a6416p-30,
                                0x1.7f072188e194dp-34, -0x1.29b9f1b3df556p-38};
// erfc(x) * exp(x^2) on 1 <= x <= 6 as a polynomial in (x - 3) / (x + 3): Chebyshev fit, error below 4e-20.
constexpr double kErfcScaled[] = {0x1.6e9827d229d2dp-3,   -0x1.4e102b9cf8513p-2, 0x1.f6ff204105975p-3,  -0x1.336ffbef08b52p-3,
                                  0x1.258b13b01793fp-4,   -0x1.8fa58eb5d84e7p-6, 0x1.17c838eedb88ap-8,  0x1.73101e7556a26p-11,
                                  -0x1.39084cb001ad2p-11, 0x1.7ba10334165eap-15, 0x1.0cac64cf08cb6p-14, -0x1.af854b573b9d1p-17,
                                  -0x1.0bc21cb4f942ep-17, 0x1.1c21e19aa6c5bp-19, 0x1.523269bb1d46ep-20, -0x1.24cdd513fcda3p-22,
                                  -0x1.008efb840f3cfp-22, -0x1.bd674a4b37efep-26};
// 1/2!, 1/3!, ...: (e^r - 1 - r) / r^2 on |r| <= ln(2) / 2; the next term is below 1e-19.
constexpr double kExpTail[] = {0x1.0000000000000p-1,  0x1.5555555555555p-3,  0x1.5555555555555p-5,  0x1.1111111111111p-7,
                               0x1.6c16c16c16c17p-10, 0x1.a01a01a01a01ap-13, 0x1.a01a01a01a01ap-16, 0x1.71de3a556c734p-19,
                               0x1.27e4fb7789f5cp-22, 0x1.ae64567f544e4p-26, 0x1.1eed8eff8d898p-29, 0x1.6124613a86d09p-33,
                               0x1.93974a8c07c9dp-37};

template <int kTerms>
double polynomial(const double (&c)[kTerms], double z) {
  double sum = c[kTerms - 1];
  for (int i = kTerms - 2; i >= 0; --i) sum = sum * z + c[i];
  return sum;
}

/// Nearest integer by the 1.5 * 2^52 trick: no call into libm, |x| < 2^31.
double nearest(double x) { return (x + 0x1.8p52) - 0x1.8p52; }

double power_of_two(int n) { return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52); }

/// e^r - 1 for |r| <= ln(2) / 2.
double expm1_reduced(double r) { return r + r * r * polynomial(kExpTail, r); }

/// 2 atanh(s) = log((1 + s) / (1 - s)) for |s| <= 0.172: odd series, next term below 1e-17 relative.
double twice_atanh(double s) {
  const double z = s * s;
  double sum = 1.0 / 21.0;
  for (int k = 19; k >= 3; k -= 2) sum = sum * z + 1.0 / k;
  return 2.0 * s + 2.0 * s * (z * sum);
}

}  // namespace

double exp(double x) {
  if (!(x == x)) return x;
  if (x > 709.79) return kInfinity;
  if (x < -745.2) return 0.0;
  const double n = nearest(x * kLog2E);
  const double r = (x - n * kLn2High) - n * kLn2Low;
  // Two factors keep the exponents in range: e^709 needs 2^1024, subnormal results need 2^-1074.
  const int half = static_cast<int>(n) / 2;
  return (1.0 + expm1_reduced(r)) * power_of_two(half) * power_of_two(static_cast<int>(n) - half);
}

double expm1(double x) {
  if (x > -0.34 && x < 0.34) return expm1_reduced(x);
  return exp(x) - 1.0;
}

double log(double x) {
  if (!(x == x) || x == kInfinity) return x;
  if (x == 0.0) return -kInfinity;
  if (x < 0.0) return std::numeric_limits<double>::quiet_NaN();
  int exponent = 0;
  if (x < std::numeric_limits<double>::min()) {  // subnormal
    x *= 0x1p54;
    exponent = -54;
  }
  const auto bits = std::bit_cast<std::uint64_t>(x);
  exponent += static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0xfffffffffffffu) | 0x3ff0000000000000u);  // [1, 2)
  if (m > 1.4142135623730951) {
    m *= 0.5;
    ++exponent;
  }
  const double n = exponent;
  return n * kLn2High + (twice_atanh((m - 1.0) / (m + 1.0)) + n * kLn2Low);
}

double log1p(double x) {
  if (x > -0.29 && x < 0.41) return twice_atanh(x / (2.0 + x));
  return log(1.0 + x);
}

double tanh(double x) {
  if (!(x == x)) return x;
  const double a = x < 0.0 ? -x : x;
  if (a > 20.0) return x < 0.0 ? -1.0 : 1.0;
  double t = 0.0;
  if (a < 0.17) {
    const double e = expm1_reduced(2.0 * a);
    t = e / (e + 2.0);
  } else {
    t = 1.0 - 2.0 / (exp(2.0 * a) + 1.0);
  }
  return x < 0.0 ? -t : t;
}

double erf(double x) {
  if (!(x == x)) return x;
  const double a = x < 0.0 ? -x : x;
  if (a <= 1.0) return x * polynomial(kErfSmall, a * a);
  if (a >= 6.0) return x < 0.0 ? -1.0 : 1.0;
  const double y = 1.0 - exp(-a * a) * polynomial(kErfcScaled, (a - 3.0) / (a + 3.0));
  return x < 0.0 ? -y : y;
}

double sigmoid(double x) {
  // The branch keeps the exponent negative: no overflow, and full relative accuracy for large negative x.
  if (x >= 0.0) return 1.0 / (1.0 + exp(-x));
  const double e = exp(x);
  return e / (1.0 + e);
}

void require_ieee_mode() {
  constexpr unsigned kRoundingFlushAndDenormalBits = 0x6000u | 0x8000u | 0x0040u;
  require((_mm_getcsr() & kRoundingFlushAndDenormalBits) == 0, Errc::kDevice,
          "this thread does not round to nearest or flushes subnormals: the reference backend's bits depend on that");
}

}  // namespace sutura::reference
