#include <gmock/gmock.h>

#include <cmath>
#include <functional>

#include "runtime/data/load.h"
#include "runtime/data/row_filter.h"
#include "runtime/data/table.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::kCanary;
using testing::message_of;
using testing::Scratch;

constexpr const char* kText =
    "visit,patient,ward,code,age,chol,y\n"
    "v0,p1,a,410.91,61,200,sick\n"
    "v1,p2,b,250.83,> 89,0,well\n"
    "v2,p1,a,V45,55,180,well\n"
    "v3,p3,hospice,bad,bad,bad,bad\n"
    "v4,p4,c,459.9,33,?,sick\n"
    "v5,p2,a,460,0,0,sick\n";

TableConfig config() {
  TableConfig c;
  c.label = "y";
  c.classes = {"well", "sick"};
  c.drop = {"visit", "patient", "ward"};
  c.features = {"age", "chol"};
  c.categories = {{"code", {"circulatory", "diabetes", "*"}}};
  c.ranges = {{"code", {{"circulatory", {"390-459", "785-785"}}, {"diabetes", {"250-250"}}}}};
  c.numbers = {{"age", {{"> 89", 90.0}}}};
  c.missing = {"?"};
  c.missing_columns = {"chol"};
  c.missing_in = {{"chol", {"0"}}};
  c.leave_out = {{"ward", {"hospice"}}};
  return c;
}
CsvTable table() { return parse_csv(kText, "t.csv"); }
using Change = std::function<void(TableConfig&)>;
TableConfig with(const Change& change) {
  TableConfig c = config();
  change(c);
  return c;
}
Records encode(const TableConfig& c) { return encode_table(table(), c); }
std::string data_error(const Change& change) {
  return message_of(Errc::kData, [&] { encode(with(change)); });
}
std::string config_error(const Change& change) {
  return message_of(Errc::kConfig, [&] { encode(with(change)); });
}
std::vector<float> column(const Records& r, const std::string& name) {
  const auto at = std::find(r.feature_names.begin(), r.feature_names.end(), name) - r.feature_names.begin();
  EXPECT_LT(at, std::ssize(r.feature_names)) << name;
  std::vector<float> out;
  for (std::int64_t i = 0; i < r.size(); ++i)
    out.push_back(r.features.f32()[static_cast<std::size_t>(i * r.features.shape()[1] + at)]);
  return out;
}

