#include "runtime/data/party_data.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <set>

#include "core/random/philox.h"
#include "runtime/data/load.h"
#include "tests/data/same_site.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using testing::classes;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::message_of;
using testing::Scratch;
using testing::values;

/// What record linkage would give: for every identifier that both hold, in the order of `order`, the record at `of`.
std::vector<std::int64_t> linked(const PartyRecords& of, const std::vector<std::string>& order) {
  std::map<std::string, std::int64_t> at;
  for (std::size_t i = 0; i < of.records.ids.size(); ++i) at.emplace(of.records.ids[i], static_cast<std::int64_t>(i));
  std::vector<std::int64_t> out;
  for (const std::string& id : order) out.push_back(at.at(id));
  return out;
}
std::vector<std::string> common(const PartyRecords& a, const PartyRecords& b, std::uint64_t key) {
  const std::set<std::string> theirs(b.records.ids.begin(), b.records.ids.end());
  std::vector<std::string> both, shuffled;
  for (const std::string& id : a.records.ids)
    if (theirs.contains(id)) both.push_back(id);
  std::sort(both.begin(), both.end());
  for (const std::int64_t i : permutation(std::ssize(both), {key, "test positions"}))
    shuffled.push_back(both[static_cast<std::size_t>(i)]);
  return shuffled;
}

/// A clinic with labels and persons with two visits, and a laboratory in another order; 100 of 120 visits are at both.
class ClinicAndLaboratory : public ::testing::Test {
 protected:
  ClinicAndLaboratory() {
    std::string clinic = "visit,person,age,y\n", laboratory = "x,sample\n";
    for (int i = 0; i < 120; ++i) {
      const std::string id = std::string("v").append(std::to_string(i));
      if (i % 12 != 0) clinic += id + ",p" + std::to_string(i / 2) + "," + std::to_string(i) + (i % 3 ? ",no\n" : ",yes\n");
      const int j = 119 - i;
      if (j % 12 != 5) laboratory += std::to_string(1000 + j) + ",v" + std::to_string(j) + "\n";
    }
    TableConfig& c = config_.party_tables["clinic"];
    c.path = scratch_.write("clinic.csv", clinic);
    c.id = "visit";
    c.group = "person";
    c.label = "y";
    c.classes = {"no", "yes"};
    TableConfig& l = config_.party_tables["laboratory"];
    l.path = scratch_.write("laboratory.csv", laboratory);
    l.id = "sample";
    config_.validation_fraction = 0.1;
    config_.test_fraction = 0.2;
  }
  struct Both {
    SiteData clinic, laboratory;
  };
  Both arranged(std::uint64_t key, std::uint64_t seed) {
    PartyRecords clinic = load_party(config_, "clinic"), laboratory = load_party(config_, "laboratory");
    const auto order = common(clinic, laboratory, key);
    const auto at_clinic = linked(clinic, order), at_laboratory = linked(laboratory, order);
    const auto splits = assign_splits(config_, clinic, at_clinic, seed);
    return {arrange(config_, "clinic", std::move(clinic), at_clinic, splits),
            arrange(config_, "laboratory", std::move(laboratory), at_laboratory, splits)};
  }
  void without_groups() {
    config_.party_tables["clinic"].group = "";
    config_.party_tables["clinic"].drop = {"person"};
  }
  Scratch scratch_;
  DataConfig config_;
};

TEST_F(ClinicAndLaboratory, HoldTheSamePersonsInTheSameOrder) {
  const Both both = arranged(1, 4);
  EXPECT_EQ(both.clinic.name, "clinic");
  EXPECT_EQ(both.clinic.feature_names, std::vector<std::string>{"age"});
  EXPECT_EQ(both.laboratory.feature_names, std::vector<std::string>{"x"});
  EXPECT_EQ(both.clinic.classes, 2);
  EXPECT_EQ(both.laboratory.classes, 0);
  EXPECT_NE(both.clinic.source_digest, both.laboratory.source_digest);
  std::int64_t records = 0;
  for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
    const Dataset &c = both.clinic.*split, &l = both.laboratory.*split;
    ASSERT_EQ(c.size(), l.size());
    EXPECT_FALSE(l.labels.defined());
    records += c.size();
    for (std::size_t i = 0; i < c.source_rows.size(); ++i) {
      const float visit = c.features.f32()[i];
      EXPECT_EQ(l.features.f32()[i], 1000 + visit);
      EXPECT_EQ(classes(c.labels)[i], static_cast<int>(visit) % 3 == 0 ? 1 : 0);
      // Visit v is in clinic row v - 1 - v / 12 (every twelfth is not there), and in a laboratory row from the end.
      EXPECT_EQ(c.source_rows[i], static_cast<std::int64_t>(visit) - 1 - static_cast<std::int64_t>(visit) / 12);
    }
    EXPECT_FALSE(std::is_sorted(l.source_rows.begin(), l.source_rows.end()));  // positions, not file order
    EXPECT_FALSE(std::is_sorted(c.source_rows.begin(), c.source_rows.end()));
  }
  EXPECT_EQ(records, 100);
}

