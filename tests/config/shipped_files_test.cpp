// What ships beside the programs: the topologies, the studies, the reference page.
#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "runtime/config/configuration_page.h"
#include "runtime/config/site_policy.h"
#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::StudyFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kSource = SUTURA_SOURCE_DIR;

std::string file_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

class ShippedFiles : public StudyFolder {
 protected:
  /// A study around a topology that ships.
  LoadedStudy around(const std::string& topology, const std::string& network, const std::string& more = "") {
    fs::create_directories(folder() / "topologies");
    fs::copy_file(kSource / "configs/topologies" / (topology + ".yaml"), folder() / "topologies" / (topology + ".yaml"),
                  fs::copy_options::overwrite_existing);
    return load("include: [topologies/" + topology + ".yaml]\nstudy: s\ndata: {table: {path: t.csv, label: y}, sites: [a]" +
                more + "}\nnetwork: " + network +
                "\ntraining: {loss: mean_squared_error}\nprivacy: {mechanism: none, because: a test}\n");
  }
};

/// "from>to" of every guarded leg.
std::vector<std::string> guarded(const TopologyConfig& topology) {
  std::vector<std::string> legs;
  for (const RouteConfig& route : topology.routes) {
    if (route.activation == GuardKind::kRows) legs.push_back("activation " + route.from + ">" + route.to);
    if (route.gradient == GuardKind::kRows) legs.push_back("gradient " + route.from + ">" + route.to);
  }
  return legs;
}

std::string party_of(const TopologyConfig& topology, const std::string& node) {
  for (const NodeConfig& n : topology.nodes)
    if (n.name == node) return n.at;
  return {};
}

/// "from>to" of every route whose activation leaves a client.
std::vector<std::string> leaving(const TopologyConfig& topology) {
  std::vector<std::string> routes;
  for (const RouteConfig& route : topology.routes)
    if (party_of(topology, route.from) != party_of(topology, route.to) && party_of(topology, route.from) != "server")
      routes.push_back(route.from + ">" + route.to);
  return routes;
}

TEST_F(ShippedFiles, Vanilla) {
  const TopologyConfig t = around("vanilla", "{zoo: mlp, cuts: [one]}").config.topology;
  EXPECT_EQ(t.name, "vanilla");
  EXPECT_EQ(t.parties[0].count, Count::kMany);
  EXPECT_THAT(leaving(t), ElementsAre("front>tail", "y>loss"));
  EXPECT_THAT(guarded(t), ElementsAre("activation front>tail"));
}

TEST_F(ShippedFiles, Local) {
  const TopologyConfig t = around("local", "{zoo: mlp}").config.topology;
  EXPECT_EQ(t.parties.size(), 1u);
  EXPECT_EQ(t.parties[0].count, Count::kOne);
  EXPECT_THAT(leaving(t), ElementsAre());
  EXPECT_THAT(guarded(t), ElementsAre());
}

TEST_F(ShippedFiles, UShaped) {
  const TopologyConfig t = around("u_shaped", "{zoo: mlp, cuts: [one, two]}").config.topology;
  EXPECT_THAT(leaving(t), ElementsAre("front>body"));
  EXPECT_THAT(guarded(t), ElementsAre("activation front>body", "gradient body>head"));
  EXPECT_EQ(party_of(t, "y"), "hospital");
  EXPECT_EQ(party_of(t, "loss"), "hospital");
}

TEST_F(ShippedFiles, Vertical) {
  const LoadedStudy study =
      around("vertical", "{segments: {front_clinic: {zoo: mlp}, front_laboratory: {zoo: mlp}, tail: {zoo: mlp}}}",
             ", party_columns: {clinic: [a], laboratory: [b]}");
  const TopologyConfig& t = study.config.topology;
  EXPECT_THAT(leaving(t), ElementsAre("front_clinic>join", "front_laboratory>join", "y>loss"));
  EXPECT_THAT(guarded(t), ElementsAre("activation front_clinic>join", "activation front_laboratory>join"));
  EXPECT_EQ(party_of(t, "y"), "clinic");
}

