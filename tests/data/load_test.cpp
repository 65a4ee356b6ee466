#include "runtime/data/load.h"

#include <gmock/gmock.h>

#include <cmath>
#include <set>

#include "tests/data/same_site.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using testing::classes;
using ::testing::ElementsAre;
using testing::expect_same;
using ::testing::HasSubstr;
using testing::kCanary;
using testing::message_of;
using testing::Scratch;
using testing::values;

class TableOfPatients : public ::testing::Test {
 protected:
  TableOfPatients() {
    std::string text = "number,hospital,y\n", north = "number,y\n", south = north;
    for (int i = 0; i < 90; ++i) {
      const bool is_north = i % 3 != 0;
      const std::string row = std::to_string(i) + "," + (is_north ? "north," : "south,") + (i % 2 ? "a\n" : "b\n");
      text += row;
      (is_north ? north : south) += std::to_string(i) + (i % 2 ? ",a\n" : ",b\n");
    }
    scratch_.write("north.csv", north);
    scratch_.write("south.csv", south);
    config_.table = TableConfig{};
    config_.table->path = scratch_.write("pooled.csv", text);
    config_.table->label = "y";
    config_.table->classes = {"a", "b"};
    config_.table->features = {"number"};
    config_.sites = {"north", "south"};
    config_.validation_fraction = 0.1;
    config_.test_fraction = 0.2;
  }
  Scratch scratch_;
  DataConfig config_;
};

/// All numbers of a site, in all splits.
std::multiset<float> numbers(const SiteData& site) {
  std::multiset<float> all;
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test})
    for (const float v : values((site.*split).features)) all.insert(v);
  return all;
}

TEST_F(TableOfPatients, EveryRecordIsAtOneSiteInOneSplitWithItsLabel) {
  for (const PartitionBy by : {PartitionBy::kEvenly, PartitionBy::kColumn, PartitionBy::kLabelSkew}) {
    config_.partition = by;
    config_.partition_column = by == PartitionBy::kColumn ? "hospital" : "";
    const auto sites = load_sites(config_, 4);
    ASSERT_EQ(sites.size(), 2u);
    std::multiset<float> all;
    for (const SiteData& site : sites) {
      all.merge(numbers(site));
      EXPECT_EQ(site.feature_names, std::vector<std::string>{"number"});
      for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test})
        for (std::int64_t i = 0; i < (site.*split).size(); ++i) {
          const auto at = static_cast<std::size_t>(i);
          const auto number = static_cast<std::int32_t>(values((site.*split).features)[at]);
          EXPECT_EQ(classes((site.*split).labels)[at], 1 - number % 2);
          EXPECT_TRUE(by != PartitionBy::kColumn || (site.name == "north") == (number % 3 != 0));
        }
    }
    ASSERT_EQ(all.size(), 90u);
    EXPECT_EQ(std::set(all.begin(), all.end()).size(), 90u);
  }
}

TEST_F(TableOfPatients, OneSiteLoadsWhatTheSimulationGivesIt) {
  config_.standardize = Standardize::kTraining;
  for (const PartitionBy by : {PartitionBy::kEvenly, PartitionBy::kColumn, PartitionBy::kLabelSkew}) {
    config_.partition = by;
    config_.partition_column = by == PartitionBy::kColumn ? "hospital" : "";
    const auto sites = load_sites(config_, 4);
    for (const SiteData& site : sites) expect_same(load_site(config_, 4, site.name), site);
    EXPECT_NE(values(load_site(config_, 5, "north").train.features), values(sites[0].train.features));
  }
}

TEST_F(TableOfPatients, SplitsAreStratified) {
  const auto sites = load_sites(config_, 4);
  for (const SiteData& site : sites) {  // 45 records each
    EXPECT_NEAR(static_cast<double>(site.test.size()), 9.0, 1.0);
    EXPECT_NEAR(static_cast<double>(site.validation.size()), 4.5, 1.0);
    const auto y = classes(site.test.labels);
    EXPECT_NEAR(static_cast<double>(std::count(y.begin(), y.end(), 1)), 4.5, 1.0);
  }
}

