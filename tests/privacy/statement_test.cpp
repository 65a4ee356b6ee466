#include "runtime/privacy/statement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>

namespace sutura {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

PrivacyConfig rows_config(Regime regime) {
  PrivacyConfig c;
  c.mechanism = Mechanism::kRows;
  c.regime = regime;
  c.epsilon = 8;
  c.delta = 1e-5;
  c.labels = LabelPolicy::kPublic;
  return c;
}

TEST(Statement, ReleaseOnceClaimsWithAllItsConditions) {
  const PrivacyConfig c = rows_config(Regime::kReleaseOnce);
  const RowPlan p = plan_rows(c, 1);
  const std::string s = privacy_statement(c, &p, 64, NoiseSource::kOperatingSystem);
  EXPECT_EQ(
      s, "Regime R1 release-once, unit record, relation replace-one (pair distance 2B), B=213, sigma_int=256, releases<=1: (" +
             rounded_up(p.epsilon) +
             ", 1e-05)-DP of the record's features for the transcript seen by the server and all other parties, labels public by "
             "declared policy and not covered, noise ChaCha20 (computational), implementation delta 2^-60. It rests on a frozen "
             "front with public weights and on settings fixed before private data was touched.");
}

TEST(Statement, MessageNoiseClaimsNothingForTraining) {
  const PrivacyConfig c = rows_config(Regime::kMessageNoise);
  const RowPlan p = plan_rows(c, 30);
  const std::string s = privacy_statement(c, &p, 64, NoiseSource::kOperatingSystem);
  EXPECT_THAT(s, HasSubstr("No training guarantee"));
  EXPECT_THAT(s, HasSubstr("Per-message local noise level"));
  EXPECT_THAT(s, Not(HasSubstr("-DP")));
  EXPECT_THAT(s, Not(HasSubstr(rounded_up(p.epsilon))));  // the composed number would read as a training claim
  EXPECT_THAT(s, HasSubstr(rounded_up(p.epsilon_per_release)));
}

TEST(Statement, SaysWhereTheSamplersDistanceIsNoBound) {
  PrivacyConfig c = rows_config(Regime::kReleaseOnce);
  c.epsilon = 300;
  const RowPlan p = plan_rows(c, 1);
  const std::string s = privacy_statement(c, &p, 64, NoiseSource::kOperatingSystem);
  EXPECT_THAT(s, HasSubstr("without a bound on implementation delta"));
  EXPECT_THAT(s, Not(HasSubstr("2^")));
}

TEST(Statement, MessageNoiseIsGivenFrontAndScaling) {
  const PrivacyConfig c = rows_config(Regime::kMessageNoise);
  const RowPlan p = plan_rows(c, 30);
  EXPECT_THAT(privacy_statement(c, &p, 64, NoiseSource::kOperatingSystem),
              HasSubstr("given the front's weights and the scaling, one released row is"));
}

StudyConfig study_of(Regime regime) {
  StudyConfig s;
  s.privacy = rows_config(regime);
  return s;
}

TEST(Statement, PartsOfARecordAreClaimedAsPartsAndTheWholeBesideThem) {
  const StudyConfig s = study_of(Regime::kReleaseOnce);
  const RowPlan p = plan_rows(s.privacy, 1);
  const std::string two = privacy_statement(s, &p, 64, 2, NoiseSource::kOperatingSystem);
  EXPECT_THAT(two, HasSubstr("(" + rounded_up(p.epsilon) + ", 1e-05)-DP of this party's part of the record's features"));
  const double whole = gaussian_epsilon(p.noise_multiplier, 2.0, p.delta);
  EXPECT_GT(whole, p.epsilon * 1.3);
  EXPECT_THAT(two, HasSubstr("2 parties release parts of the same record: for the whole record the claim is (" +
                             rounded_up(whole) + ", 1e-05)."));
  const std::string one = privacy_statement(s, &p, 64, 1, NoiseSource::kOperatingSystem);
  EXPECT_THAT(one, HasSubstr("-DP of the record's features"));
  EXPECT_THAT(one, Not(HasSubstr("part of")));
  const StudyConfig noise = study_of(Regime::kMessageNoise);
  EXPECT_THAT(privacy_statement(noise, &p, 64, 2, NoiseSource::kOperatingSystem),
              HasSubstr("-indistinguishable in this party's part of its own record"));
}

TEST(Statement, GroupedRecordsAreNotPatients) {
  const std::string unit = "Unit record, not patient: a patient's records are released one by one.";
  for (const Regime regime : {Regime::kReleaseOnce, Regime::kMessageNoise}) {
    StudyConfig s = study_of(regime);
    const RowPlan p = plan_rows(s.privacy, 1);
    const auto said = [&] { return privacy_statement(s, &p, 64, 1, NoiseSource::kOperatingSystem); };
    s.data.table.emplace();
    EXPECT_THAT(said(), Not(HasSubstr(unit)));
    s.data.table->group = "patient";
    EXPECT_THAT(said(), HasSubstr(unit));
    s.data.table.reset();
    s.data.arrays.emplace();
    EXPECT_THAT(said(), Not(HasSubstr(unit)));
    s.data.arrays->train_groups = "train_patients";
    EXPECT_THAT(said(), HasSubstr(unit));
  }
}

TEST(Statement, NoMechanismAndTestNoiseSaySo) {
  PrivacyConfig c;
  c.because = "public data";
  EXPECT_EQ(privacy_statement(c, nullptr, 0, NoiseSource::kOperatingSystem), "No guarantee: public data");
  const PrivacyConfig r = rows_config(Regime::kReleaseOnce);
  const RowPlan p = plan_rows(r, 1);
  EXPECT_THAT(privacy_statement(r, &p, 64, NoiseSource::kTestSeed), StartsWith("NOT PRIVATE"));
  EXPECT_THAT(privacy_statement(r, &p, 64, NoiseSource::kOperatingSystem), Not(HasSubstr("NOT PRIVATE")));
}

TEST(Statement, ImplementationDeltaGrowsWhenSixtyBitsAreTooFew) {
  EXPECT_EQ(implementation_delta_log2(8, 4096, 100), -60);
  EXPECT_NEAR(implementation_delta_log2(50, 1 << 20, 1), 50 / std::log(2.0) + 20 - 116, 1e-6);
  EXPECT_GT(implementation_delta_log2(50, 1 << 20, 1), -60);
}

TEST(Statement, NumbersAreRoundedUp) {
  for (const double v :
       {7.9861, 4.3771780956812246, 1.0, 0.34066936468432641, 0.0090480725930387978, 1e-9, 133.0004, 970.12345}) {
    const double printed = std::stod(rounded_up(v));
    EXPECT_GE(printed, v);
    EXPECT_LE(printed, v + std::max(1.001e-3, 0.011 * v)) << v;
  }
  EXPECT_EQ(rounded_up(7.9861), "7.987");
  EXPECT_EQ(rounded_up(HUGE_VAL), "infinite");
}

}  // namespace
}  // namespace sutura
