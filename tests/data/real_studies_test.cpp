#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "runtime/data/load.h"
#include "runtime/data/npz.h"
#include "runtime/data/party_data.h"
#include "runtime/data/table.h"
#include "tests/data/scratch.h"

namespace sutura {
namespace {

using ::testing::ElementsAre;
using testing::real_data;

/// The settings that studies need of the real tables; counts were taken from the files without this code.
class RealStudies : public ::testing::Test {
 protected:
  void SetUp() override {
    if (real_data().empty()) GTEST_SKIP() << "SUTURA_DATA is not set";
  }
};

std::vector<std::int64_t> class_counts(const Records& r) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(r.classes), 0);
  for (const std::int32_t y : strata_of(r)) ++counts[static_cast<std::size_t>(y)];
  return counts;
}

/// How many records have a 1 in each feature of `column`.
std::map<std::string, std::int64_t> ones(const Records& r, const std::string& column) {
  std::map<std::string, std::int64_t> out;
  const std::size_t width = r.feature_names.size();
  for (std::size_t k = 0; k < width; ++k) {
    if (r.feature_columns[k] != column || r.kinds[k] != FeatureKind::kIndicator) continue;
    std::int64_t n = 0;
    for (std::size_t i = k; i < r.features.f32().size(); i += width) n += r.features.f32()[i] == 1.0f;
    out[r.feature_names[k].substr(column.size())] = n;
  }
  return out;
}

TEST_F(RealStudies, ACholesterolOfZeroIsMissingAtTwoHospitals) {
  TableConfig t;
  t.columns = {"age",     "sex",   "cp",      "trestbps", "chol", "fbs",  "restecg",
               "thalach", "exang", "oldpeak", "slope",    "ca",   "thal", "num"};
  t.label = "num";
  t.classes = {"healthy", "disease"};
  t.class_texts = {{"healthy", {"0"}}, {"disease", {"1", "2", "3", "4"}}};
  t.missing = {"?"};
  t.missing_columns = {"trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak", "slope", "ca", "thal"};
  const auto missing = [&](const char* file) {
    const CsvTable table = read_csv(real_data() / "heart_uci" / file, t.columns);
    return ones(encode_table(table, t), "chol")[":missing"];
  };
  const auto all = [&] {
    return std::vector{missing("processed.cleveland.data"), missing("processed.hungarian.data"),
                       missing("processed.switzerland.data"), missing("processed.va.data")};
  };
  EXPECT_THAT(all(), ElementsAre(0, 23, 0, 7));
  t.missing_in = {{"chol", {"0"}}};
  EXPECT_THAT(all(), ElementsAre(0, 23, 123, 49 + 7));
}

