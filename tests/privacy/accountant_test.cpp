#include "runtime/privacy/accountant.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "core/error.h"
#include "reference_rows.h"

namespace sutura {
namespace {

using privacy_tests::reference_rows;

TEST(Accountant, ReproducesTheGaussianReferenceValues) {
  for (const char* group : {"A", "A2"}) {
    for (const auto& row : reference_rows(group)) {
      const double expected = std::stod(row.value);
      const double got = gaussian_epsilon(std::stod(row.sigma), std::stod(row.steps), std::stod(row.delta));
      EXPECT_NEAR(got, expected, 1e-10) << row.sigma << " x" << row.steps;
    }
  }
}

TEST(Accountant, CalibratesToTheReferenceMultipliers) {
  for (const auto& row : reference_rows("A3")) {
    const double epsilon = std::stod(row.quantity.substr(row.quantity.find('=') + 1));
    const double z = gaussian_noise_multiplier(epsilon, 1, std::stod(row.delta));
    EXPECT_NEAR(z, std::stod(row.value), 1e-10 * std::stod(row.value));
    // What comes back holds, and a hair less noise does not.
    EXPECT_LE(gaussian_delta(z, 1, epsilon), std::stod(row.delta));
    EXPECT_GT(gaussian_delta(z * (1 - 1e-9), 1, epsilon), std::stod(row.delta));
    EXPECT_NEAR(gaussian_noise_multiplier(epsilon, 30, std::stod(row.delta)), z * std::sqrt(30.0), 1e-9 * z);
  }
}

TEST(Accountant, ReproducesTheReferenceDeltas) {
  for (const auto& row : reference_rows("A4")) {
    const double epsilon = std::stod(row.quantity.substr(row.quantity.find('=') + 1));
    const double expected = std::stod(row.value);
    EXPECT_NEAR(gaussian_delta(std::stod(row.sigma), 1, epsilon), expected, 1e-12 * expected);
  }
}

TEST(Accountant, AddsDifferentMultipliersBySquares) {
  Accountant a;
  a.add(GaussianEvent{1.5}, 4);
  a.add(GaussianEvent{4.0}, 20);
  a.add(GaussianEvent{1.5}, 6);
  const double expected = std::stod(reference_rows("A5").front().value);
  EXPECT_NEAR(a.epsilon(1e-5), expected, 1e-10);
  EXPECT_NEAR(a.delta(a.epsilon(1e-5)), 1e-5, 1e-14);
  EXPECT_EQ(a.events().size(), 2u);
  Accountant joint;  // group G: a row at z = 2 and an update at z = 1.2, twenty times
  joint.add(GaussianEvent{2.0}, 20);
  joint.add(GaussianEvent{1.2}, 20);
  EXPECT_NEAR(joint.epsilon(1e-5), std::stod(reference_rows("G").front().value), 1e-9);
}

TEST(Accountant, IsMonotone) {
  double before = 1e300;
  for (const double z : {0.1, 0.3, 1.0, 3.0, 10.0, 100.0}) {
    const double e = gaussian_epsilon(z, 1, 1e-5);
    EXPECT_LT(e, before);
    EXPECT_LT(e, gaussian_epsilon(z, 2, 1e-5));
    EXPECT_LT(gaussian_epsilon(z, 1, 1e-3), e);
    before = e;
  }
  EXPECT_EQ(gaussian_epsilon(1e6, 1, 1e-5), 0.0);
  EXPECT_EQ(gaussian_epsilon(1.0, 0, 1e-5), 0.0);
  EXPECT_TRUE(std::isfinite(gaussian_epsilon(1e-3, 1e6, 1e-12)));
}

TEST(Accountant, TailsOfTheNormalDistribution) {
  // mpmath.log(mpmath.ncdf(x)) at 40 digits.
  EXPECT_NEAR(log_normal_cdf(-40), -804.60844201375379, 1e-12 * 804);
  EXPECT_NEAR(log_normal_cdf(-10), -53.231285150512471, 1e-13 * 53);
  EXPECT_NEAR(log_normal_cdf(0), std::log(0.5), 1e-16);
  EXPECT_NEAR(log_normal_cdf(8), -6.2209605742717861e-16, 1e-28);
  // No step where the two formulas meet.
  EXPECT_NEAR(log_normal_cdf(std::nextafter(-5.0, -6.0)), log_normal_cdf(-5.0), 2e-14);
}

TEST(Accountant, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(event_from_text(text(DpEvent{GaussianEvent{0.6009389671361502}})), DpEvent{GaussianEvent{0.6009389671361502}});
  EXPECT_EQ(event_from_text(text(DpEvent{NonPrivateEvent{"a baseline, openly"}})),
            DpEvent{NonPrivateEvent{"a baseline, openly"}});
  for (const char* bad :
       {"laplace 1.0", "", "gaussian", "gaussian x", "gaussian 1.0 2.0", "gaussian -1", "gaussian inf", "gaussian nan"})
    EXPECT_THROW(event_from_text(bad), Error) << bad;
  Accountant a;
  EXPECT_THROW(a.add(GaussianEvent{0.0}), Error);
  EXPECT_THROW(a.add(GaussianEvent{std::nan("")}), Error);
  a.add(GaussianEvent{1.0});
  EXPECT_TRUE(std::isfinite(a.epsilon(1e-5)));
  a.add(NonPrivateEvent{"test"});
  EXPECT_TRUE(std::isinf(a.epsilon(1e-5)));
  EXPECT_EQ(a.delta(100.0), 1.0);
  for (const double delta : {0.0, 1.0, -1.0, std::nan("")}) EXPECT_THROW(gaussian_epsilon(1, 1, delta), Error);
  for (const double z : {0.0, -1.0, HUGE_VAL, std::nan("")}) EXPECT_THROW(gaussian_epsilon(z, 1, 1e-5), Error);
  EXPECT_THROW(gaussian_noise_multiplier(0, 1, 1e-5), Error);
  EXPECT_THROW(gaussian_delta(1, 1, std::nan("")), Error);
}

TEST(Accountant, AllowsExactlyUpToTheBudget) {
  Accountant a;
  const double z = gaussian_noise_multiplier(4.0, 10, 1e-5);
  a.add(GaussianEvent{z}, 9);
  EXPECT_TRUE(a.allows(GaussianEvent{z}, 1, 4.0, 1e-5));
  EXPECT_FALSE(a.allows(GaussianEvent{z}, 2, 4.0, 1e-5));
  EXPECT_FALSE(a.allows(NonPrivateEvent{"x"}, 1, 4.0, 1e-5));
}

}  // namespace
}  // namespace sutura
