#include "runtime/data/table.h"

#include <gmock/gmock.h>

#include <cmath>

#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kCanary;
using testing::message_of;

const std::string kValue(kCanary);
constexpr const char* kText =
    "id,hospital,sex,age,chol,thal,y\n"
    "p1,north,F,61,200,7,sick\n"
    "p2,south,M,47,?,?,well\n"
    "p1,north,M,55,180,3,well\n";

TableConfig config() {
  TableConfig c;
  c.label = "y";
  c.classes = {"well", "sick"};
  c.drop = {"id"};
  c.features = {"chol", "age"};
  c.categories = {{"thal", {"3", "6", "7"}}, {"sex", {"M", "F"}}};
  c.missing = {"?", ""};
  c.missing_columns = {"chol", "thal"};
  return c;
}

Records encode(const TableConfig& c, const std::string& text = kText, const std::string& partition = {}) {
  return encode_table(parse_csv(text, "t.csv"), c, partition);
}
std::string with(std::string from, std::string to) {
  std::string text = kText;
  return text.replace(text.find(from), from.size(), to);
}
std::string data_error(const TableConfig& c, const std::string& text) {
  return message_of(Errc::kData, [&] { encode(c, text); });
}

TEST(Table, FeaturesComeInTheOrderOfTheStudy) {
  const Records r = encode(config());
  EXPECT_THAT(r.feature_names, ElementsAre("chol", "chol:missing", "age", "sex=M", "sex=F", "thal=3", "thal=6",
                                           "thal=7", "thal:missing"));
  EXPECT_THAT(r.feature_columns, ElementsAre("chol", "chol", "age", "sex", "sex", "thal", "thal", "thal", "thal"));
  ASSERT_EQ(r.features.shape(), Shape({3, 9}));
  const auto x = r.features.f32();
  EXPECT_THAT(std::vector(x.begin(), x.begin() + 9), ElementsAre(200, 0, 61, 0, 1, 0, 0, 1, 0));
  EXPECT_TRUE(std::isnan(x[9]));
  EXPECT_THAT(std::vector(x.begin() + 10, x.begin() + 18), ElementsAre(1, 47, 1, 0, 0, 0, 0, 1));
  EXPECT_THAT(std::vector(x.begin() + 18, x.end()), ElementsAre(180, 0, 55, 1, 0, 1, 0, 0, 0));
  EXPECT_THAT(strata_of(r), ElementsAre(1, 0, 0));
  EXPECT_EQ(r.classes, 2);
  using enum FeatureKind;
  EXPECT_THAT(r.kinds, ElementsAre(kNumber, kIndicator, kNumber, kIndicator, kIndicator, kIndicator, kIndicator,
                                   kIndicator, kIndicator));
}

TEST(Table, WithoutAListEveryColumnWithoutAnotherRoleIsAFeature) {
  TableConfig c = config();
  c.features = {};
  c.group = "id";
  c.drop = {};
  EXPECT_THAT(encode(c, kText, "hospital").feature_columns,
              ElementsAre("age", "chol", "chol", "sex", "sex", "thal", "thal", "thal", "thal"));
}

TEST(Table, GroupsNumberEqualTexts) {
  TableConfig c = config();
  c.group = "id";
  EXPECT_THAT(encode(c).groups, ElementsAre(0, 1, 0));
}

TEST(Table, ClassesMayHaveSeveralTexts) {
  TableConfig c = config();
  c.classes = {"low", "high"};
  c.label = "thal";
  c.categories.erase("thal");
  c.missing_columns = {"chol"};
  c.class_texts = {{"low", {"3", "?"}}, {"high", {"7", "6"}}};
  EXPECT_THAT(strata_of(encode(c)), ElementsAre(1, 0, 0));
}

TEST(Table, WithoutClassesTheLabelIsANumber) {
  TableConfig c = config();
  c.classes = {};
  c.label = "age";
  c.features = {"chol"};
  const Records r = encode(c);
  EXPECT_EQ(r.classes, 0);
  EXPECT_THAT(std::vector(r.labels.f32().begin(), r.labels.f32().end()), ElementsAre(61, 47, 55));
  EXPECT_THAT(strata_of(r), ElementsAre(0, 0, 0));
}

TEST(Table, AMissingMarkThatIsAKnownValueIsAValue) {
  TableConfig c = config();
  c.categories["thal"] = {"?", "3", "7"};
  c.missing_columns = {"chol"};
  const Records r = encode(c);
  EXPECT_EQ(r.feature_names[5], "thal=?");
  EXPECT_EQ(r.features.f32()[8 + 5], 1.0f);
}