TEST_F(TableOfPatients, EachSiteMayHaveItsOwnFile) {
  config_.standardize = Standardize::kTraining;
  config_.partition = PartitionBy::kColumn;
  config_.partition_column = "hospital";
  const auto pooled = load_sites(config_, 4);
  config_.partition = PartitionBy::kEvenly;
  config_.partition_column = "";
  config_.table->path = scratch_.path("{site}.csv");
  const auto own = load_sites(config_, 4);
  ASSERT_EQ(own.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    // The split runs over file order, which is the same in both; so are the records.
    expect_same(own[i], pooled[i]);
    expect_same(load_site(config_, 4, own[i].name), own[i]);
  }
  std::filesystem::remove(scratch_.path("south.csv"));
  expect_same(load_site(config_, 4, "north"), own[0]);  // a hospital needs no file but its own
  EXPECT_THAT(message_of(Errc::kData, [&] { load_site(config_, 4, "south"); }), HasSubstr("south.csv"));
  scratch_.write("south.csv", "other,y\n1,a\n2,b\n3,a\n4,b\n5,a\n");
  config_.table->features = {};
  EXPECT_THAT(message_of(Errc::kData, [&] { load_sites(config_, 4); }), HasSubstr("differ from those of the first site"));
}

TEST_F(TableOfPatients, FoldsTakeTurnsAsTestRecords) {
  config_.test_fraction = 0.0;
  config_.folds = 3;
  for (const bool own_files : {false, true}) {
    if (own_files) config_.table->path = scratch_.path("{site}.csv");
    std::map<std::string, std::multiset<std::int64_t>> tested;
    std::map<std::string, std::int64_t> held;
    for (config_.fold = 0; config_.fold < 3; ++config_.fold)
      for (const SiteData& site : load_sites(config_, 4)) {
        tested[site.name].insert(site.test.source_rows.begin(), site.test.source_rows.end());
        held[site.name] = site.train.size() + site.validation.size() + site.test.size();
        EXPECT_NEAR(static_cast<double>(site.test.size()), static_cast<double>(held[site.name]) / 3, 1.0);
        EXPECT_NEAR(static_cast<double>(site.validation.size()), 0.1 * static_cast<double>(held[site.name]) * 2 / 3, 1.0);
        expect_same(load_site(config_, 4, site.name), site);
      }
    for (const auto& [site, rows] : tested) {
      EXPECT_EQ(static_cast<std::int64_t>(rows.size()), held[site]);
      EXPECT_EQ(std::set(rows.begin(), rows.end()).size(), rows.size());
    }
  }
}

TEST_F(TableOfPatients, APartyOfASharedTableLoadsItsColumnsAlone) {
  std::string text = "number,second,word,y\n";
  for (int i = 0; i < 90; ++i)
    text += std::to_string(i) + "," + std::to_string(i * i) + (i % 4 ? ",u" : ",v") + (i % 2 ? ",a\n" : ",b\n");
  config_.table->path = scratch_.write("pooled.csv", text);
  config_.table->features = {};
  config_.table->categories = {{"word", {"u", "v"}}};
  for (const Standardize by : {Standardize::kNone, Standardize::kTraining, Standardize::kConstants}) {
    config_.standardize = by;
    if (by == Standardize::kConstants) config_.centre = {10.0, 2000.0}, config_.scale = {2.0, 100.0};
    const SiteData whole = load_site(config_, 4, "south");
    for (const auto& columns : {std::vector<std::string>{"word", "second"}, {"number"}, {"second"}}) {
      const SiteData own = load_columns(config_, 4, "south", columns);
      expect_same(own, select_columns(whole, columns));
      EXPECT_EQ(own.train.source_rows, whole.train.source_rows);
      EXPECT_EQ(own.source_digest, whole.source_digest);
    }
  }
  message_of(Errc::kConfig, [&] { load_columns(config_, 4, "south", {"y"}); });
  message_of(Errc::kConfig, [&] { load_columns(config_, 4, "south", {"second", "second"}); });
  message_of(Errc::kConfig, [&] { load_columns(config_, 4, "south", {}); });
  config_.centre = {10.0, 20.0, 30.0};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_columns(config_, 4, "south", {"second"}); }), HasSubstr("1 value or 2"));
}

