#include <gmock/gmock.h>

#include <set>

#include "runtime/data/load.h"
#include "tests/data/same_site.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using testing::classes;
using ::testing::ElementsAre;
using testing::expect_same;
using ::testing::HasSubstr;
using testing::message_of;
using testing::npy;
using testing::Packing;
using testing::Scratch;
using testing::values;
using testing::write_zip;

class ArraysOfImages : public ::testing::Test {
 protected:
  ArraysOfImages() {
    config_.arrays = ArraysConfig{};
    config_.arrays->path = scratch_.path("d.npz");
    config_.arrays->train_features = "x";
    config_.arrays->train_labels = "y";
    config_.arrays->divide_by = 2.0;
    config_.sites = {"one", "two"};
    // 12 images of 2x3: every pixel of image i is i.
    for (char i = 0; i < 12; ++i) pixels_ += std::string(6, i);
    members_ = {{"x.npy", npy("'|u1'", "(12, 2, 3)", pixels_)},
                {"y.npy", npy("'|u1'", "(12, 1)", std::string("\0\1\0\1\0\1\0\1\0\1\0\1", 12))},
                {"vx.npy", npy("'|u1'", "(4, 2, 3)", pixels_.substr(0, 24))},
                {"vy.npy", npy("'|u1'", "(4,)", std::string("\0\1\0\1", 4))}};
    write();
  }
  void write() { write_zip(config_.arrays->path, members_, Packing::kDeflate); }
  std::string error() {
    write();
    return message_of(Errc::kData, [&] { load_sites(config_, 4); });
  }
  Scratch scratch_;
  DataConfig config_;
  std::string pixels_;
  std::map<std::string, std::string> members_;
};

TEST_F(ArraysOfImages, GetAChannelAreDividedAndDealtOut) {
  const auto sites = load_sites(config_, 4);
  std::set<float> seen;
  for (const SiteData& site : sites) {
    EXPECT_EQ(site.train.features.shape(), Shape({6, 2, 3, 1}));
    EXPECT_EQ(site.validation.size(), 0);
    EXPECT_EQ(site.classes, 2);
    for (std::int64_t i = 0; i < 6; ++i) {
      const Tensor image = site.train.features.rows(i, 1);  // [1, 2, 3, 1]
      const float v = image.f32()[0];
      for (const float p : image.f32()) EXPECT_EQ(p, v);
      EXPECT_EQ(classes(site.train.labels)[static_cast<std::size_t>(i)], static_cast<int>(v * 2) % 2);
      seen.insert(v * 2);
    }
    expect_same(load_site(config_, 4, site.name), site);
  }
  EXPECT_EQ(seen.size(), 12u);
}

TEST_F(ArraysOfImages, GivenSplitsAreDealtOutAndOthersAreCutFromTraining) {
  config_.arrays->validation_features = "vx";
  config_.arrays->validation_labels = "vy";
  config_.test_fraction = 1.0 / 3.0;
  for (const SiteData& site : load_sites(config_, 4)) {
    EXPECT_EQ(site.train.size(), 4);
    EXPECT_EQ(site.test.size(), 2);
    EXPECT_EQ(site.validation.size(), 2);
    EXPECT_THAT(classes(site.validation.labels), ::testing::UnorderedElementsAre(0, 1));
  }
}

TEST_F(ArraysOfImages, LayoutDecidesTheShape) {
  const auto shape = [&](const char* dims, std::optional<Layout> layout) {
    members_["x.npy"] = npy("'|u1'", dims, pixels_);
    write();
    config_.arrays->layout = layout;
    return load_sites(config_, 4)[0].train.features.shape();
  };
  EXPECT_EQ(shape("(12, 6)", std::nullopt), Shape({6, 6}));
  EXPECT_EQ(shape("(12, 6)", Layout::kSignals), Shape({6, 1, 6, 1}));
  EXPECT_EQ(shape("(12, 2, 3)", Layout::kSignals), Shape({6, 1, 2, 3}));
  EXPECT_EQ(shape("(12, 2, 3)", Layout::kRows), Shape({6, 6}));
  EXPECT_EQ(shape("(12, 2, 1, 3)", std::nullopt), Shape({6, 2, 1, 3}));
  for (const auto& [dims, layout] : {std::pair{"(12, 6)", Layout::kImages}, {"(12, 2, 1, 3)", Layout::kSignals}})
    message_of(Errc::kData, [&, d = dims, l = layout] { shape(d, l); });
}