TEST(Table, TextsOutOfPlaceNameRowAndColumnButNotTheText) {
  EXPECT_EQ(data_error(config(), with("47", kValue + "x")), "t.csv row 3, column 'age': not a number");
  EXPECT_EQ(data_error(config(), with(",M,47", "," + kValue + ",47")),
            "t.csv row 3, column 'sex': not one of the values in data.table.categories");
  EXPECT_EQ(data_error(config(), with("3,well", "3," + kValue)),
            "t.csv row 4, column 'y': not one of data.table.classes");
  EXPECT_THAT(data_error(config(), with("47", "?")), HasSubstr("t.csv row 3, column 'age': missing;"));
  EXPECT_THAT(data_error(config(), with("47", "")), HasSubstr("t.csv row 3, column 'age': missing;"));
  EXPECT_THAT(data_error(config(), with(",M,47", ",?,47")), HasSubstr("t.csv row 3, column 'sex': missing;"));
  EXPECT_EQ(data_error(config(), with("3,well", "3,?")), "t.csv row 4, column 'y': not one of data.table.classes");
  TableConfig regression = config();
  regression.classes = {};
  EXPECT_EQ(data_error(regression, kText), "t.csv row 2, column 'y': not a number");
}

TEST(Table, ColumnsThatTheFileLacksAreNamedWithTheirSetting) {
  const auto error = [](auto change) {
    TableConfig c = config();
    change(c);
    return data_error(c, kText);
  };
  EXPECT_THAT(error([](auto& c) { c.label = "z"; }), HasSubstr("no column 'z', which data.table.label names"));
  EXPECT_THAT(error([](auto& c) { c.drop = {"z"}; }), HasSubstr("data.table.drop"));
  EXPECT_THAT(error([](auto& c) { c.features = {"z"}; }), HasSubstr("data.table.features"));
  EXPECT_THAT(error([](auto& c) { c.categories["z"] = {"1"}; }), HasSubstr("data.table.categories"));
  EXPECT_THAT(error([](auto& c) { c.missing_columns = {"z"}; }), HasSubstr("data.table.missing_columns"));
  EXPECT_THAT(error([](auto& c) { c.group = "z"; }), HasSubstr("data.table.group"));
}

TEST(Table, AColumnHasOneRole) {
  const auto error = [](auto change, const std::string& partition = {}) {
    TableConfig c = config();
    change(c);
    return message_of(Errc::kConfig, [&] { encode(c, kText, partition); });
  };
  EXPECT_EQ(error([](auto& c) {
              c.features = {"age", "y"};
            }),
            "data.table: column 'y' is named in both data.table.label and data.table.features");
  EXPECT_THAT(error([](auto& c) { c.features = {"age", "age"}; }), HasSubstr("'age'"));
  EXPECT_THAT(error([](auto& c) { c.features = {"sex"}; }), HasSubstr("'sex'"));
  EXPECT_THAT(error([](auto& c) { c.features = {"id"}; }), HasSubstr("data.table.drop"));
  EXPECT_THAT(error(
                  [](auto& c) {
                    c.categories["hospital"] = {"north", "south"};
                  },
                  "hospital"),
              HasSubstr("'hospital'"));
  EXPECT_THAT(error([](auto& c) { c.group = "sex"; }), HasSubstr("data.table.group"));
  EXPECT_THAT(error([](auto& c) { c.group = "y"; }), HasSubstr("data.table.group"));
  EXPECT_THAT(error([](auto& c) { c.missing_columns = {"hospital"}; }),
              HasSubstr("'hospital' is not a feature column"));
  EXPECT_THAT(error([](auto& c) { c.missing = {}; }), HasSubstr("needs data.table.missing"));
  EXPECT_THAT(error([](auto& c) { c.categories["sex"] = {"M", "M"}; }), HasSubstr("lists a value twice"));
  EXPECT_THAT(error([](auto& c) { c.categories["sex"] = {}; }), HasSubstr("has no values"));
  EXPECT_THAT(error([](auto& c) { c.classes = {"well"}; }), HasSubstr("two classes"));
  EXPECT_THAT(error([](auto& c) { c.classes = {"well", "well"}; }), HasSubstr("stands for two classes"));
  EXPECT_THAT(error([](auto& c) {
                c.class_texts = {{"other", {"1"}}};
              }),
              HasSubstr("'other' is not in data.table.classes"));
}

}  // namespace
}  // namespace sutura