TEST(RowsOfStudy, AreKeptOrLeftOutByTheirTexts) {
  EXPECT_THAT(rows_of_study(table(), config()), ElementsAre(0, 1, 2, 4, 5));
  EXPECT_THAT(rows_of_study(table(), with([](auto& c) { c.leave_out = {}; })), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(rows_of_study(table(), with([](auto& c) {
                              c.keep = {{"ward", {"a", "hospice"}}};
                            })),
              ElementsAre(0, 2, 5));  // leave_out holds for what keep keeps
  EXPECT_THAT(rows_of_study(table(), with([](auto& c) { c.keep = {{"ward", {"a"}}, {"y", {"sick"}}}; })), ElementsAre(0, 5));
}

TEST(RowsOfStudy, TheFirstOfEqualTextsIsTheFirstThatIsNotLeftOut) {
  EXPECT_THAT(rows_of_study(table(), with([](auto& c) { c.first_of = "patient"; })), ElementsAre(0, 1, 4));
  EXPECT_THAT(rows_of_study(table(), with([](auto& c) {
                              c.first_of = "patient";
                              c.leave_out = {{"visit", {"v0", "v3"}}};
                            })),
              ElementsAre(1, 2, 4));  // v0 is gone, so v2 is the first of p1
}

TEST(RowsOfStudy, NamesWhatIsWrong) {
  const auto rows = [](const Change& change) { rows_of_study(table(), with(change)); };
  EXPECT_THAT(message_of(Errc::kData, [&] { rows([](auto& c) {
                                              c.keep = {{"ward", {std::string(kCanary)}}};
                                            }); }),
              HasSubstr("leave no row"));
  EXPECT_THAT(message_of(Errc::kData, [&] { rows([](auto& c) { c.first_of = "z"; }); }),
              HasSubstr("no column 'z', which data.table.first_of names"));
  EXPECT_THAT(message_of(Errc::kConfig, [&] { rows([](auto& c) {
                                                c.keep = {{"ward", {}}};
                                              }); }),
              HasSubstr("data.table.keep: column 'ward' has no texts"));
}

TEST(TableRules, RowsThatAreNoRecordsAreNeverRead) {
  const Records r = encode(config());
  EXPECT_THAT(r.source_rows, ElementsAre(0, 1, 2, 4, 5));
  EXPECT_THAT(strata_of(r), ElementsAre(1, 0, 0, 1, 1));
  EXPECT_THAT(column_texts(table(), r, "ward", "here"), ElementsAre("a", "b", "a", "c", "a"));
  // Control: the row that was left out holds nothing that could be read.
  EXPECT_THAT(data_error([](auto& c) { c.leave_out = {}; }), HasSubstr("row 5"));
}

TEST(TableRules, RangesMakeWordsAndTheStarTakesTheOthers) {
  const Records r = encode(config());
  EXPECT_THAT(r.feature_names, ElementsAre("age", "chol", "chol:missing", "code=circulatory", "code=diabetes", "code=*"));
  EXPECT_THAT(column(r, "code=circulatory"), ElementsAre(1, 0, 0, 1, 0));  // 410.91 and 459.9, not 460
  EXPECT_THAT(column(r, "code=diabetes"), ElementsAre(0, 1, 0, 0, 0));
  EXPECT_THAT(column(r, "code=*"), ElementsAre(0, 0, 1, 0, 1));
  EXPECT_EQ(data_error([](auto& c) { c.categories["code"].pop_back(); }),
            "t.csv row 4, column 'code': not one of the values in data.table.categories");
}

TEST(TableRules, AMissingMarkIsMissingEvenWhereTheStarStands) {
  const Records r = encode(with([](auto& c) { c.missing_in["code"] = {"V45"}; }));
  EXPECT_THAT(column(r, "code:missing"), ElementsAre(0, 0, 1, 0, 0));
  EXPECT_THAT(column(r, "code=*"), ElementsAre(0, 0, 0, 0, 1));
  // A mark of the whole table in a column that may not miss: an error, not "anything else".
  EXPECT_THAT(data_error([](auto& c) { c.missing = {"?", "V45"}; }), HasSubstr("row 4, column 'code': missing"));
}

TEST(TableRules, MissingInHoldsForItsColumnAlone) {
  const Records r = encode(config());
  EXPECT_THAT(column(r, "chol:missing"), ElementsAre(0, 1, 0, 1, 1));
  const auto chol = column(r, "chol");
  EXPECT_EQ(chol[0], 200.0f);
  for (const std::size_t i : {1u, 3u, 4u}) EXPECT_TRUE(std::isnan(chol[i]));
  EXPECT_THAT(column(r, "age"), ElementsAre(61, 90, 55, 33, 0));  // an age of 0 is a number
  EXPECT_THAT(data_error([](auto& c) { c.missing_columns = {}; }), HasSubstr("row 6, column 'chol': missing"));
  EXPECT_THAT(column(encode(with([](auto& c) { c.missing_in = {}; })), "chol:missing"), ElementsAre(0, 0, 0, 1, 0));
}

TEST(TableRules, TextsStandForNumbers) {
  EXPECT_EQ(column(encode(config()), "age")[1], 90.0f);
  EXPECT_EQ(data_error([](auto& c) { c.numbers = {}; }), "t.csv row 3, column 'age': not a number");
}

TEST(TableRules, SettingsOfTheWrongColumnAreRefused) {
  EXPECT_THAT(config_error([](auto& c) { c.numbers["code"] = {{"V45", 1.0}}; }), HasSubstr("is a column of categories"));
  EXPECT_THAT(config_error([](auto& c) { c.numbers["ward"] = {{"a", 1.0}}; }), HasSubstr("not a feature column"));
  EXPECT_THAT(config_error([](auto& c) { c.numbers["age"] = {{"x", INFINITY}}; }), HasSubstr("range of float32"));
  EXPECT_THAT(config_error([](auto& c) {
                c.ranges["age"] = {{"old", {"60-99"}}};
              }),
              HasSubstr("'age' is not in data.table.categories"));
  EXPECT_THAT(config_error([](auto& c) { c.ranges["code"]["other"] = {"1-2"}; }), HasSubstr("'other' is not one of"));
  EXPECT_THAT(config_error([](auto& c) { c.missing_in["ward"] = {"a"}; }), HasSubstr("data.table.missing_in: 'ward'"));
  EXPECT_THAT(config_error([](auto& c) { c.missing_in["age"] = {}; }), HasSubstr("has no texts"));
  EXPECT_THAT(config_error([](auto& c) { c.categories["code"] = {"circulatory", "*", "diabetes"}; }), HasSubstr("comes last"));
  EXPECT_THAT(config_error([](auto& c) { c.categories["code"] = {"*"}; }), HasSubstr("has no values"));
  EXPECT_THAT(data_error([](auto& c) { c.ranges["z"] = {{"a", {"1-2"}}}; }), HasSubstr("data.table.ranges"));
}

TEST(TableRules, TheIdentifierIsUniqueAndNoFeature) {
  const Records r = encode(with([](auto& c) {
    c.drop = {"ward"};
    c.id = "visit";
    c.group = "patient";
    c.features = {};
  }));
  EXPECT_THAT(r.ids, ElementsAre("v0", "v1", "v2", "v4", "v5"));
  EXPECT_THAT(r.feature_columns, ElementsAre("age", "chol", "chol", "code", "code", "code"));
  EXPECT_TRUE(encode(config()).ids.empty());
  EXPECT_THAT(config_error([](auto& c) { c.id = "y"; }), HasSubstr("data.table.id names the label column"));
  EXPECT_THAT(config_error([](auto& c) { c.id = "age"; }), HasSubstr("data.table.id and data.table.features"));

  const std::string canary(kCanary);
  const auto error = [&](const std::string& text) {
    TableConfig c;
    c.id = "id";
    return message_of(Errc::kData, [&] { encode_table(parse_csv(text, "t.csv"), c); });
  };
  EXPECT_EQ(error("id,x\n" + canary + ",1\nb,2\n" + canary + ",3\n"),
            "t.csv row 4, column 'id': the same identifier as in t.csv row 2, column 'id'");
  EXPECT_EQ(error("id,x\na,1\n,2\n"), "t.csv row 3, column 'id': a record without an identifier");
}

TEST(TableRules, ARepeatedIdentifierAmongRowsLeftOutIsNoMatter) {
  TableConfig c;
  c.id = "id";
  c.keep = {{"version", {"new"}}};
  c.drop = {"version"};
  const char* text = "id,version,x\na,old,1\na,new,2\nb,new,3\n";
  EXPECT_THAT(encode_table(parse_csv(text, "t.csv"), c).ids, ElementsAre("a", "b"));
  c.keep = {};
  EXPECT_THAT(message_of(Errc::kData, [&] { encode_table(parse_csv(text, "t.csv"), c); }),
              HasSubstr("row 3, column 'id': the same identifier as in t.csv row 2"));
}

TEST(TableRules, OnlyAPartyOfAVerticalStudyGoesWithoutLabels) {
  TableConfig c;
  c.id = "id";
  const CsvTable t = parse_csv("id,x\na,1\nb,2\n", "t.csv");
  const Records r = encode_table(t, c);
  EXPECT_FALSE(r.labels.defined());
  EXPECT_EQ(r.classes, 0);
  EXPECT_THAT(strata_of(r), ElementsAre(0, 0));
  c.classes = {"a", "b"};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { encode_table(t, c); }), HasSubstr("which is not named"));
  c.classes = {};
  c.id = "";
  EXPECT_THAT(message_of(Errc::kConfig, [&] { encode_table(t, c); }), HasSubstr("data.table.label is not named"));
}