TEST_F(ClinicAndLaboratory, NeedNoFileOfTheOther) {
  std::filesystem::remove(scratch_.path("clinic.csv"));
  EXPECT_EQ(load_party(config_, "laboratory").records.size(), 110);
  EXPECT_THAT(message_of(Errc::kData, [&] { load_party(config_, "clinic"); }), HasSubstr("clinic.csv"));
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_party(config_, "ward"); }), HasSubstr("no table for party 'ward'"));
  config_.party_tables["laboratory"].id = "";
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_party(config_, "laboratory"); }),
              HasSubstr("data.party_tables.laboratory.id"));
  config_.party_tables["laboratory"].id = "sample";
  config_.party_tables["laboratory"].missing_in = {{"x", {"-1"}}};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_party(config_, "laboratory"); }), HasSubstr("need data.standardize"));
}

TEST_F(ClinicAndLaboratory, SplitsAreStratifiedAndKeepPersonsTogether) {
  const Both both = arranged(1, 4);
  EXPECT_NEAR(static_cast<double>(both.clinic.test.size()), 20.0, 3.0);
  EXPECT_NEAR(static_cast<double>(both.clinic.validation.size()), 10.0, 3.0);
  const auto split_of = [](const SiteData& clinic) {
    std::map<int, std::set<int>> splits;
    int which = 0;
    for (const auto split : {&SiteData::train, &SiteData::validation, &SiteData::test}) {
      for (const float visit : values((clinic.*split).features)) splits[static_cast<int>(visit) / 2].insert(which);
      ++which;
    }
    return std::max_element(splits.begin(), splits.end(), [](auto& a, auto& b) { return a.second.size() < b.second.size(); })
        ->second.size();
  };
  EXPECT_EQ(split_of(both.clinic), 1u);
  without_groups();
  const Both apart = arranged(1, 4);
  EXPECT_GT(split_of(apart.clinic), 1u);  // control: without groups the visits of a person do part
  EXPECT_EQ(apart.clinic.test.size(), 20);
  const auto y = classes(apart.clinic.test.labels);
  EXPECT_NEAR(static_cast<double>(std::count(y.begin(), y.end(), 1)), 6.0, 1.0);
}

TEST_F(ClinicAndLaboratory, SplitsDependOnTheSeedAndNotOnPositions) {
  const auto test_rows = [](const Both& both) {
    return std::set(both.clinic.test.source_rows.begin(), both.clinic.test.source_rows.end());
  };
  const auto expect_so = [&] {
    const Both one = arranged(1, 4), other = arranged(2, 4);
    EXPECT_NE(one.clinic.test.source_rows, other.clinic.test.source_rows);  // other positions, so another order
    EXPECT_EQ(test_rows(one), test_rows(other));
    EXPECT_NE(test_rows(one), test_rows(arranged(1, 5)));
  };
  expect_so();
  without_groups();
  expect_so();
}

TEST_F(ClinicAndLaboratory, FoldsAreDisjointThoughEveryRunHasOtherPositions) {
  config_.test_fraction = 0.0;
  config_.folds = 4;
  const auto expect_disjoint = [&] {
    std::multiset<std::int64_t> tested;
    for (config_.fold = 0; config_.fold < 4; ++config_.fold) {
      const Both both = arranged(100 + static_cast<std::uint64_t>(config_.fold), 4);
      tested.insert(both.laboratory.test.source_rows.begin(), both.laboratory.test.source_rows.end());
    }
    EXPECT_EQ(tested.size(), 100u);
    EXPECT_EQ(std::set(tested.begin(), tested.end()).size(), 100u);
  };
  expect_disjoint();
  without_groups();
  expect_disjoint();
}

TEST_F(ClinicAndLaboratory, AreStandardisedOverTheirOwnTrainingRecords) {
  config_.standardize = Standardize::kTraining;
  const Both scaled = arranged(1, 4);
  config_.standardize = Standardize::kNone;
  const Both plain = arranged(1, 4);
  const auto x = values(plain.laboratory.train.features);
  const double mean = std::accumulate(x.begin(), x.end(), 0.0) / static_cast<double>(x.size());
  EXPECT_NEAR(scaled.laboratory.scaling.centre[0], mean, 1e-9);
  EXPECT_EQ(scaled.laboratory.scaling.from_records, plain.laboratory.train.size());
  const double of_test = values(plain.laboratory.test.features)[0];
  EXPECT_NEAR(values(scaled.laboratory.test.features)[0], (of_test - mean) / scaled.laboratory.scaling.scale[0], 1e-5);
}