TEST_F(RealStudies, FirstStaysOfPatientsWhoCouldReturnWithGroupedDiagnoses) {
  TableConfig t;
  t.label = "readmitted";
  t.classes = {"later", "early"};
  t.class_texts = {{"later", {"NO", ">30"}}, {"early", {"<30"}}};
  t.features = {"time_in_hospital", "number_inpatient"};
  t.categories = {{"diag_1", {"circulatory", "respiratory", "diabetes", "*"}}, {"race", {"Caucasian", "AfricanAmerican", "*"}}};
  t.ranges = {
      {"diag_1", {{"circulatory", {"390-459", "785-785"}}, {"respiratory", {"460-519", "786-786"}}, {"diabetes", {"250-250"}}}}};
  t.missing = {"?"};
  t.missing_columns = {"race", "diag_1"};
  t.leave_out = {{"discharge_disposition_id", {"11", "13", "14", "19", "20", "21"}}};
  t.first_of = "patient_nbr";
  const CsvTable table = read_csv(real_data() / "diabetes130/diabetic_data.csv.gz");
  const Records r = encode_table(table, t);
  EXPECT_EQ(r.features.shape(), Shape({69990, 2 + 5 + 4}));
  EXPECT_THAT(class_counts(r), ElementsAre(41479 + 22226, 6285));
  EXPECT_EQ(ones(r, "diag_1"),
            (std::map<std::string, std::int64_t>{
                {"=circulatory", 21390}, {"=respiratory", 9491}, {"=diabetes", 5748}, {"=*", 33351}, {":missing", 10}}));
  EXPECT_EQ(ones(r, "race"),
            (std::map<std::string, std::int64_t>{
                {"=Caucasian", 52305}, {"=AfricanAmerican", 12627}, {"=*", 1501 + 1150 + 488}, {":missing", 1919}}));
  EXPECT_TRUE(std::is_sorted(r.source_rows.begin(), r.source_rows.end()));
  EXPECT_GT(r.source_rows.back(), 101'000);  // rows of the file, not of the records
  const auto patients = column_texts(table, r, "patient_nbr", "here");
  EXPECT_EQ(std::set(patients.begin(), patients.end()).size(), 69990u);
}

TEST_F(RealStudies, ThreePartiesOfTheIntensiveCareUnitOverlapInPart) {
  DataConfig config;
  config.standardize = Standardize::kTraining;
  config.folds = 5;
  config.validation_fraction = 0.1;
  TableConfig& admission = config.party_tables["admission"];
  admission.path = real_data() / "eicu_demo/patient.csv.gz";
  admission.id = "patientunitstayid";
  admission.group = "uniquepid";
  admission.features = {"age"};
  admission.numbers = {{"age", {{"> 89", 90.0}}}};
  admission.missing_in = {{"age", {""}}};
  admission.categories = {{"gender", {"Male", "Female", "*"}}, {"unittype", {"Med-Surg ICU", "MICU", "*"}}};
  TableConfig& laboratory = config.party_tables["laboratory"];
  laboratory.path = real_data() / "eicu_demo/apacheapsvar.csv.gz";
  laboratory.id = "patientunitstayid";
  laboratory.drop = {"apacheapsvarid"};
  laboratory.missing = {"-1"};
  laboratory.missing_columns = {"urine",  "wbc",    "temperature", "respiratoryrate", "sodium",  "heartrate",
                                "meanbp", "ph",     "hematocrit",  "creatinine",      "albumin", "pao2",
                                "pco2",   "bun",    "glucose",     "bilirubin",       "fio2",    "eyes",
                                "motor",  "verbal", "meds"};
  TableConfig& outcome = config.party_tables["outcome"];
  outcome.path = real_data() / "eicu_demo/apachepatientresult.csv.gz";
  outcome.id = "patientunitstayid";
  outcome.keep = {{"apacheversion", {"IVa"}}};
  outcome.label = "actualhospitalmortality";
  outcome.classes = {"ALIVE", "EXPIRED"};
  outcome.features = {"apachescore"};

  std::map<std::string, PartyRecords> parties;
  for (const char* name : {"admission", "laboratory", "outcome"}) parties.emplace(name, load_party(config, name));
  const auto rows = [&](const char* name) { return parties.at(name).records.size(); };
  EXPECT_EQ(rows("admission"), 2520);
  EXPECT_EQ(rows("laboratory"), 2205);
  EXPECT_EQ(rows("outcome"), 1838);
  EXPECT_THAT(class_counts(parties.at("outcome").records), ElementsAre(1683, 155));
  EXPECT_EQ(ones(parties.at("laboratory").records, "ph")[":missing"], 1800);
  EXPECT_EQ(ones(parties.at("laboratory").records, "wbc")[":missing"], 688);
  EXPECT_EQ(ones(parties.at("admission").records, "gender"),
            (std::map<std::string, std::int64_t>{{"=Male", 1508}, {"=Female", 1008}, {"=*", 4}}));
  EXPECT_EQ(ones(parties.at("admission").records, "age")[":missing"], 4);
  EXPECT_EQ(ones(parties.at("admission").records, "unittype")["=*"], 2520 - 1898 - 142);

  // Linked in the clear, as only a test may.
  std::map<std::string, std::map<std::string, std::int64_t>> record_of;
  std::map<std::string, int> holders;
  for (const auto& [name, party] : parties)
    for (std::size_t i = 0; i < party.records.ids.size(); ++i) {
      record_of[name][party.records.ids[i]] = static_cast<std::int64_t>(i);
      ++holders[party.records.ids[i]];
    }
  std::map<std::string, std::vector<std::int64_t>> at;
  for (const auto& [id, n] : holders)
    if (n == 3)
      for (const auto& [name, party] : parties) at[name].push_back(record_of[name].at(id));
  ASSERT_EQ(at["outcome"].size(), 1838u);
  const std::vector<std::uint8_t> splits = assign_splits(config, parties.at("admission"), at["admission"], 1);
  std::map<std::int64_t, std::set<std::uint8_t>> splits_of_person;
  for (std::size_t p = 0; p < splits.size(); ++p)
    splits_of_person[parties.at("admission").records.groups[static_cast<std::size_t>(at["admission"][p])]].insert(splits[p]);
  EXPECT_EQ(splits_of_person.size(), 1512u);
  for (const auto& [person, found] : splits_of_person) EXPECT_EQ(found.size(), 1u);
  std::int64_t trained = -1;
  for (auto& [name, party] : parties) {
    const SiteData site = arrange(config, name, std::move(party), at[name], splits);
    if (trained < 0) trained = site.train.size();
    EXPECT_EQ(site.train.size(), trained);
    EXPECT_NEAR(static_cast<double>(site.test.size()), 1838.0 / 5, 20.0);  // equal in persons, not in stays
    EXPECT_EQ(site.train.size() + site.validation.size() + site.test.size(), 1838);
    EXPECT_EQ(site.train.labels.defined(), name == "outcome");
    for (const float v : site.train.features.f32()) ASSERT_TRUE(std::isfinite(v));
  }
}

TEST_F(RealStudies, HeartbeatsOfFiveClassesWithPatientsAsSites) {
  DataConfig config;
  config.arrays = ArraysConfig{};
  ArraysConfig& a = *config.arrays;
  a.path = real_data() / "ecg_mitbih/mitbih_beats.npz";
  a.train_features = "beats";
  a.train_labels = "symbols";
  a.classes = 5;
  a.class_values = {'N', 'L', 'R', 'A', 'V'};
  a.layout = Layout::kSignals;
  config.partition = PartitionBy::kColumn;
  config.partition_column = "records";
  std::set<std::string> names;
  for (const std::int64_t r : to_integers(read_array(a.path, "records"))) names.insert(std::to_string(r));
  config.sites.assign(names.begin(), names.end());
  ASSERT_EQ(config.sites.size(), 46u);
  std::set<std::int64_t> rows;
  std::vector<std::int64_t> counts(5, 0);
  for (const SiteData& site : load_sites(config, 1)) {
    EXPECT_TRUE(site.name != "208" || site.train.size() == 1592);
    rows.insert(site.train.source_rows.begin(), site.train.source_rows.end());
    for (const std::int32_t y : site.train.labels.as<std::int32_t>()) ++counts[static_cast<std::size_t>(y)];
  }
  EXPECT_THAT(counts, ElementsAre(22158, 8072, 7255, 2546, 7123));
  EXPECT_EQ(rows.size(), 47154u);
  EXPECT_GT(*rows.rbegin(), 47154);  // rows of the file
  EXPECT_FALSE(rows.contains(756));  // a beat of another kind
}

}  // namespace
}  // namespace sutura