TEST(TableRules, OnlyTheNamedColumnsAreEncoded) {
  const Records r = encode_table(table(), config(), {}, {"code", "chol"});
  EXPECT_THAT(r.feature_names, ElementsAre("code=circulatory", "code=diabetes", "code=*", "chol", "chol:missing"));
  EXPECT_THAT(r.number_positions, ElementsAre(1));
  EXPECT_EQ(r.source_numbers, 2u);
  EXPECT_EQ(column(r, "code=*"), column(encode(config()), "code=*"));
  // What another party's column holds cannot even fail: it is not read.
  const auto broken = with([](auto& c) { c.numbers = {}; });
  EXPECT_EQ(encode_table(table(), broken, {}, {"code"}).size(), 5);
  message_of(Errc::kData, [&] { encode_table(table(), broken, {}, {"code", "age"}); });
}

TEST(TableRules, LeftOutRowsAreNoRecordsOfAnySite) {
  const Scratch scratch;
  DataConfig data;
  data.table = config();
  data.table->path = scratch.write("t.csv", kText);
  data.sites = {"all"};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_site(data, 1, "all"); }), HasSubstr("needs data.standardize"));
  data.table->missing_columns = {};
  data.table->missing = {};
  EXPECT_THAT(message_of(Errc::kConfig, [&] { load_site(data, 1, "all"); }), HasSubstr("needs data.standardize"));
  data.table = config();
  data.table->path = scratch.path("t.csv");
  data.standardize = Standardize::kTraining;
  EXPECT_THAT(load_site(data, 1, "all").train.source_rows, ElementsAre(0, 1, 2, 4, 5));
  data.table->drop = {"visit", "patient"};
  data.partition = PartitionBy::kColumn;
  data.partition_column = "ward";
  data.sites = {"a", "b"};
  EXPECT_THAT(message_of(Errc::kData, [&] { load_sites(data, 1); }), HasSubstr("row 6, column 'ward': not one of data.sites"));
  data.sites = {"a", "b", "c"};
  EXPECT_THAT(load_site(data, 1, "a").train.source_rows, ElementsAre(0, 2, 5));
}

}  // namespace
}  // namespace sutura