TEST_F(ShippedFiles, EveryTopologySaysWhoHoldsWhatWhatLeavesAndWhatItCosts) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "configs/topologies")) {
    if (entry.path().extension() != ".yaml") continue;
    ++files;
    const std::string text = file_text(entry.path());
    const std::string head = text.substr(0, text.find("topology:"));
    EXPECT_GE(std::count(head.begin(), head.end(), '\n'), 10) << entry.path();
    for (const char* part : {"Who holds what", "What leaves", "What it costs"})
      EXPECT_THAT(head, HasSubstr(part)) << entry.path();
  }
  EXPECT_GE(files, 4);
}

struct Preset {
  const char* name;
  const char* segments;  // of the hospital and of the server
  Visit visit;
  Tail tail;
  std::vector<std::string> average, hand_on;
};

/// The table of schedules: what each preset means.
const std::vector<Preset>& presets() {
  static const std::vector<Preset> all{
      {"sequential", "front tail", Visit::kInTurn, Tail::kShared, {}, {"front"}},
      {"parallel", "front tail", Visit::kTogether, Tail::kShared, {}, {}},
      {"parallel_shared_front", "front tail", Visit::kTogether, Tail::kShared, {"front"}, {}},
      {"splitfed_v1", "front tail", Visit::kTogether, Tail::kPerClient, {"front", "tail"}, {}},
      {"splitfed_v2", "front tail", Visit::kShuffled, Tail::kShared, {"front"}, {}},
      {"splitfed_v3", "front tail", Visit::kTogether, Tail::kPerClient, {"tail"}, {}},
      {"fedavg", "whole", Visit::kTogether, Tail::kShared, {"whole"}, {}},
  };
  return all;
}

class ShippedSchedules : public StudyFolder {
 protected:
  /// A study that includes the preset and a topology with the segments that the preset names.
  LoadedStudy with(const Preset& preset, const std::string& more = "") {
    const std::string part = std::string("schedules/") + preset.name + ".yaml";
    write(part, file_text(kSource / "configs" / part));
    const bool split = std::string(preset.segments) != "whole";
    return load("include: [" + part + "]\nstudy: s\ntopology:\n  name: t\n  parties: [{name: h, role: client, count: many}, " +
                "{name: server, role: server}]\n  nodes:\n    - {name: x, at: h, source: features}\n" +
                (split ? "    - {name: front, at: h, segment: front}\n    - {name: tail, at: server, segment: tail}\n"
                       : "    - {name: whole, at: h, segment: whole}\n") +
                "  routes: []\ndata: {table: {path: t.csv, label: y}, sites: [a, b]}\nnetwork: {zoo: mlp, cuts: [" +
                (split ? "one" : "") + "]}\ntraining: {loss: mean_squared_error}\nprivacy: {mechanism: none, because: a test}\n" +
                more);
  }
};

TEST_F(ShippedSchedules, EachIsARowOfTheTable) {
  for (const Preset& preset : presets()) {
    const ScheduleConfig s = with(preset).config.schedule;
    EXPECT_EQ(s.visit, preset.visit) << preset.name;
    EXPECT_EQ(s.tail, preset.tail) << preset.name;
    EXPECT_EQ(s.average, preset.average) << preset.name;
    EXPECT_EQ(s.hand_on, preset.hand_on) << preset.name;
  }
}

TEST_F(ShippedSchedules, AStudyAddsToOneAndOverridesIt) {
  for (const Preset& preset : presets()) {
    const ScheduleConfig s =
        with(preset, "schedule: {participation: {min_clients: 1, on_leave: wait}, average: [], hand_on: []}\n").config.schedule;
    EXPECT_EQ(s.visit, preset.visit) << preset.name;
    EXPECT_EQ(s.tail, preset.tail) << preset.name;
    EXPECT_EQ(s.participation.min_clients, 1) << preset.name;
    EXPECT_EQ(s.participation.on_leave, OnLeave::kWait) << preset.name;
    EXPECT_THAT(s.average, ElementsAre()) << preset.name;
    EXPECT_THAT(s.hand_on, ElementsAre()) << preset.name;
  }
}

