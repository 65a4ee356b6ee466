// The table of docs/topologies.md is what the compiler says about every topology with every schedule that ships.
#include <map>
#include <optional>

#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;

/// Lists of a preset by place: which segments "front", "tail" and "whole" are depends on the topology.
struct Preset {
  std::string name;
  ScheduleConfig schedule;
};
const std::vector<Preset> kPresets{
    {"sequential", {.visit = Visit::kInTurn, .hand_on = {"front"}}},
    {"parallel", {.visit = Visit::kTogether}},
    {"parallel_shared_front", {.visit = Visit::kTogether, .average = {"front"}}},
    {"splitfed_v1", {.visit = Visit::kTogether, .tail = Tail::kPerClient, .average = {"front", "tail"}}},
    {"splitfed_v2", {.visit = Visit::kShuffled, .average = {"front"}}},
    {"splitfed_v3", {.visit = Visit::kTogether, .tail = Tail::kPerClient, .average = {"tail"}}},
    {"fedavg", {.visit = Visit::kTogether, .average = {"whole"}}},
};

constexpr const char* kBegin = "<!-- written by tests/topology/schedule_table_test.cpp: begin -->\n";
constexpr const char* kEnd = "<!-- end -->\n";

class ScheduleTable : public PlanCase {
 protected:
  /// "front": segments where the records are; "tail": the others; "whole": all.
  static std::vector<std::string> placed(const std::vector<std::string>& roles, const TopologyConfig& t) {
    std::vector<std::string> segments;
    for (const std::string& role : roles)
      for (const NodeConfig& n : t.nodes) {
        if (n.kind != NodeKind::kSegment) continue;
        const bool by_records = std::ranges::any_of(
            t.nodes, [&](const NodeConfig& s) { return s.kind == NodeKind::kFeatures && s.at == n.at; });
        if (role == "whole" || (role == "front") == by_records) segments.push_back(n.segment);
      }
    return segments;
  }
  static std::string list_text(const char* key, const std::vector<std::string>& list) {
    std::string text;
    for (const std::string& s : list) text += (text.empty() ? "" : ", ") + s;
    return std::string("`") + key + ": [" + text + "]`";
  }

  std::string cell(const std::string& topology, const Preset& preset, std::vector<std::string>& reasons) {
    StudyConfig s = shipped(topology);
    s.schedule = preset.schedule;
    s.schedule.average = placed(preset.schedule.average, s.topology);
    s.schedule.hand_on = placed(preset.schedule.hand_on, s.topology);
    const std::string why = refusal(s);
    if (why.empty()) {
      std::string text = "valid";
      if (s.schedule.average != preset.schedule.average) text += ", " + list_text("average", s.schedule.average);
      if (s.schedule.hand_on != preset.schedule.hand_on) text += ", " + list_text("hand_on", s.schedule.hand_on);
      return text;
    }
    const std::string reason = why.substr(std::string("topology: ").size());
    const auto known = std::ranges::find(reasons, reason);
    const auto number = known - reasons.begin() + 1;
    if (known == reasons.end()) reasons.push_back(reason);
    return "refused (" + std::to_string(number) + ")";
  }

  std::string table() {
    std::string text = "| topology |", rule = "|---|";
    for (const Preset& p : kPresets) {
      text += " `" + p.name + "` |";
      rule += "---|";
    }
    text += "\n" + rule + "\n";
    std::vector<std::string> reasons;
    for (const std::string& topology : shipped_topologies()) {
      text += "| `" + topology + "` |";
      for (const Preset& p : kPresets) text += " " + cell(topology, p, reasons) + " |";
      text += "\n";
    }
    text += "\nWhy, in the compiler's words:\n\n";
    for (std::size_t i = 0; i < reasons.size(); ++i) text += std::to_string(i + 1) + ". " + reasons[i] + "\n";
    return text;
  }
};

std::string page() {
  std::ifstream file(std::filesystem::path(SUTURA_SOURCE_DIR) / "docs/topologies.md", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::optional<std::string> between_marks(const std::string& text) {
  const auto begin = text.find(kBegin), end = text.find(kEnd);
  if (begin == std::string::npos || end == std::string::npos || end < begin) return std::nullopt;
  const auto from = begin + std::string(kBegin).size();
  return text.substr(from, end - from);
}

TEST_F(ScheduleTable, InTheDocumentIsWhatTheCompilerSays) {
  const auto written = between_marks(page());
  ASSERT_TRUE(written.has_value()) << "docs/topologies.md has lost the marks of its table";
  const std::string expected = "\n" + table() + "\n";
  EXPECT_EQ(*written, expected) << "put this between the marks of docs/topologies.md:\n" << expected;
}

TEST_F(ScheduleTable, EveryTopologyOfTheDocumentShips) {
  for (const std::string& topology : shipped_topologies())
    EXPECT_NE(page().find("`" + topology + "`"), std::string::npos) << topology << " is not described";
}

TEST_F(ScheduleTable, ItsColumnsAreTheSchedulesThatShip) {
  const std::filesystem::path folder = std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/schedules";
  if (!std::filesystem::is_directory(folder)) GTEST_SKIP() << "no schedules ship with this tree";
  std::vector<std::string> files, columns;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.push_back(entry.path().stem().string());
  for (const Preset& p : kPresets) {
    columns.push_back(p.name);
    std::ifstream file(folder / (p.name + ".yaml"), std::ios::binary);
    const std::string section(std::istreambuf_iterator<char>(file), {});
    const bool whole = p.schedule.average == std::vector<std::string>{"whole"};
    const StudyConfig read = whole ? study("federated", kMlp, kNoPrivacy, "[north, south]", section)
                                   : study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy, "[north, south]", section);
    EXPECT_EQ(read.schedule.visit, p.schedule.visit) << p.name;
    EXPECT_EQ(read.schedule.tail, p.schedule.tail) << p.name;
    EXPECT_EQ(read.schedule.average, p.schedule.average) << p.name;
    EXPECT_EQ(read.schedule.hand_on, p.schedule.hand_on) << p.name;
  }
  EXPECT_THAT(files, ::testing::UnorderedElementsAreArray(columns));
}

TEST_F(ScheduleTable, HasValidAndRefusedPairs) {
  // The generator itself can tell: a pair that is known to be valid, and one that is known to be refused.
  std::vector<std::string> reasons;
  EXPECT_EQ(cell("vanilla", kPresets[4], reasons), "valid");
  EXPECT_EQ(cell("u_shaped", kPresets[0], reasons), "valid, `hand_on: [front, head]`");
  EXPECT_TRUE(reasons.empty());
  EXPECT_EQ(cell("vertical", kPresets[0], reasons), "refused (1)");
  ASSERT_EQ(reasons.size(), 1u);
}

}  // namespace
}  // namespace sutura