TEST_F(ArraysOfImages, GroupsKeepRecordsTogether) {
  members_["g.npy"] = npy("'<i2'", "(12,)", testing::raw<std::int16_t>({9, 9, 9, 9, -4, -4, -4, -4, 7, 7, 7, 7}));
  write();
  config_.arrays->train_groups = "g";
  const auto sites = load_sites(config_, 4);
  std::map<int, std::set<std::string>> homes;
  for (const SiteData& site : sites)
    for (std::int64_t i = 0; i < site.train.size(); ++i)
      homes[static_cast<int>(site.train.features.rows(i, 1).f32()[0] * 2) / 4].insert(site.name);
  ASSERT_EQ(homes.size(), 3u);
  for (const auto& [group, at] : homes) EXPECT_EQ(at.size(), 1u);
}

TEST_F(ArraysOfImages, ClassValuesChooseRecordsThatKeepTheirRows) {
  // Raw labels: 78, 65, 9 in turn; 9 is no class of the study.
  const auto raw_label = [](std::int64_t row) { return row % 3 == 0 ? 78 : row % 3 == 1 ? 65 : 9; };
  std::string labels;
  for (int i = 0; i < 12; ++i) labels += static_cast<char>(raw_label(i));
  members_["y.npy"] = npy("'|u1'", "(12,)", labels);
  members_["vy.npy"] = npy("'|u1'", "(4,)", labels.substr(0, 4));
  members_["g.npy"] = npy("'<u2'", "(12,)", testing::raw<std::uint16_t>({1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3, 3}));
  write();
  config_.arrays->class_values = {65, 78};
  config_.arrays->validation_features = "vx";
  config_.arrays->validation_labels = "vy";
  config_.arrays->train_groups = "g";
  config_.sites = {"one"};
  const SiteData site = load_site(config_, 4, "one");
  EXPECT_THAT(site.train.source_rows, ElementsAre(0, 1, 3, 4, 6, 7, 9, 10));
  EXPECT_THAT(site.validation.source_rows, ElementsAre(12, 13, 15));  // after all 12 rows of the training array
  EXPECT_THAT(classes(site.train.labels), ElementsAre(1, 0, 1, 0, 1, 0, 1, 0));
  EXPECT_THAT(classes(site.validation.labels), ElementsAre(1, 0, 1));
  for (std::int64_t i = 0; i < site.train.size(); ++i)
    EXPECT_EQ(site.train.features.rows(i, 1).f32()[0] * 2,
              static_cast<float>(site.train.source_rows[static_cast<std::size_t>(i)]));
  config_.arrays->class_values = {};
  EXPECT_THAT(error(), HasSubstr("record 0 has a label outside 0..1"));
  config_.arrays->class_values = {1, 2};
  EXPECT_THAT(error(), HasSubstr("member y: no label is one of data.arrays.class_values"));
  config_.arrays->class_values = {65, 65};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_sites(config_, 4); }), HasSubstr("lists a value twice"));
  config_.arrays->class_values = {65, 78, 9};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_sites(config_, 4); }), HasSubstr("lists 3 values for 2 classes"));
}

TEST_F(ArraysOfImages, AnArrayNamesTheSites) {
  members_["clinic.npy"] = npy("'<u2'", "(12,)", testing::raw<std::uint16_t>({7, 7, 300, 7, 300, 7, 7, 7, 300, 300, 7, 8}));
  config_.partition = PartitionBy::kColumn;
  config_.partition_column = "clinic";
  config_.sites = {"300", "7"};
  EXPECT_EQ(error(), config_.arrays->path.string() + ", member clinic: record 11: not one of data.sites");
  config_.sites = {"300", "7", "8"};
  const auto sites = load_sites(config_, 4);
  EXPECT_THAT(sites[0].train.source_rows, ElementsAre(2, 4, 8, 9));
  EXPECT_THAT(sites[1].train.source_rows, ElementsAre(0, 1, 3, 5, 6, 7, 10));
  EXPECT_THAT(sites[2].train.source_rows, ElementsAre(11));
  for (const SiteData& site : sites) expect_same(load_site(config_, 4, site.name), site);
  // A record that the study does not take needs no site.
  std::string labels("\0\1\0\1\0\1\0\1\0\1\0\5", 12);
  members_["y.npy"] = npy("'|u1'", "(12,)", labels);
  config_.arrays->class_values = {0, 1};
  config_.sites = {"300", "7"};
  write();
  EXPECT_EQ(load_sites(config_, 4)[1].train.size(), 7);
  members_["clinic.npy"] = npy("'<u2'", "(2,)", testing::raw<std::uint16_t>({7, 7}));
  EXPECT_THAT(error(), HasSubstr("member clinic: 2 values for 12 records"));
  config_.arrays->validation_features = "vx", config_.arrays->validation_labels = "vy";
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_sites(config_, 4); }), HasSubstr("cut from the training arrays"));
}