TEST_F(TableOfPatients, GroupsDoNotCrossSplits) {
  std::string text = "patient,number,y\n";
  for (int i = 0; i < 90; ++i) text += std::to_string(i % 30) + "," + std::to_string(i) + (i % 2 ? ",a\n" : ",b\n");
  config_.table->path = scratch_.write("pooled.csv", text);
  config_.table->group = "patient";
  std::map<int, std::set<std::pair<std::size_t, int>>> homes;
  const auto sites = load_sites(config_, 4);
  for (std::size_t s = 0; s < 2; ++s) {
    int which = 0;
    for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
      for (const float v : values((sites[s].*split).features)) homes[static_cast<int>(v) % 30].insert({s, which});
      ++which;
    }
  }
  ASSERT_EQ(homes.size(), 30u);
  for (const auto& [patient, places] : homes) EXPECT_EQ(places.size(), 1u);
}

TEST_F(TableOfPatients, TrainingStatisticsAreDeclaredAndComeFromTrainingRecordsOnly) {
  config_.standardize = Standardize::kTraining;
  const SiteData site = load_site(config_, 4, "north");
  config_.standardize = Standardize::kNone;
  const SiteData plain = load_site(config_, 4, "north");
  EXPECT_EQ(plain.scaling.from_records, 0);
  EXPECT_TRUE(plain.scaling.centre.empty());
  EXPECT_EQ(site.scaling.from_records, site.train.size());
  double mean = 0.0;
  for (const float v : values(plain.train.features)) mean += v / static_cast<double>(plain.train.size());
  EXPECT_NEAR(site.scaling.centre[0], mean, 1e-9);
  config_.standardize = Standardize::kConstants;
  config_.centre = {10.0};
  config_.scale = {2.0};
  const SiteData constant = load_site(config_, 4, "north");
  EXPECT_EQ(constant.scaling.from_records, 0);
  EXPECT_EQ(values(constant.test.features)[0], (values(plain.test.features)[0] - 10.0f) / 2.0f);
}

TEST_F(TableOfPatients, SettingsThatContradictEachOtherAreRefused) {
  const auto refused = [&](auto change, const char* what) {
    DataConfig c = config_;
    change(c);
    EXPECT_THAT(message_of(Errc::kConfig, [&] { load_sites(c, 4); }), HasSubstr(what));
  };
  refused([](DataConfig& c) { c.table.reset(); }, "either a table or arrays");
  refused([](DataConfig& c) { c.arrays = ArraysConfig{}; }, "either a table or arrays");
  refused([](DataConfig& c) { c.sites = {}; }, "at least one site");
  refused([](DataConfig& c) { c.sites = {"a", "a"}; }, "listed twice");
  refused([](DataConfig& c) { c.validation_fraction = 0.8; }, "sum below 1");
  refused([](DataConfig& c) { c.test_fraction = -0.1; }, "sum below 1");
  refused([](DataConfig& c) { c.test_fraction = std::nan(""); }, "sum below 1");
  refused([](DataConfig& c) { c.table->label = "", c.table->classes = {}, c.table->id = "number"; }, "data.table.label");
  refused([](DataConfig& c) { c.folds = 3; }, "excludes a test fraction");
  refused([](DataConfig& c) { c.test_fraction = 0, c.folds = 1; }, "at least 2");
  refused([](DataConfig& c) { c.test_fraction = 0, c.folds = -3; }, "at least 2");
  refused([](DataConfig& c) { c.test_fraction = 0, c.folds = c.fold = 3; }, "0..folds-1");
  refused([](DataConfig& c) { c.fold = 1; }, "0..folds-1");
  refused([](DataConfig& c) { c.partition = PartitionBy::kColumn; }, "a column is named exactly when");
  refused([](DataConfig& c) { c.partition_column = "hospital"; }, "a column is named exactly when");
  refused([](DataConfig& c) { c.partition_alpha = 0.0; }, "alpha must be > 0");
  refused([](DataConfig& c) { c.table->missing_columns = {"number"}; }, "needs data.standardize");
  refused(
      [](DataConfig& c) {
        c.table->path = "{site}.csv";
        c.partition = PartitionBy::kLabelSkew;
      },
      "a file of its own");
  refused(
      [](DataConfig& c) {
        c.table->path = "{site}.csv";
        c.sites = {"../other"};
      },
      "a site name holds a slash");
  message_of(Errc::kConfig, [&] { load_site(config_, 4, "west"); });
}