TEST_F(ClinicAndLaboratory, MeaninglessAlignmentsAreRefused) {
  const auto arrange_with = [&](std::vector<std::int64_t> records, std::vector<std::uint8_t> splits) {
    arrange(config_, "clinic", load_party(config_, "clinic"), records, splits);
  };
  const auto refused = [&](std::vector<std::int64_t> records, std::vector<std::uint8_t> splits,
                           Errc code = Errc::kInvalidArgument) {
    return message_of(code, [&] { arrange_with(records, splits); });
  };
  arrange_with({0, 2, 1}, {0, 0, 2});  // control: visits 1 and 3 are of two classes
  EXPECT_THAT(refused({0, 2, 1}, {0, 0}), HasSubstr("as many splits"));
  EXPECT_THAT(refused({0, 2, 110}, {0, 0, 2}), HasSubstr("not in the party's file"));
  EXPECT_THAT(refused({0, 2, -1}, {0, 0, 2}), HasSubstr("not in the party's file"));
  EXPECT_THAT(refused({0, 2, 2}, {0, 0, 2}), HasSubstr("two positions"));
  EXPECT_THAT(refused({0, 2, 1}, {0, 0, 3}), HasSubstr("does not exist"));
  EXPECT_THAT(refused({0, 2, 1}, {2, 2, 1}, Errc::kData), HasSubstr("no aligned record is left"));
  EXPECT_THAT(refused({0, 2, 1}, {0, 1, 0}, Errc::kData), HasSubstr("of one class"));

  const PartyRecords clinic = load_party(config_, "clinic");
  const auto assign = [&](const DataConfig& c, std::vector<std::int64_t> records) { assign_splits(c, clinic, records, 4); };
  message_of(Errc::kInvalidArgument, [&] { assign(config_, {1, 1}); });
  message_of(Errc::kInvalidArgument, [&] { assign(config_, {1, 400}); });
  message_of(Errc::kData, [&] { assign(config_, {}); });
  config_.folds = 3;
  EXPECT_THAT(message_of(Errc::kConfig, [&] { assign(config_, {0, 1, 2}); }), HasSubstr("excludes a test fraction"));
}

TEST(ShippedParties, HoldTheRowsOfTheWholeTable) {
  DataConfig whole;
  whole.table = TableConfig{};
  whole.table->path = SUTURA_SOURCE_DIR "/data/wdbc.csv";
  whole.table->label = "diagnosis";
  whole.table->classes = {"B", "M"};
  whole.sites = {"all"};
  const SiteData table = load_site(whole, 1, "all");
  std::set<std::vector<float>> rows;  // 30 features and the label
  const auto x = values(table.train.features);
  for (std::size_t i = 0; i < 569; ++i) {
    std::vector<float> row(x.begin() + static_cast<std::ptrdiff_t>(30 * i),
                           x.begin() + static_cast<std::ptrdiff_t>(30 * (i + 1)));
    row.push_back(static_cast<float>(classes(table.train.labels)[i]));
    rows.insert(row);
  }
  ASSERT_EQ(rows.size(), 569u);

  DataConfig config;
  TableConfig& c = config.party_tables["clinic"];
  c.path = SUTURA_SOURCE_DIR "/data/wdbc_clinic.csv";
  c.id = "patient";
  c.label = "diagnosis";
  c.classes = {"B", "M"};
  TableConfig& l = config.party_tables["laboratory"];
  l.path = SUTURA_SOURCE_DIR "/data/wdbc_laboratory.csv";
  l.id = "patient";
  PartyRecords clinic = load_party(config, "clinic"), laboratory = load_party(config, "laboratory");
  EXPECT_EQ(clinic.records.features.shape(), Shape({545, 10}));
  EXPECT_EQ(laboratory.records.features.shape(), Shape({544, 20}));
  const auto order = common(clinic, laboratory, 3);
  EXPECT_EQ(order.size(), 520u);
  const std::vector<std::uint8_t> all_train(520, kTrainSplit);
  const auto at_clinic = linked(clinic, order), at_laboratory = linked(laboratory, order);
  EXPECT_NE(at_clinic, at_laboratory);
  const SiteData a = arrange(config, "clinic", std::move(clinic), at_clinic, all_train);
  const SiteData b = arrange(config, "laboratory", std::move(laboratory), at_laboratory, all_train);
  const auto means = values(a.train.features), others = values(b.train.features);
  for (std::size_t i = 0; i < 520; ++i) {
    std::vector<float> row(means.begin() + static_cast<std::ptrdiff_t>(10 * i),
                           means.begin() + static_cast<std::ptrdiff_t>(10 * (i + 1)));
    row.insert(row.end(), others.begin() + static_cast<std::ptrdiff_t>(20 * i),
               others.begin() + static_cast<std::ptrdiff_t>(20 * (i + 1)));
    row.push_back(static_cast<float>(classes(a.train.labels)[i]));
    EXPECT_TRUE(rows.contains(row)) << "position " << i;
  }
}

}  // namespace
}  // namespace sutura
