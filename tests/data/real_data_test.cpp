#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/file.h"
#include "runtime/data/load.h"
#include "runtime/data/table.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using testing::real_data;

std::vector<std::int64_t> class_counts(const std::vector<SiteData>& sites, Dataset SiteData::*split) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(sites[0].classes), 0);
  for (const SiteData& site : sites)
    for (const std::int32_t y : (site.*split).labels.as<std::int32_t>()) ++counts[static_cast<std::size_t>(y)];
  return counts;
}

TEST(ShippedData, WdbcHasItsPublishedShapeAndClasses) {
  DataConfig config;
  config.table = TableConfig{};
  config.table->path = SUTURA_SOURCE_DIR "/data/wdbc.csv";
  config.table->label = "diagnosis";
  config.table->classes = {"B", "M"};
  config.sites = {"all"};
  const auto sites = load_sites(config, 1);
  EXPECT_EQ(sites[0].train.features.shape(), Shape({569, 30}));
  EXPECT_THAT(class_counts(sites, &SiteData::train), ElementsAre(357, 212));
  EXPECT_EQ(sites[0].feature_names[0], "mean_radius");
  EXPECT_EQ(sites[0].feature_names[29], "worst_fractal_dimension");
  EXPECT_EQ(sites[0].train.features.f32()[0], 17.99f);
}

class RealData : public ::testing::Test {
 protected:
  void SetUp() override {
    if (real_data().empty()) GTEST_SKIP() << "SUTURA_DATA is not set";
  }
};

TEST_F(RealData, WdbcEqualsTheShippedFile) {
  EXPECT_EQ(read_text_file(real_data() / "wdbc/wdbc.csv"), read_text_file(SUTURA_SOURCE_DIR "/data/wdbc.csv"));
}

TEST_F(RealData, PneumoniaMnistHasItsPublishedSplits) {
  DataConfig config;
  config.arrays = ArraysConfig{};
  ArraysConfig& a = *config.arrays;
  a.path = real_data() / "pneumoniamnist/pneumoniamnist.npz";
  a.train_features = "train_images";
  a.train_labels = "train_labels";
  a.validation_features = "val_images";
  a.validation_labels = "val_labels";
  a.test_features = "test_images";
  a.test_labels = "test_labels";
  config.sites = {"a", "b", "c"};
  const auto sites = load_sites(config, 1);
  EXPECT_THAT(class_counts(sites, &SiteData::train), ElementsAre(1214, 3494));
  EXPECT_THAT(class_counts(sites, &SiteData::validation), ElementsAre(135, 389));
  EXPECT_THAT(class_counts(sites, &SiteData::test), ElementsAre(234, 390));
  double sum = 0.0;
  std::int64_t pixels = 0;
  for (const SiteData& site : sites) {
    EXPECT_EQ(site.train.features.shape().with_batch(1), Shape({1, 28, 28, 1}));
    for (const float p : site.train.features.f32()) sum += p;
    pixels += site.train.features.elements();
  }
  EXPECT_EQ(pixels, 4708 * 784);
  EXPECT_NEAR(sum / static_cast<double>(pixels), 145.840, 0.0005);  // the published mean
}

TEST_F(RealData, FourHospitalsKeepTheirOwnFiles) {
  DataConfig config;
  config.table = TableConfig{};
  TableConfig& t = *config.table;
  t.path = real_data() / "heart_uci/processed.{site}.data";
  t.columns = {"age",     "sex",   "cp",      "trestbps", "chol", "fbs",  "restecg",
               "thalach", "exang", "oldpeak", "slope",    "ca",   "thal", "num"};
  t.label = "num";
  t.classes = {"healthy", "disease"};
  t.class_texts = {{"healthy", {"0"}}, {"disease", {"1", "2", "3", "4"}}};
  t.missing = {"?"};
  t.missing_columns = {"trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"};
  config.standardize = Standardize::kTraining;
  config.sites = {"cleveland", "hungarian", "switzerland", "va"};
  const auto sites = load_sites(config, 1);
  std::vector<std::int64_t> records, sick;
  for (const SiteData& site : sites) {
    records.push_back(site.train.size());
    const auto y = site.train.labels.as<std::int32_t>();
    sick.push_back(std::count(y.begin(), y.end(), 1));
    EXPECT_EQ(site.train.features.shape()[1], 13 + 10);
    for (const float v : site.train.features.f32()) EXPECT_TRUE(std::isfinite(v));
  }
  EXPECT_THAT(records, ElementsAre(303, 294, 123, 200));
  EXPECT_THAT(sick, ElementsAre(139, 106, 115, 149));
}