TEST_F(TableOfPatients, UnusableTablesAreRefused) {
  const auto refused = [&](const std::string& text, const char* what) {
    config_.table->path = scratch_.write("bad.csv", text);
    EXPECT_THAT(message_of(Errc::kData, [&] { load_sites(config_, 4); }), HasSubstr(what));
  };
  refused("number,y\n1,a\n2,a\n", "bad.csv: all records are of one class");
  config_.sites = {"a", "b", "c"};
  refused("number,y\n1,a\n2,b\n", "bad.csv: no records for site 'c'");
  config_.partition = PartitionBy::kLabelSkew;
  refused("number,y\n1,a\n2,b\n", "another seed or a larger alpha");
  config_.partition = PartitionBy::kColumn;
  config_.partition_column = "hospital";
  refused("number,hospital,y\n1,a,a\n2,b,b\n3," + std::string(kCanary) + ",a\n",
          "row 4, column 'hospital': not one of data.sites");
}

TEST(SelectColumns, GivesAPartyItsFeaturesInItsOrder) {
  const Scratch scratch;
  DataConfig config;
  config.table = TableConfig{};
  config.table->path = scratch.write("t.csv", "a,b,c,y\n1,10,p,0\n2,?,q,1\n3,30,p,0\n4,40,q,1\n");
  config.table->label = "y";
  config.table->classes = {"0", "1"};
  config.table->features = {"a", "b"};
  config.table->categories = {{"c", {"p", "q"}}};
  config.table->missing = {"?"};
  config.table->missing_columns = {"b"};
  config.standardize = Standardize::kConstants;
  config.centre = {0, 10};
  config.scale = {1, 10};
  config.sites = {"all"};
  config.test_fraction = 0.5;
  const SiteData whole = load_site(config, 1, "all");
  const SiteData part = select_columns(whole, {"c", "b"});
  EXPECT_THAT(part.feature_names, ElementsAre("c=p", "c=q", "b", "b:missing"));
  EXPECT_THAT(part.scaling.centre, ElementsAre(0, 0, 10, 0));
  EXPECT_THAT(part.scaling.scale, ElementsAre(1, 1, 10, 1));
  for (const auto split : {&SiteData::train, &SiteData::test}) {
    EXPECT_EQ(classes((part.*split).labels), classes((whole.*split).labels));
    ASSERT_EQ((part.*split).features.shape(), Shape({2, 4}));
    for (std::size_t i = 0; i < 2; ++i) {
      const auto from = values((whole.*split).features), to = values((part.*split).features);
      EXPECT_THAT(
          std::vector(to.begin() + 4 * static_cast<std::ptrdiff_t>(i), to.begin() + 4 * static_cast<std::ptrdiff_t>(i) + 4),
          ElementsAre(from[5 * i + 3], from[5 * i + 4], from[5 * i + 1], from[5 * i + 2]));
    }
  }
  message_of(Errc::kConfig, [&] { select_columns(whole, {"y"}); });
  message_of(Errc::kConfig, [&] { select_columns(whole, {"a", "a"}); });
  message_of(Errc::kConfig, [&] { select_columns(whole, {}); });
}

}  // namespace
}  // namespace sutura
