#include "runtime/data/standardize.h"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "tests/data/scratch.h"

namespace sutura {
namespace {

using enum FeatureKind;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;

const float kNan = std::numeric_limits<float>::quiet_NaN();
const std::vector<FeatureKind> kKinds{kNumber, kIndicator, kNumber};

Tensor rows(std::initializer_list<float> values, std::int64_t width) {
  return Tensor::from({static_cast<std::int64_t>(values.size()) / width, width},
                      std::span(values.begin(), values.size()));
}
std::vector<float> scaled(const Scaling& s, Tensor x) {
  apply_scaling(s, x);
  return {x.f32().begin(), x.f32().end()};
}

TEST(Standardize, ConstantsGoToNumbersOnly) {
  const std::vector<double> centre{10, 20}, scale{2, 5};
  const Scaling s = constant_scaling(kKinds, centre, scale);
  EXPECT_EQ(s.from_records, 0);
  EXPECT_THAT(s.centre, ElementsAre(10, 0, 20));
  EXPECT_THAT(s.scale, ElementsAre(2, 1, 5));
  EXPECT_THAT(scaled(s, rows({14, 1, 10, 10, 0, kNan}, 3)), ElementsAre(2, 1, -2, 0, 0, 0));
  const std::vector<double> one{4};
  EXPECT_THAT(constant_scaling(kKinds, one, one).centre, ElementsAre(4, 0, 4));
}

TEST(Standardize, BadConstantsAreRefused) {
  const std::vector<double> one{1}, three{1, 2, 3}, zero{0}, negative{-1}, none, infinite{HUGE_VAL};
  for (const auto& [centre, scale] : {std::pair{one, three},
                                      {three, one},
                                      {one, zero},
                                      {one, negative},
                                      {none, one},
                                      {one, none},
                                      {infinite, one},
                                      {one, infinite}})
    message_of(Errc::kConfig, [&, c = centre, s = scale] { constant_scaling(kKinds, c, s); });
}

TEST(Standardize, TrainingStatisticsLeaveMissingValuesOut) {
  const Tensor train = rows({1, 1, 5, 3, 0, kNan, kNan, 1, 7, 5, 0, 9}, 3);
  const Scaling s = training_scaling(kKinds, train);
  EXPECT_EQ(s.from_records, 4);
  EXPECT_THAT(s.centre, ElementsAre(3, 0, 7));
  EXPECT_DOUBLE_EQ(s.scale[0], std::sqrt(8.0 / 3.0));
  EXPECT_EQ(s.scale[1], 1.0);
  EXPECT_DOUBLE_EQ(s.scale[2], std::sqrt(8.0 / 3.0));
  const auto out = scaled(s, train.clone());
  EXPECT_EQ(out[6], 0.0f);  // the missing value is the centre
  EXPECT_EQ(out[7], 1.0f);
  EXPECT_FLOAT_EQ(out[0] + out[3] + out[9], 0.0f);
}

TEST(Standardize, ConstantAndAbsentColumnsKeepScaleOne) {
  const std::vector<FeatureKind> kinds{kNumber, kNumber};
  const Scaling s = training_scaling(kinds, rows({0.1f, kNan, 0.1f, kNan, 0.1f, kNan}, 2));
  EXPECT_THAT(s.scale, ElementsAre(1, 1));
  EXPECT_EQ(s.centre[1], 0.0);
  EXPECT_THAT(scaled(s, rows({0.1f, kNan, 1.1f, 3}, 2)), ElementsAre(0, 0, 1, 3));
}

TEST(Standardize, LargeOffsetsKeepTheirDigits) {
  const std::vector<FeatureKind> kinds{kNumber};
  const Scaling s = training_scaling(kinds, rows({16777214, 16777215, 16777216}, 1));
  EXPECT_DOUBLE_EQ(s.centre[0], 16777215.0);
  EXPECT_DOUBLE_EQ(s.scale[0], std::sqrt(2.0 / 3.0));
}

TEST(Standardize, ImagesHaveOnePairPerChannel) {
  const std::vector<FeatureKind> kinds{kNumber, kNumber};
  const Tensor images = rows({1, 10, 3, 30, 5, 50, 7, 70}, 8).clone().reshaped({1, 2, 2, 2});
  const Scaling s = training_scaling(kinds, images);
  EXPECT_THAT(s.centre, ElementsAre(4, 40));
  EXPECT_DOUBLE_EQ(s.scale[1], 10 * s.scale[0]);
  EXPECT_EQ(s.from_records, 1);
}

TEST(Standardize, WithoutScalingNothingChangesAndNothingMayBeMissing) {
  EXPECT_THAT(scaled({}, rows({1, 2}, 2)), ElementsAre(1, 2));
  EXPECT_THAT(message_of(Errc::kConfig, [] { scaled({}, rows({1, kNan}, 2)); }), HasSubstr("needs data.standardize"));
}

TEST(Standardize, OverflowAndWrongWidthAreRefused) {
  const Scaling tiny{{0.0}, {1e-30}, 0};
  message_of(Errc::kData, [&] { scaled(tiny, rows({1e20f}, 1)); });
  message_of(Errc::kShapeMismatch, [&] { scaled(tiny, rows({1, 2}, 2)); });
}

}  // namespace
}  // namespace sutura
