#include "kernels/cpu/math.h"

#include <gtest/gtest.h>
#include <xmmintrin.h>

#include <cmath>
#include <limits>

#include "core/bytes.h"
#include "core/error.h"
#include "core/random/philox.h"
#include "kernels/ops/relu/relu.h"

// The C library's double functions are the oracle: within 1 ulp, and a different implementation.
namespace sutura {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double ulps(double got, double want) {
  if (std::isnan(got) && std::isnan(want)) return 0.0;
  if (got == want) return 0.0;
  const double spacing = std::nextafter(std::abs(want), kInf) - std::abs(want);
  const double distance = std::abs(got - want) / spacing;
  return std::isnan(distance) ? kInf : distance;
}

template <class Own, class Oracle>
double worst_ulps(Own own, Oracle oracle, double low, double high, int count = 200000) {
  PhiloxStream random(7, "math");
  double worst = 0.0;
  for (int i = 0; i < count; ++i) {
    const double x = low + (high - low) * random.next_double();
    worst = std::max(worst, ulps(own(x), oracle(x)));
  }
  return worst;
}
/// Over magnitudes 2^low .. 2^high, both signs.
template <class Own, class Oracle>
double worst_ulps_exponents(Own own, Oracle oracle, int low, int high) {
  PhiloxStream random(8, "math");
  double worst = 0.0;
  for (int i = 0; i < 100000; ++i) {
    const double m = 1.0 + random.next_double();
    const int e = low + static_cast<int>(random.next_below(static_cast<std::uint64_t>(high - low)));
    for (const double x : {std::ldexp(m, e), -std::ldexp(m, e)}) worst = std::max(worst, ulps(own(x), oracle(x)));
  }
  return worst;
}

// The library's promise (4 ulp, 8 for tanh) or tighter where it holds, plus 1 for the oracle's own error.
TEST(ReferenceMath, Exp) {
  EXPECT_LE(worst_ulps(
                reference::exp, [](double x) { return std::exp(x); }, -708.0, 709.7),
            3.0);
  EXPECT_LE(worst_ulps(
                reference::exp, [](double x) { return std::exp(x); }, -1.0, 1.0),
            3.0);
  EXPECT_LE(worst_ulps(
                reference::exp, [](double x) { return std::exp(x); }, -745.0, -708.0),
            3.0);  // subnormal results
  EXPECT_LE(worst_ulps_exponents(
                reference::exp, [](double x) { return std::exp(x); }, -60, 9),
            3.0);
  EXPECT_EQ(reference::exp(0.0), 1.0);
  EXPECT_EQ(reference::exp(kInf), kInf);
  EXPECT_EQ(reference::exp(-kInf), 0.0);
  EXPECT_EQ(reference::exp(710.0), kInf);
  EXPECT_EQ(reference::exp(-746.0), 0.0);
  EXPECT_TRUE(std::isnan(reference::exp(kNan)));
}

TEST(ReferenceMath, Expm1) {
  EXPECT_LE(worst_ulps_exponents(
                reference::expm1, [](double x) { return std::expm1(x); }, -60, 9),
            4.0);
  EXPECT_EQ(reference::expm1(-kInf), -1.0);
  EXPECT_TRUE(std::isnan(reference::expm1(kNan)));
}

TEST(ReferenceMath, Log) {
  EXPECT_LE(worst_ulps(
                reference::log, [](double x) { return std::log(x); }, 1e-3, 10.0),
            3.0);
  EXPECT_LE(worst_ulps(
                reference::log, [](double x) { return std::log(x); }, 0.9, 1.1),
            3.0);
  const auto own = [](double x) { return reference::log(std::abs(x)); };
  EXPECT_LE(worst_ulps_exponents(
                own, [](double x) { return std::log(std::abs(x)); }, -1073, 1023),
            3.0);
  EXPECT_EQ(reference::log(1.0), 0.0);
  EXPECT_EQ(reference::log(0.0), -kInf);
  EXPECT_EQ(reference::log(kInf), kInf);
  EXPECT_TRUE(std::isnan(reference::log(-1.0)));
  EXPECT_TRUE(std::isnan(reference::log(kNan)));
}

TEST(ReferenceMath, Log1p) {
  EXPECT_LE(worst_ulps(
                reference::log1p, [](double x) { return std::log1p(x); }, 0.0, 1.0),
            4.0);
  EXPECT_LE(worst_ulps_exponents(
                reference::log1p, [](double x) { return std::log1p(x); }, -60, -2),
            4.0);
  EXPECT_TRUE(std::isnan(reference::log1p(kNan)));
}

TEST(ReferenceMath, Tanh) {
  EXPECT_LE(worst_ulps(
                reference::tanh, [](double x) { return std::tanh(x); }, -22.0, 22.0),
            9.0);
  EXPECT_LE(worst_ulps_exponents(
                reference::tanh, [](double x) { return std::tanh(x); }, -60, 5),
            9.0);
  EXPECT_EQ(reference::tanh(kInf), 1.0);
  EXPECT_EQ(reference::tanh(-kInf), -1.0);
  EXPECT_TRUE(std::isnan(reference::tanh(kNan)));
}

TEST(ReferenceMath, Erf) {
  EXPECT_LE(worst_ulps(
                reference::erf, [](double x) { return std::erf(x); }, -6.5, 6.5),
            5.0);
  EXPECT_LE(worst_ulps_exponents(
                reference::erf, [](double x) { return std::erf(x); }, -60, 3),
            5.0);
  EXPECT_EQ(reference::erf(kInf), 1.0);
  EXPECT_EQ(reference::erf(-kInf), -1.0);
  EXPECT_TRUE(std::isnan(reference::erf(kNan)));
}

TEST(ReferenceMath, Sigmoid) {
  const auto oracle = [](double x) { return x >= 0.0 ? 1.0 / (1.0 + std::exp(-x)) : std::exp(x) / (1.0 + std::exp(x)); };
  EXPECT_LE(worst_ulps(reference::sigmoid, oracle, -700.0, 50.0), 5.0);
  EXPECT_EQ(reference::sigmoid(0.0), 0.5);
  EXPECT_EQ(reference::sigmoid(kInf), 1.0);
  EXPECT_EQ(reference::sigmoid(-kInf), 0.0);
  EXPECT_TRUE(std::isnan(reference::sigmoid(kNan)));
}

// Bits, not closeness: computed once, and the same on every x86-64, with every compiler and optimisation level.
TEST(ReferenceMath, BitsAreFixed) {
  std::vector<double> all;
  PhiloxStream random(9, "bits");
  for (int i = 0; i < 1000; ++i) {
    const double x = 8.0 * random.next_double() - 4.0;
    for (const double y : {reference::exp(x), reference::expm1(x), reference::log(x + 5.0), reference::log1p(x * x),
                           reference::tanh(x), reference::erf(x), reference::sigmoid(x)}) {
      all.push_back(y);
    }
  }
  EXPECT_EQ(to_hex(blake2b(as_bytes(all))).substr(0, 16), "fb4f0790fc8712ae");
}

TEST(ReferenceMath, ForeignFloatModeIsRefused) {
  const unsigned mode = _mm_getcsr();
  Context ctx(Backend::kReference);
  Tensor x = Tensor::zeros({3}), y({3});
  EXPECT_NO_THROW(relu_forward(ctx, x, y));
  for (const unsigned bits : {0x2000u, 0x8000u, 0x0040u}) {  // round down, flush to zero, denormals are zero
    _mm_setcsr(mode | bits);
    Errc code = Errc::kInternal;
    try {
      relu_forward(ctx, x, y);
    } catch (const Error& e) {
      code = e.code();
    }
    _mm_setcsr(mode);
    EXPECT_EQ(code, Errc::kDevice);
  }
}

}  // namespace
}  // namespace sutura