TEST_F(ArraysOfImages, NumbersOfEveryWidthAreFeatures) {
  const auto first = [&](const std::string& type, const std::string& content) {
    members_["x.npy"] = npy(type, "(12, 1)", content);
    write();
    config_.sites = {"one"};
    config_.arrays->divide_by = 1.0;
    const auto x = values(load_site(config_, 4, "one").train.features);
    return std::vector<float>(x.begin(), x.begin() + 3);
  };
  EXPECT_THAT(first("'<i2'", testing::raw<std::int16_t>({-300, 300, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})), ElementsAre(-300, 300, 1));
  EXPECT_THAT(first("'|u1'", std::string("\xff\0\1\0\0\0\0\0\0\0\0\0", 12)), ElementsAre(255, 0, 1));
  EXPECT_THAT(first("'<u2'", testing::raw<std::uint16_t>({65535, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})), ElementsAre(65535, 0, 1));
  EXPECT_THAT(first("'<i4'", testing::raw<std::int32_t>({-70000, 70000, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})),
              ElementsAre(-70000, 70000, 1));
  EXPECT_THAT(first("'<f4'", testing::raw<float>({-1.5f, 0.25f, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0})), ElementsAre(-1.5f, 0.25f, 1));
}

TEST_F(ArraysOfImages, WithZeroClassesLabelsAreTargets) {
  config_.arrays->classes = 0;
  members_["y.npy"] = npy("'<f4'", "(12,)", testing::raw<float>({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}));
  write();
  const auto sites = load_sites(config_, 4);
  for (std::int64_t i = 0; i < 6; ++i)
    EXPECT_EQ(sites[0].train.labels.f32()[static_cast<std::size_t>(i)], 2 * sites[0].train.features.rows(i, 1).f32()[0]);
}

TEST_F(ArraysOfImages, UnusableArraysNameFileAndMember) {
  const std::string file = config_.arrays->path.string();
  members_["y.npy"] = npy("'|u1'", "(11,)", std::string(11, '\1'));
  EXPECT_EQ(error(), file + ", member x: 12 records, but y has 11");
  members_["y.npy"] = npy("'|u1'", "(12,)", std::string("\0\1\0\1\0\1\0\1\0\1\0\2", 12));
  EXPECT_EQ(error(), file + ", member y: record 11 has a label outside 0..1");
  members_["y.npy"] = npy("'|i1'", "(12,)", std::string("\0\1\0\1\0\1\0\1\0\1\xff\1", 12));
  EXPECT_EQ(error(), file + ", member y: record 10 has a label outside 0..1");
  members_["y.npy"] = npy("'|u1'", "(12,)", std::string(12, '\1'));
  EXPECT_EQ(error(), file + ", member x: all records are of one class");
  members_["y.npy"] = npy("'|u1'", "(6, 2)", std::string(12, '\1'));
  EXPECT_THAT(error(), HasSubstr("member y: expected one value per record, got [6, 2]"));
  members_["y.npy"] = npy("'<f4'", "(3,)", std::string(12, '\0'));
  members_["x.npy"] = npy("'|u1'", "(3, 24)", pixels_);
  EXPECT_THAT(error(), HasSubstr("member y: expected whole numbers"));
  members_["x.npy"] = npy("'|u1'", "(0, 2, 3)", "");
  EXPECT_EQ(error(), file + ", member x: holds no records");
  members_["x.npy"] = npy("'|u1'", "(72,)", pixels_);
  EXPECT_THAT(error(), HasSubstr("member x: features have two to four dimensions"));
}

TEST_F(ArraysOfImages, SplitsOfAnotherShapeAreRefused) {
  config_.arrays->validation_features = "vx";
  config_.arrays->validation_labels = "vy";
  members_["vx.npy"] = npy("'|u1'", "(4, 3, 2)", pixels_.substr(0, 24));
  EXPECT_THAT(error(), HasSubstr("member vx: records of shape [1, 3, 2, 1], those for training have [1, 2, 3, 1]"));
}

TEST_F(ArraysOfImages, SettingsThatContradictEachOtherAreRefused) {
  const auto refused = [&](auto change) {
    DataConfig c = config_;
    change(c);
    message_of(Errc::kConfig, [&] { load_sites(c, 4); });
  };
  refused([](DataConfig& c) { c.arrays->train_labels.clear(); });
  refused([](DataConfig& c) { c.arrays->validation_features = "vx"; });
  refused([](DataConfig& c) { c.arrays->divide_by = 0.0; });
  refused([](DataConfig& c) { c.arrays->classes = 1; });
  refused([](DataConfig& c) {
    c.arrays->validation_features = "vx";
    c.arrays->validation_labels = "vy";
    c.validation_fraction = 0.1;
  });
  refused([](DataConfig& c) {
    c.partition = PartitionBy::kColumn;
    c.partition_column = std::string("y");
    c.arrays->test_features = "vx", c.arrays->test_labels = "vy";
  });
  refused([](DataConfig& c) {
    c.folds = 3;
    c.arrays->test_features = "vx", c.arrays->test_labels = "vy";
  });
}

}  // namespace
}  // namespace sutura