TEST_F(ShippedSchedules, EveryFileIsInTheTableAndSaysWhoTrainsWhatWhatMovesAndWhereItIsFrom) {
  std::vector<std::string> files, names;
  for (const auto& entry : fs::directory_iterator(kSource / "configs/schedules")) {
    files.push_back(entry.path().stem());
    const std::string text = file_text(entry.path());
    const std::string head = text.substr(0, text.find("\nschedule:"));
    for (const char* part : {"Who trains what, when", "What moves", "What it costs", "Other segments", "arXiv "})
      EXPECT_THAT(head, HasSubstr(part)) << entry.path();
  }
  for (const Preset& preset : presets()) names.emplace_back(preset.name);
  EXPECT_THAT(files, ::testing::UnorderedElementsAreArray(names));
}

TEST(ShippedPolicies, AllLoadAndSpeakToADataOfficer) {
  int files = 0;
  for (const auto& entry : fs::directory_iterator(kSource / "configs/egress")) {
    ++files;
    EXPECT_FALSE(load_site_policy(entry.path()).name.empty());
    const std::string text = file_text(entry.path());
    const std::string head = text.substr(0, text.find("\nsite_policy:"));
    for (const char* part :
         {"For the data officer", "What this file is", "What may leave", "What never leaves", "The budget", "Fits"})
      EXPECT_THAT(head, HasSubstr(part)) << entry.path();
  }
  EXPECT_EQ(files, 3);
}

TEST(ShippedStudies, AllLoad) {
  // Whether the data is there is not asked: paths are only expanded.
  ::setenv("SUTURA_DATA", "/data", 0);
  std::vector<fs::path> studies, parts;
  for (const auto& entry : fs::directory_iterator(kSource / "configs"))
    if (entry.path().extension() == ".yaml")
      (file_text(entry.path()).find("\nstudy:") != std::string::npos ? studies : parts).push_back(entry.path());
  std::string all;
  for (const fs::path& study : studies) {
    EXPECT_NO_THROW(load_study(study)) << study;
    all += file_text(study);
  }
  // A file without a study is there to be included.
  for (const fs::path& part : parts) EXPECT_THAT(all, HasSubstr(part.filename().string()));
  if (studies.empty()) GTEST_SKIP() << "no studies in configs/";
}

TEST(ConfigurationPage, IsUpToDate) {
  EXPECT_EQ(file_text(kSource / "docs/configuration.md"), configuration_page())
      << "run: sutura-config-page > docs/configuration.md";
}

TEST(ConfigurationPage, NamesEveryKeyOfAStudy) {
  const std::string page = configuration_page();
  for (const char* key :
       {"study", "topology.nodes[].join", "schedule.average", "data.table.categories.COLUMN", "data.arrays.test.labels",
        "data.partition.alpha", "network.segments.SEGMENT.layers[].type", "training.rate.step_factor", "privacy.epsilon",
        "wire.gradient", "connection.deadline_s", "compute.PARTY.precision", "output", "control_permutations"})
    EXPECT_THAT(page, HasSubstr("| `" + std::string(key) + "` |"));
  EXPECT_THAT(page, HasSubstr("| `privacy.delta` | number, > 0 and <= 0.1 | **required** | shared |"));
  for (const char* key : {"data.party_tables.PARTY.numbers.COLUMN.TEXT", "data.table.ranges.COLUMN.WORD", "schedule.hand_on",
                          "schedule.participation.on_leave", "training.early_stopping.patience", "connection.peers",
                          "site_policy.allow[].protection", "site_policy.allowed_cuts"})
    EXPECT_THAT(page, HasSubstr("| `" + std::string(key) + "` |"));
  EXPECT_THAT(page, HasSubstr("| `data.table.path` | path | **required** | local |"));
}

}  // namespace
}  // namespace sutura
