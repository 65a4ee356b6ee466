#include "runtime/data/metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/error.h"

namespace sutura {
namespace {

using Json = nlohmann::json;
using Floats = std::vector<float>;
using Labels = std::vector<std::int32_t>;

// Sums in another order than NumPy's: a few units in the last place of numbers near 1.
constexpr double kRounding = 1e-12;

const Json& fixture() {
  static const Json cases = [] {
    std::ifstream file(SUTURA_SOURCE_DIR "/tests/data/fixtures/metrics.json");
    return Json::parse(file);
  }();
  return cases;
}

TEST(Metrics, BinaryFiguresEqualScikitLearnAndDeLongOverAllPairs) {
  ASSERT_GE(fixture()["binary"].size(), 7u);
  for (const Json& c : fixture()["binary"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const auto scores = c["scores"].get<Floats>();
    const auto labels = c["labels"].get<Labels>();
    const auto area = auc(scores, labels);
    ASSERT_TRUE(area.has_value());
    EXPECT_NEAR(area->value, c["auc"].get<double>(), kRounding);
    EXPECT_NEAR(area->standard_error, c["standard_error"].get<double>(), kRounding);
    EXPECT_NEAR(area->low, c["low"].get<double>(), kRounding);
    EXPECT_NEAR(area->high, c["high"].get<double>(), kRounding);
    EXPECT_NEAR(accuracy(scores, labels), c["accuracy"].get<double>(), kRounding);
    EXPECT_NEAR(*balanced_accuracy(scores, labels, 0.5), c["balanced_accuracy"].get<double>(), kRounding);
    const double threshold = *best_balanced_threshold(scores, labels);
    EXPECT_NEAR(*balanced_accuracy(scores, labels, threshold), c["best_balanced_accuracy"].get<double>(), kRounding);
    EXPECT_NEAR(*sensitivity_at_specificity(scores, labels), c["sensitivity_at_90"].get<double>(), kRounding);
    EXPECT_NEAR(log_loss(scores, labels), c["log_loss"].get<double>(), 1e-9);  // 34.5 per wrong certain record
  }
}

TEST(Metrics, FiguresOfSeveralClassesEqualScikitLearn) {
  ASSERT_GE(fixture()["classes"].size(), 3u);
  for (const Json& c : fixture()["classes"]) {
    SCOPED_TRACE(c["name"].get<std::string>());
    const auto p = c["probabilities"].get<Floats>();
    const auto labels = c["labels"].get<Labels>();
    const auto classes = c["classes"].get<std::int64_t>();
    const auto area = macro_auc(p, labels, classes);
    ASSERT_EQ(area.has_value(), !c["macro_auc"].is_null());
    if (area) {
      EXPECT_NEAR(*area, c["macro_auc"].get<double>(), kRounding);
    }
    EXPECT_NEAR(accuracy_of_classes(p, labels, classes), c["accuracy"].get<double>(), kRounding);
    EXPECT_NEAR(macro_f1(p, labels, classes), c["macro_f1"].get<double>(), kRounding);
    EXPECT_NEAR(log_loss_of_classes(p, labels, classes), c["log_loss"].get<double>(), kRounding);
  }
}

TEST(Metrics, ClassesThatDoNotOccurDoNotLowerTheMacroF1) {
  // Class 0: 1 right of 2, one false alarm: F1 1/2. Class 1: never predicted: 0. Class 2: only predicted: 0. Class 3: not there.
  const Floats p{1, 0, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0};
  EXPECT_DOUBLE_EQ(macro_f1(p, Labels{0, 0, 1}, 4), 0.5 / 3);
  EXPECT_DOUBLE_EQ(macro_f1(Floats{1, 0, 0, 1, 0, 0}, Labels{0, 0}, 3), 1.0);
}

TEST(Metrics, MeanSquaredErrorEqualsScikitLearn) {
  const Json& c = fixture()["regression"];
  EXPECT_NEAR(mean_squared_error(c["predictions"].get<Floats>(), c["targets"].get<Floats>()),
              c["mean_squared_error"].get<double>(), kRounding);
}

TEST(Metrics, OrderOfRecordsDoesNotMatter) {
  const Json& c = fixture()["binary"][1];  // heavy ties
  auto scores = c["scores"].get<Floats>();
  auto labels = c["labels"].get<Labels>();
  const auto before = *auc(scores, labels);
  std::reverse(scores.begin(), scores.end());
  std::reverse(labels.begin(), labels.end());
  EXPECT_NEAR(auc(scores, labels)->value, before.value, kRounding);
  EXPECT_NEAR(auc(scores, labels)->standard_error, before.standard_error, kRounding);
}

TEST(Metrics, OneClassHasNoAuc) {
  const Floats scores{0.1f, 0.7f};
  for (const Labels& labels : {Labels{1, 1}, Labels{0, 0}}) {
    EXPECT_FALSE(auc(scores, labels).has_value());
    EXPECT_FALSE(balanced_accuracy(scores, labels, 0.5).has_value());
    EXPECT_FALSE(best_balanced_threshold(scores, labels).has_value());
    EXPECT_FALSE(sensitivity_at_specificity(scores, labels).has_value());
  }
  EXPECT_EQ(accuracy(scores, Labels{1, 1}), 0.5);
  EXPECT_FALSE(macro_auc(Floats{0.5f, 0.3f, 0.2f, 0.1f, 0.8f, 0.1f}, Labels{0, 1}, 3).has_value());
}

TEST(Metrics, OneRecordOfAClassLeavesTheIntervalOpen) {
  const auto area = auc(Floats{0.1f, 0.2f, 0.15f}, Labels{0, 0, 1});
  ASSERT_TRUE(area.has_value());
  EXPECT_EQ(area->value, 0.5);
  EXPECT_EQ(area->low, 0.0);
  EXPECT_EQ(area->high, 1.0);
  EXPECT_TRUE(std::isnan(area->standard_error));
}

TEST(Metrics, TheThresholdLiesHalfWayAndTheLargestWins) {
  // Both 0.9|0.6 and 0.4|0.2 give 0.75: the larger is taken.
  EXPECT_DOUBLE_EQ(*best_balanced_threshold(Floats{0.875f, 0.625f, 0.375f, 0.25f}, Labels{1, 0, 1, 0}), 0.75);
  EXPECT_DOUBLE_EQ(*best_balanced_threshold(Floats{0.75f, 0.25f}, Labels{1, 0}), 0.5);
}

TEST(Metrics, MeaninglessInputIsRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const auto refused = [](auto action) {
    try {
      action();
    } catch (const Error& e) {
      return e.code() == Errc::kInvalidArgument;
    }
    return false;
  };
  EXPECT_TRUE(refused([&] { auc(Floats{0.1f, nan}, Labels{0, 1}); }));
  EXPECT_TRUE(refused([&] { auc(Floats{0.1f}, Labels{0, 1}); }));
  EXPECT_TRUE(refused([&] { auc(Floats{0.1f, 0.2f}, Labels{0, 2}); }));
  EXPECT_TRUE(refused([&] { auc(Floats{0.1f, 0.2f}, Labels{0, -1}); }));
  EXPECT_TRUE(refused([] { accuracy(Floats{}, Labels{}); }));
  EXPECT_TRUE(refused([] { macro_auc(Floats{0.1f, 0.2f}, Labels{0, 1}, 2); }));
  EXPECT_TRUE(refused([] { macro_f1(Floats{0.1f}, Labels{0}, 1); }));
  EXPECT_TRUE(refused([] { mean_squared_error(Floats{0.1f}, Floats{}); }));
  EXPECT_TRUE(refused([] { sensitivity_at_specificity(Floats{0.1f, 0.2f}, Labels{0, 1}, 1.5); }));
}

}  // namespace
}  // namespace sutura
