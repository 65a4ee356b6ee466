#include <gmock/gmock.h>

#include <functional>
#include <map>
#include <set>
#include <span>

#include "runtime/data/load.h"
#include "runtime/data/source_digest.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::HasSubstr;
using testing::gzipped;
using testing::message_of;
using testing::npy;
using testing::Packing;
using testing::real_data;
using testing::Scratch;
using testing::write_zip;

constexpr auto kSplits = {&SiteData::train, &SiteData::validation, &SiteData::test};

/// Source row of every record by the value of its first feature, over all splits of all sites. Fails on a row that
/// comes twice: rows and values of the fixtures are unique.
std::map<float, std::int64_t> rows_by_value(std::span<const SiteData> sites) {
  std::map<float, std::int64_t> found;
  std::set<std::int64_t> seen;
  for (const SiteData& site : sites)
    for (const auto split : kSplits) {
      const Dataset& d = site.*split;
      EXPECT_EQ(static_cast<std::int64_t>(d.source_rows.size()), d.size());
      for (std::int64_t i = 0; i < d.size(); ++i) {
        const std::int64_t row = d.source_rows[static_cast<std::size_t>(i)];
        EXPECT_TRUE(seen.insert(row).second) << "row " << row << " twice";
        EXPECT_TRUE(found.emplace(d.features.rows(i, 1).f32()[0], row).second);
      }
    }
  return found;
}

void expect_same_rows(const SiteData& a, const SiteData& b) {
  for (const auto split : kSplits) EXPECT_EQ((a.*split).source_rows, (b.*split).source_rows);
  EXPECT_EQ(a.source_digest, b.source_digest);
  EXPECT_EQ(a.source_numbering, b.source_numbering);
}

class SourceRowsOfATable : public ::testing::Test {
 protected:
  SourceRowsOfATable() {
    // The value of row i is 1000 - 7 i: nothing but the file's order leads from it to i.
    text_ = "number,second,hospital,patient,y\n";
    for (int i = 0; i < 90; ++i)
      text_ += std::to_string(1000 - 7 * i) + ",0," + (i % 3 == 0 ? "south," : "north,") + std::to_string(i / 2) +
               (i % 2 == 0 ? ",a\n" : ",b\n");
    config_.table = TableConfig{};
    config_.table->path = scratch_.write("pooled.csv", text_);
    config_.table->label = "y";
    config_.table->classes = {"a", "b"};
    config_.table->features = {"number", "second"};
    config_.sites = {"north", "south"};
    config_.validation_fraction = 0.1;
    config_.test_fraction = 0.2;
  }
  Scratch scratch_;
  std::string text_;
  DataConfig config_;
};

TEST_F(SourceRowsOfATable, AreTheFilesWhateverTheSeedPartitionAndFractions) {
  const std::vector<std::function<void(DataConfig&)>> studies = {
      [](DataConfig&) {},
      [](DataConfig& c) { c.validation_fraction = c.test_fraction = 0.0; },
      [](DataConfig& c) { c.test_fraction = 0.4; },
      [](DataConfig& c) { c.sites = {"one", "two", "three"}; },
      [](DataConfig& c) { c.partition = PartitionBy::kLabelSkew; },
      [](DataConfig& c) { c.partition = PartitionBy::kColumn, c.partition_column = "hospital"; },
      [](DataConfig& c) { c.table->group = "patient"; }};
  std::set<std::vector<std::int64_t>> first_sites;
  for (const auto& change : studies)
    for (const std::uint64_t seed : {4u, 5u}) {
      DataConfig c = config_;
      change(c);
      const auto sites = load_sites(c, seed);
      first_sites.insert(sites[0].train.source_rows);
      const auto rows = rows_by_value(sites);
      ASSERT_EQ(rows.size(), 90u);
      for (const auto& [value, row] : rows) ASSERT_EQ(value, static_cast<float>(1000 - 7 * row));
      for (const SiteData& site : sites) {
        expect_same_rows(load_site(c, seed, site.name), site);
        EXPECT_EQ(site.source_digest, source_digest(c.table->path));
      }
    }
  EXPECT_GT(first_sites.size(), 6u);  // and yet these studies put different records at position 0, 1, ...
}

TEST_F(SourceRowsOfATable, SurviveTheChoiceOfColumns) {
  const SiteData whole = load_site(config_, 4, "south");
  const SiteData part = select_columns(whole, {"second"});
  ASSERT_FALSE(part.train.source_rows.empty());
  ASSERT_FALSE(part.validation.source_rows.empty());
  expect_same_rows(part, whole);
}

TEST_F(SourceRowsOfATable, CountFromTheFirstDataRow) {
  config_.sites = {"all"};
  const auto with_header = rows_by_value(load_sites(config_, 4));
  EXPECT_EQ(with_header.at(1000.0f), 0);
  const SiteData below = load_site(config_, 4, "all");
  config_.table->path = scratch_.write("bare.csv", text_.substr(text_.find('\n') + 1));
  config_.table->columns = {"number", "second", "hospital", "patient", "y"};
  EXPECT_EQ(rows_by_value(load_sites(config_, 4)), with_header);
  const SiteData bare = load_site(config_, 4, "all");
  EXPECT_NE(bare.source_numbering, below.source_numbering);
  EXPECT_NE(bare.source_digest, below.source_digest);
}