TEST_F(RealData, DiabetesReadsAndPatientsStayTogether) {
  TableConfig t;
  t.label = "readmitted";
  t.classes = {"NO", ">30", "<30"};
  t.features = {"time_in_hospital", "num_lab_procedures", "number_inpatient"};
  t.categories = {{"gender", {"Female", "Male", "Unknown/Invalid"}}};
  t.group = "patient_nbr";
  const CsvTable table = read_csv(real_data() / "diabetes130/diabetic_data.csv.gz");
  EXPECT_EQ(table.columns().size(), 50u);
  const Records r = encode_table(table, t);
  EXPECT_EQ(r.features.shape(), Shape({101766, 6}));
  std::map<std::int32_t, int> counts;
  for (const std::int32_t y : strata_of(r)) ++counts[y];
  EXPECT_EQ(counts, (std::map<std::int32_t, int>{{0, 54864}, {1, 35545}, {2, 11357}}));
  EXPECT_EQ(*std::max_element(r.groups.begin(), r.groups.end()) + 1, 71518);
}

TEST_F(RealData, TrialTableWithMissingValuesInAColumnThatIsDropped) {
  DataConfig config;
  config.table = TableConfig{};
  TableConfig& t = *config.table;
  t.path = real_data() / "actg175/ACTG175.csv.gz";
  t.label = "cens";
  t.classes = {"0", "1"};
  t.drop = {"pidnum", "days", "offtrt", "cd496", "r"};
  t.categories = {{"arms", {"0", "1", "2", "3"}}};
  config.sites = {"all"};
  const auto sites = load_sites(config, 1);
  EXPECT_EQ(sites[0].train.features.shape(), Shape({2139, 27 - 1 - 5 - 1 + 4}));
  EXPECT_THAT(class_counts(sites, &SiteData::train), ElementsAre(1618, 521));
  const auto& names = sites[0].feature_names;
  std::vector<std::int64_t> arms;
  for (const char* arm : {"arms=0", "arms=1", "arms=2", "arms=3"}) {
    const auto k = std::find(names.begin(), names.end(), arm) - names.begin();
    double sum = 0.0;
    for (std::int64_t i = 0; i < 2139; ++i)
      sum += sites[0].train.features.f32()[static_cast<std::size_t>(i * static_cast<std::int64_t>(names.size()) + k)];
    arms.push_back(static_cast<std::int64_t>(sum));
  }
  EXPECT_THAT(arms, ElementsAre(532, 522, 524, 561));
}

TEST_F(RealData, HeartbeatsAreSignals) {
  DataConfig config;
  config.arrays = ArraysConfig{};
  config.arrays->path = real_data() / "ecg_mitbih/mitbih_beats.npz";
  config.arrays->train_features = "beats";
  config.arrays->train_labels = "aami";
  config.arrays->train_groups = "records";
  config.arrays->classes = 5;
  config.arrays->layout = Layout::kSignals;
  config.arrays->divide_by = 400.0;
  config.test_fraction = 0.5;
  config.sites = {"all"};
  const SiteData site = load_site(config, 1, "all");
  EXPECT_EQ(site.train.features.shape().with_batch(1), Shape({1, 1, 128, 1}));
  EXPECT_EQ(site.train.size() + site.test.size(), 52436);
  EXPECT_GT(site.test.size(), 15000);
}

}  // namespace
}  // namespace sutura
