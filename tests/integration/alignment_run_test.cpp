// Studies of several parties by real programs: they align their own files, hand over and hop, and learn what one process
// learns, to the bit; the server is shown no identifier; what cannot be aligned is refused by name and without values.
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

constexpr int kAuthentication = 4;
constexpr int kData = 7;
constexpr char kClinic[] = "clinic";
constexpr char kLaboratory[] = "laboratory";

fs::path shipped_table(const char* party) { return fs::path(SUTURA_SOURCE_DIR) / "data" / (std::string("wdbc_") + party + ".csv"); }

/// The lines of a table, header first, and the first field of each.
std::vector<std::string> rows_of(const std::string& table) {
  std::vector<std::string> rows;
  std::istringstream in(table);
  for (std::string row; std::getline(in, row);) rows.push_back(row);
  return rows;
}
std::string field(const std::string& row, std::size_t n) {
  std::istringstream in(row);
  std::string text;
  for (std::size_t i = 0; i <= n; ++i) std::getline(in, text, ',');
  return text;
}
std::string joined(const std::vector<std::string>& rows) {
  std::string text;
  for (const std::string& row : rows) text += row + "\n";
  return text;
}

class SeveralParties : public Trial {
 protected:
  /// Runs the study by real programs to a good end; what all of them said.
  std::string run(const std::vector<std::string>& clients) {
    const auto server = start_server();
    std::vector<std::unique_ptr<Process>> started;
    for (const std::string& c : clients) started.push_back(start_client(c));
    std::string said;
    for (const auto& p : started) expect_exit(*p, 0);
    expect_exit(*server, 0);
    for (const auto& p : started) said += p->out() + p->err();
    return said + server->out() + server->err();
  }

  /// Runs it once more in one process and compares every file of weights and optimizer state of all parties.
  void expect_same_as_one_process(const std::vector<std::string>& parties) {
    std::vector<std::string> arguments{"simulate", study.string(), "--output", "alone"};
    arguments.insert(arguments.end(), shared.begin(), shared.end());
    expect_exit(*start("sutura", arguments), 0);
    const std::map<std::string, std::string> all = files();
    std::map<std::string, std::string> alone, apart;
    for (const auto& [name, content] : all) {
      if (!name.ends_with(".safetensors")) continue;
      if (name.starts_with("alone/")) alone[name.substr(6)] = content;
      if (name.starts_with("out/")) apart[name.substr(4)] = content;
    }
    for (const std::string& party : parties)
      for (const char* kind : {"/weights/", "/optimizer/"})
        EXPECT_TRUE(std::ranges::any_of(apart, [&](const auto& f) { return f.first.starts_with(party + kind); })) << party << kind;
    for (const auto& [name, content] : alone)
      EXPECT_TRUE(apart.contains(name) && apart.at(name) == content) << name << " differs between one process and many";
    EXPECT_EQ(alone.size(), apart.size());
  }
};