TEST_F(SourceRowsOfATable, DigestIsOfTheBytesOnDisk) {
  const Digest plain = load_site(config_, 4, "north").source_digest;
  EXPECT_EQ(plain, blake2b(as_bytes(text_)));
  EXPECT_EQ(load_site(config_, 9, "south").source_digest, plain);
  const std::string packed = gzipped(text_);
  config_.table->path = scratch_.write("pooled.csv.gz", packed);
  EXPECT_EQ(load_site(config_, 4, "north").source_digest, blake2b(as_bytes(packed)));
  const std::string longer = text_ + "5,0,north,77,a\n";
  config_.table->path = scratch_.write("pooled.csv", longer);
  EXPECT_EQ(load_site(config_, 4, "north").source_digest, blake2b(as_bytes(longer)));
}

TEST_F(SourceRowsOfATable, EachSitesOwnFileIsCountedByItself) {
  scratch_.write("north.csv", text_);
  scratch_.write("south.csv", text_ + "5,0,north,77,a\n");
  config_.table->path = scratch_.path("{site}.csv");
  const auto sites = load_sites(config_, 4);
  EXPECT_EQ(rows_by_value(std::span(sites).first(1)).size(), 90u);
  EXPECT_EQ(rows_by_value(std::span(sites).last(1)).at(5.0f), 90);
  EXPECT_NE(sites[0].source_digest, sites[1].source_digest);
  for (const SiteData& site : sites) {
    expect_same_rows(load_site(config_, 4, site.name), site);
    EXPECT_EQ(site.source_digest, source_digest(scratch_.path(site.name + ".csv")));
  }
}

class SourceRowsOfArrays : public ::testing::Test {
 protected:
  SourceRowsOfArrays() {
    config_.arrays = ArraysConfig{};
    config_.arrays->path = scratch_.path("d.npz");
    config_.arrays->train_features = "x";
    config_.arrays->train_labels = "y";
    config_.sites = {"one", "two"};
    // 12 training records of value 20 + i, 6 for validation of 40 + i, 8 for the test of 60 + i.
    add("x", "y", 20, 12);
    add("vx", "vy", 40, 6);
    add("tx", "ty", 60, 8);
    write_zip(config_.arrays->path, members_, Packing::kDeflate);
  }
  void add(const std::string& x, const std::string& y, int first, int n) {
    std::string values, labels;
    for (int i = 0; i < n; ++i) values += std::string(2, static_cast<char>(first + i));
    for (int i = 0; i < n; ++i) labels += static_cast<char>(i % 2);
    members_[x + ".npy"] = npy("'|u1'", "(" + std::to_string(n) + ", 2)", values);
    members_[y + ".npy"] = npy("'|u1'", "(" + std::to_string(n) + ",)", labels);
  }
  void give_validation() { config_.arrays->validation_features = "vx", config_.arrays->validation_labels = "vy"; }
  void give_test() { config_.arrays->test_features = "tx", config_.arrays->test_labels = "ty"; }
  Scratch scratch_;
  DataConfig config_;
  std::map<std::string, std::string> members_;
};

std::int64_t expected_row(float value) {
  const auto v = static_cast<std::int64_t>(value);
  return v < 40 ? v - 20 : v < 60 ? 12 + v - 40 : 12 + 6 + v - 60;
}

TEST_F(SourceRowsOfArrays, RunOnFromTrainingToValidationToTest) {
  give_validation();
  give_test();
  for (const PartitionBy by : {PartitionBy::kEvenly, PartitionBy::kLabelSkew})
    for (const std::uint64_t seed : {4u, 5u}) {
      config_.partition = by;
      config_.partition_alpha = 5.0;
      const auto sites = load_sites(config_, seed);
      const auto rows = rows_by_value(sites);
      ASSERT_EQ(rows.size(), 26u);
      for (const auto& [value, row] : rows) EXPECT_EQ(row, expected_row(value)) << value;
      for (const SiteData& site : sites) {
        expect_same_rows(load_site(config_, seed, site.name), site);
        EXPECT_EQ(site.source_numbering, "arrays x/vx/tx");
        EXPECT_EQ(site.source_digest, source_digest(config_.arrays->path));
      }
    }
}

TEST_F(SourceRowsOfArrays, CutSplitsKeepTheNumbersOfTheTrainingArray) {
  for (const double fraction : {0.0, 0.25, 0.5}) {
    config_.validation_fraction = fraction;
    const auto rows = rows_by_value(load_sites(config_, 4));
    ASSERT_EQ(rows.size(), 12u);
    for (const auto& [value, row] : rows) EXPECT_EQ(row, expected_row(value));
  }
}

