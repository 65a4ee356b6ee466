// Vertical studies where each party has a file of its own.
#include <gmock/gmock.h>

#include "runtime/config/load_study.h"
#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Key;
using ::testing::Pair;

constexpr const char* kVertical = R"(study: two_files
topology:
  name: t
  parties: [{name: clinic, role: client}, {name: lab, role: client}, {name: server, role: server}]
  nodes:
    - {name: xc, at: clinic, source: features}
    - {name: xl, at: lab, source: features}
    - {name: y, at: clinic, source: labels}
    - {name: join, at: server, join: concat}
    - {name: tail, at: server, segment: tail}
    - {name: loss, at: server, loss: study}
  routes:
    - {from: xc, to: join}
    - {from: xl, to: join}
    - {from: join, to: tail}
    - {from: tail, to: loss}
    - {from: y, to: loss}
data:
  party_tables:
    clinic: {path: c.csv, label: outcome, classes: [no, yes], id: stay, group: patient}
    lab:
      path: l.csv
      id: stay
      features: [sodium]
      missing_in: {sodium: ["-1"]}
  sites: [cohort]
network: {zoo: mlp}
training: {loss: binary_cross_entropy}
privacy: {mechanism: none, because: a test}
)";

class PartyTables : public StudyFolder {
 protected:
  std::string refused(std::string_view from, std::string_view to) const { return report(study_with(from, to, kVertical)); }
};

TEST_F(PartyTables, EachPartyHasItsOwn) {
  const DataConfig d = load(kVertical).config.data;
  EXPECT_FALSE(d.table);
  EXPECT_FALSE(d.arrays);
  ASSERT_THAT(d.party_tables, ElementsAre(Key("clinic"), Key("lab")));
  EXPECT_EQ(d.party_tables.at("clinic").path, folder() / "c.csv");
  EXPECT_EQ(d.party_tables.at("clinic").label, "outcome");
  EXPECT_THAT(d.party_tables.at("clinic").classes, ElementsAre("no", "yes"));
  EXPECT_EQ(d.party_tables.at("clinic").group, "patient");
  EXPECT_EQ(d.party_tables.at("lab").label, "");
  EXPECT_EQ(d.party_tables.at("lab").id, "stay");
  EXPECT_THAT(d.party_tables.at("lab").missing_in, ElementsAre(Pair("sodium", ElementsAre("-1"))));
  EXPECT_EQ(d.split_party, "");
  EXPECT_EQ(load(kVertical, {"data.split_party=lab"}).config.data.split_party, "lab");
}

TEST_F(PartyTables, TheOnlyLabelHolderIsTheOneOfTheTopology) {
  EXPECT_EQ(refused("      features: [sodium]\n", "      features: [sodium]\n      label: outcome\n"),
            "study.yaml:25:14: error: the tables of clinic and lab both hold a label\n        label: outcome\n               ^\n"
            "  hint: one party holds the labels\n"
            "study.yaml:25:14: error: the table of lab has a label, but no labels node sits on lab\n        label: outcome\n"
            "               ^");
  EXPECT_THAT(refused("label: outcome, classes: [no, yes], ", ""), HasSubstr("no table of data.party_tables holds a label"));
  EXPECT_THAT(refused("label: outcome, classes: [no, yes], ", "classes: [no, yes], "),
              HasSubstr("data.party_tables.clinic.classes needs a label"));
  EXPECT_THAT(refused("{name: y, at: clinic,", "{name: y, at: lab,"),
              HasSubstr("the labels node sits on lab, whose table has no label"));
}

TEST_F(PartyTables, EveryTableHasAnIdAndEverySourceATable) {
  EXPECT_EQ(refused("      id: stay\n", ""),
            "study.yaml:21:5: error: data.party_tables.lab.id is required\n      lab:\n      ^\n"
            "  hint: Column that names the record at every party; unique, never a feature, never sent.");
  EXPECT_THAT(refused("    lab:\n", "    server:\n"),
              HasSubstr("data.party_tables holds no table of lab, where the source xl sits"));
  EXPECT_THAT(refused("    lab:\n", "    server:\n"), HasSubstr("no source of the topology sits on server"));
  EXPECT_THAT(refused("    lab:\n", "    labs:\n"), HasSubstr("no party is named labs"));
}

TEST_F(PartyTables, NothingElseMaySayWhereTheRecordsAre) {
  EXPECT_THAT(refused("  sites:", "  table: {path: a.csv, label: y}\n  sites:"),
              HasSubstr("data must hold exactly one of table, arrays, party_tables (found 2)"));
  EXPECT_THAT(refused("  sites:", "  party_columns: {lab: [a]}\n  sites:"),
              HasSubstr("data.party_columns does not go with data.party_tables"));
  EXPECT_THAT(refused("  sites:", "  partition: evenly\n  sites:"),
              HasSubstr("data.partition does not go with data.party_tables"));
  EXPECT_THAT(refused("  sites:", "  split_party: labs\n  sites:"), HasSubstr("data.party_tables holds no table of labs"));
  EXPECT_THAT(report(testing::kStudy, {"data.split_party=hospital"}), HasSubstr("data.party_tables holds no table of hospital"));
}

TEST_F(PartyTables, OnlyPathsAreLocal) {
  int keys = 0;
  for (const OriginLine& line : load(kVertical).resolved) {
    if (!line.key.starts_with("data.party_tables")) continue;
    ++keys;
    EXPECT_EQ(line.scope, line.key.ends_with(".path") ? Scope::kLocal : Scope::kShared) << line.key;
  }
  EXPECT_GT(keys, 20);
}

}  // namespace
}  // namespace sutura