struct Case {
  const char* name;
  const char* study;
  std::vector<std::string> clients;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class ManyProcesses : public SeveralParties, public ::testing::WithParamInterface<Case> {};

TEST_P(ManyProcesses, LearnWhatOneProcessLearns) {
  study = shipped(GetParam().study);
  make_keys(GetParam().clients);
  run(GetParam().clients);
  std::vector<std::string> parties = GetParam().clients;
  parties.push_back("server");
  expect_same_as_one_process(parties);
}

INSTANTIATE_TEST_SUITE_P(
    Studies, ManyProcesses,
    ::testing::Values(Case{"vertical", "wdbc_vertical.yaml", {kClinic, kLaboratory}},
                      Case{"hospitals_in_turn", "wdbc_sequential.yaml", {kHospitalA, kHospitalB, "hospital_c"}},
                      Case{"a_partner_without_records", "wdbc_multi_hop.yaml", {kHospitalA, kHospitalB, "hospital_c", "partner"}}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(SeveralParties, TheLabelsMayLieInAFileOfTheServer) {
  // The clinic keeps its measurements, a registry at the server the outcomes of 500 of its patients, in another order.
  std::vector<std::string> clinic, registry;
  for (const std::string& row : rows_of(content_of(shipped_table(kClinic)))) {
    const std::string id = field(row, 0), label = field(row, 1);
    clinic.push_back(id + row.substr(id.size() + 1 + label.size()));
    registry.push_back(id + "," + label);
  }
  std::reverse(registry.begin() + 1, registry.end());
  registry.resize(501);
  const std::string text = content_of(shipped("wdbc_vertical.yaml"));
  const std::size_t tables = text.find("  party_tables:\n"), shapes = text.find("  party_shapes:");
  const auto table = [&](const std::string& party, const fs::path& path) {
    return "    " + party + ":\n      path: " + path.string() + "\n      id: patient\n";
  };
  study = write_study("registry.yaml",
                      replaced(text.substr(0, tables), "topologies/vertical.yaml", "topologies/vertical_server_labels.yaml") +
                          "  party_tables:\n" + table(kClinic, write("clinic/records.csv", joined(clinic))) +
                          table(kLaboratory, shipped_table(kLaboratory)) +
                          table("server", write("registry/records.csv", joined(registry))) +
                          "      label: diagnosis\n      classes: [B, M]\n" + text.substr(shapes));
  make_keys({kClinic, kLaboratory});
  const std::string said = run({kClinic, kLaboratory});
  expect_same_as_one_process({kClinic, kLaboratory, "server"});
  EXPECT_THAT(said, HasSubstr("records are common to all parties"));
  EXPECT_TRUE(summary("server").at("auc").is_number());
  EXPECT_GT(summary("server").at("auc").get<double>(), 0.9) << "rows and labels do not belong together";
}

TEST_F(SeveralParties, NothingThatIsWrittenOrSaidHoldsAnIdentifier) {
  study = shipped("wdbc_vertical.yaml");
  make_keys({kClinic, kLaboratory});
  const std::string said = run({kClinic, kLaboratory});
  std::map<std::string, std::string> written = files();
  ASSERT_GE(written.size(), 10u);
  written["what they said"] = said;
  std::set<std::string> identifiers;
  for (const char* party : {kClinic, kLaboratory})
    for (const std::string& row : rows_of(content_of(shipped_table(party)))) identifiers.insert(field(row, 0));
  EXPECT_EQ(identifiers.erase("patient"), 1u);
  ASSERT_EQ(identifiers.size(), 569u);
  for (const auto& [file, content] : written)
    for (const std::string& id : identifiers) ASSERT_EQ(content.find(id), std::string::npos) << file << " holds an identifier";
  // The control: the search finds what is there.
  EXPECT_NE(written.at("out/server/summary.json").find("wdbc_vertical"), std::string::npos);
  EXPECT_NE(content_of(shipped_table(kClinic)).find(*identifiers.begin()) & content_of(shipped_table(kLaboratory)).find(*identifiers.begin()),
            std::string::npos);
}

class NoAlignment : public SeveralParties {
 protected:
  NoAlignment() {
    study = shipped("wdbc_vertical.yaml");
    make_keys({kClinic, kLaboratory});
  }
  /// Copies of the tables, so that one can be spoilt.
  std::vector<std::string> rows(const char* party) const { return rows_of(content_of(shipped_table(party))); }
  std::string at(const char* party, const std::vector<std::string>& rows) const {
    return "data.party_tables." + std::string(party) + ".path=" + write(std::string(party) + "/records.csv", joined(rows)).string();
  }
  void expect_no_weights() {
    for (const auto& [name, content] : files()) EXPECT_FALSE(name.ends_with(".safetensors")) << name;
  }
};

TEST_F(NoAlignment, WithoutAPublicKeyOfTheOther) {
  const auto server = start_server({"connection.deadline_s=20"});
  const std::string own = "connection.peers=" + write("own_only", replaced(content_of(key("authorised")), "laboratory ", "another ")).string();
  const auto clinic = start_client(kClinic, {own});
  const auto laboratory = start_client(kLaboratory);
  expect_exit(*clinic, kAuthentication);
  EXPECT_THAT(clinic->err(), HasSubstr("no line for 'laboratory'"));
  for (Process* p : {laboratory.get(), server.get()}) {
    EXPECT_NE(p->wait().value_or(0), 0) << p->name();
    EXPECT_THAT(p->err(), HasSubstr("clinic"));
  }
  expect_no_weights();
}

TEST_F(NoAlignment, WithThePublicKeysExchanged) {
  std::string text = replaced(content_of(key("authorised")), "clinic ", "mark ");
  text = replaced(replaced(text, "laboratory ", "clinic "), "mark ", "laboratory ");
  const auto server = start_server({"connection.deadline_s=20"});
  const auto clinic = start_client(kClinic, {"connection.peers=" + write("exchanged", text).string()});
  const auto laboratory = start_client(kLaboratory);
  // Whoever opens a seal that was not made for it, or by whom its list says, ends; the others are told.
  const int first = clinic->wait().value_or(0), second = laboratory->wait().value_or(0), third = server->wait().value_or(0);
  for (const int status : {first, second, third}) EXPECT_EQ(status, kAuthentication);
  EXPECT_THAT(clinic->err() + laboratory->err(), HasSubstr("a sealed message is altered, or from another sender"));
  expect_no_weights();
}

TEST_F(NoAlignment, WithAnIdentifierTwice) {
  std::vector<std::string> spoilt = rows(kLaboratory);
  const std::string twice = field(spoilt[5], 0);
  spoilt[99] = twice + spoilt[99].substr(field(spoilt[99], 0).size());
  const auto server = start_server({"connection.deadline_s=3"});
  const auto clinic = start_client(kClinic);
  const auto laboratory = start_client(kLaboratory, {at(kLaboratory, spoilt)});
  expect_exit(*laboratory, kData);  // before it dials: the others learn that it is missing
  for (Process* p : {laboratory.get(), clinic.get(), server.get()}) {
    EXPECT_NE(p->wait().value_or(0), 0) << p->name();
    EXPECT_THAT(p->out() + p->err(), Not(HasSubstr(twice))) << p->name();
  }
  EXPECT_THAT(laboratory->err(), AllOf(HasSubstr("records.csv"), HasSubstr("100")));
  expect_no_weights();
}

TEST_F(NoAlignment, WithoutARecordInCommon) {
  std::vector<std::string> others = rows(kLaboratory);
  for (std::size_t r = 1; r < others.size(); ++r) others[r] = "Q" + others[r];
  const auto server = start_server({"connection.deadline_s=20"});
  const auto clinic = start_client(kClinic);
  const auto laboratory = start_client(kLaboratory, {at(kLaboratory, others)});
  for (Process* p : {clinic.get(), laboratory.get(), server.get()}) {
    expect_exit(*p, kData);
    EXPECT_THAT(p->err(), HasSubstr("no records in common"));
  }
  expect_no_weights();
}

}  // namespace
}  // namespace sutura::testing