TEST_F(SourceRowsOfArrays, OtherArraysOfOneFileAreAnotherNumbering) {
  give_test();
  const SiteData without = load_site(config_, 4, "one");
  EXPECT_EQ(rows_by_value(load_sites(config_, 4)).at(60.0f), 12);
  give_validation();
  const SiteData with = load_site(config_, 4, "one");
  EXPECT_EQ(rows_by_value(load_sites(config_, 4)).at(40.0f), 12);  // the number of another record, so it must be told
  EXPECT_EQ(without.source_digest, with.source_digest);
  EXPECT_EQ(without.source_numbering, "arrays x/tx");
  EXPECT_EQ(with.source_numbering, "arrays x/vx/tx");
}

TEST_F(SourceRowsOfArrays, OneArrayIsOneSplit) {
  const auto refused = [&](auto change) {
    DataConfig c = config_;
    change(*c.arrays);
    EXPECT_THAT(message_of(Errc::kConfig, [&] { load_sites(c, 4); }), HasSubstr("named for two splits"));
  };
  refused([](ArraysConfig& a) { a.validation_features = "x", a.validation_labels = "y"; });
  refused([](ArraysConfig& a) { a.test_features = "x", a.test_labels = "ty"; });
  refused([](ArraysConfig& a) {
    a.validation_features = a.test_features = "vx";
    a.validation_labels = a.test_labels = "vy";
  });
}

TEST_F(SourceRowsOfArrays, DigestOfAFolderIsThatOfItsArraysInNameOrder) {
  const auto folder = scratch_.path("arrays");
  std::filesystem::create_directories(folder);
  EXPECT_THAT(message_of(Errc::kData, [&] { source_digest(folder); }), HasSubstr("no .npy files"));
  std::string lines;
  for (const auto& [name, content] : members_) {  // a map: in name order
    scratch_.write("arrays/" + name, content);
    lines += to_hex(blake2b(as_bytes(content))) + "  " + name + "\n";
  }
  config_.arrays->path = folder;
  const auto digest = [&] { return load_site(config_, 4, "one").source_digest; };
  const Digest before = digest();
  EXPECT_EQ(before, blake2b(as_bytes(lines)));
  scratch_.write("arrays/notes.txt", "not data");
  EXPECT_EQ(digest(), before);
  std::filesystem::rename(folder / "ty.npy", folder / "tz.npy");
  EXPECT_NE(digest(), before);  // a name chooses the array
  std::filesystem::rename(folder / "tz.npy", folder / "ty.npy");
  EXPECT_EQ(digest(), before);
  members_["vx.npy"].back() ^= 1;
  scratch_.write("arrays/vx.npy", members_["vx.npy"]);
  EXPECT_NE(digest(), before);
  message_of(Errc::kData, [&] { source_digest(scratch_.path("nothing")); });
}

TEST(SourceRowsOfRealData, WdbcHasEveryRowOnceAndTheDigestOfB2sum) {
  DataConfig config;
  config.table = TableConfig{};
  config.table->path = SUTURA_SOURCE_DIR "/data/wdbc.csv";
  config.table->label = "diagnosis";
  config.table->classes = {"B", "M"};
  config.sites = {"a", "b", "c"};
  config.test_fraction = 0.2;
  std::set<std::int64_t> rows;
  std::size_t records = 0;
  for (const SiteData& site : load_sites(config, 1)) {
    EXPECT_EQ(to_hex(site.source_digest), "c570a12733a5109a1f5119a2cb8904621ddd38da2387818acab87fcde261f882");
    for (const auto split : kSplits) {
      rows.insert((site.*split).source_rows.begin(), (site.*split).source_rows.end());
      records += (site.*split).source_rows.size();
    }
  }
  EXPECT_EQ(records, 569u);
  EXPECT_EQ(rows.size(), 569u);
  EXPECT_EQ(*rows.rbegin(), 568);
}

TEST(SourceRowsOfRealData, PneumoniaMnistRunsOverItsThreeArrays) {
  if (real_data().empty()) GTEST_SKIP() << "SUTURA_DATA is not set";
  DataConfig config;
  config.arrays = ArraysConfig{};
  ArraysConfig& a = *config.arrays;
  a.path = real_data() / "pneumoniamnist/pneumoniamnist.npz";
  a.train_features = "train_images", a.train_labels = "train_labels";
  a.validation_features = "val_images", a.validation_labels = "val_labels";
  a.test_features = "test_images", a.test_labels = "test_labels";
  config.sites = {"a", "b"};
  std::set<std::int64_t> train, validation, test;
  for (const SiteData& site : load_sites(config, 3)) {
    train.insert(site.train.source_rows.begin(), site.train.source_rows.end());
    validation.insert(site.validation.source_rows.begin(), site.validation.source_rows.end());
    test.insert(site.test.source_rows.begin(), site.test.source_rows.end());
  }
  const auto expect_run = [](const std::set<std::int64_t>& rows, std::int64_t first, std::size_t count) {
    ASSERT_EQ(rows.size(), count);
    EXPECT_EQ(*rows.begin(), first);
    EXPECT_EQ(*rows.rbegin(), first + static_cast<std::int64_t>(count) - 1);
  };
  expect_run(train, 0, 4708);
  expect_run(validation, 4708, 524);
  expect_run(test, 4708 + 524, 624);
}

}  // namespace
}  // namespace sutura
