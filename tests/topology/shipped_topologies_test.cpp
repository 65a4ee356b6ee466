// Every topology that ships compiles, says what its header says, and keeps its meaning whatever the order of its lines.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class ShippedTopologies : public PlanCase {
 protected:
  static std::vector<std::string> lines_of(const StudyConfig& s) {
    std::vector<std::string> all;
    for (const EgressLine& l : egress_list(compiled(s), s, "GUARD"))
      if (l.what.find("numbers of records") == std::string::npos && l.what.find("metrics") == std::string::npos)
        all.push_back(l.from + " -> " + l.to + ": " + l.what + ": " + l.protection);
    return all;
  }
  static bool has(const Plan& plan, const std::string& party, Purpose purpose, OpCode op, const std::string& node) {
    for (const auto& turn : plan.program(plan.party_index(party), purpose).turns)
      for (const Instruction& i : turn)
        if (i.op == op && i.node >= 0 && plan.topology.nodes[static_cast<std::size_t>(i.node)].name == node) return true;
    return false;
  }
};

TEST_F(ShippedTopologies, AreNamedAfterTheirFilesAndOpenWithWhoHoldsWhat) {
  for (const std::string& name : shipped_topologies()) {
    EXPECT_EQ(shipped(name).topology.name, name);
    std::ifstream file(std::filesystem::path(SUTURA_SOURCE_DIR) / "configs/topologies" / (name + ".yaml"));
    std::string line, header;
    while (std::getline(file, line) && line.starts_with("#")) header += line + "\n";
    for (const char* heading : {"# Who holds what ", "# What leaves ", "# What it costs ", "# Needs "})
      EXPECT_THAT(header, HasSubstr(heading)) << name;
  }
}

TEST_F(ShippedTopologies, GuardEveryRowThatAHolderOfRecordsSends) {
  for (const std::string& name : shipped_topologies()) {
    if (name == "local" || name == "federated") continue;  // no row leaves
    const StudyConfig s = shipped(name, kMessageNoise);
    const Plan plan = compiled(s);
    for (const Edge& e : plan.edges) {
      if (e.labels) continue;
      const auto holds_records = [&](int party) {
        return std::ranges::any_of(plan.topology.nodes, [&](const NodeConfig& n) {
          return n.kind == NodeKind::kFeatures && plan.party_index(n.at) == party;
        });
      };
      if (holds_records(e.from_party)) EXPECT_EQ(e.activation_guard, GuardKind::kRows) << name << " " << e.text;
      if (holds_records(e.to_party) && e.gradient) EXPECT_EQ(e.gradient_guard, GuardKind::kRows) << name << " " << e.text;
    }
  }
}

TEST_F(ShippedTopologies, MultiHopPassesThroughTheServer) {
  const StudyConfig s = shipped("multi_hop", kMessageNoise);
  EXPECT_THAT(lines_of(s), ElementsAre("hospital -> server: activation front>entry [1, 5]: GUARD",
                                       "server -> hospital: gradient front>entry: UNPROTECTED as f32",
                                       "server -> partner: activation entry>middle [1, 4]: UNPROTECTED as f32",
                                       "partner -> server: gradient entry>middle: UNPROTECTED as f32",
                                       "partner -> server: activation middle>tail [1, 3]: UNPROTECTED as f32",
                                       "server -> partner: gradient middle>tail: UNPROTECTED as f32",
                                       "hospital -> server: labels y: UNPROTECTED, public by declared policy"));
}

TEST_F(ShippedTopologies, TheVerticalUKeepsItsLabels) {
  const auto all = lines_of(shipped("vertical_u", kMessageNoise));
  EXPECT_THAT(all, Each(Not(HasSubstr("labels"))));
  EXPECT_THAT(all, Contains("clinic -> server: gradient body>head: GUARD"));
  EXPECT_THAT(all, Contains("server -> clinic: activation body>head [1, 2]: UNPROTECTED as f32"));
}

TEST_F(ShippedTopologies, LabelsAtTheServerStayThere) {
  const StudyConfig s = shipped("vertical_server_labels", kMessageNoise);
  EXPECT_THAT(lines_of(s), Each(Not(HasSubstr("labels"))));
  const Plan plan = compiled(s);
  EXPECT_TRUE(has(plan, "server", Purpose::kTrain, OpCode::kLoad, "y"));
  EXPECT_FALSE(has(plan, "clinic", Purpose::kTrain, OpCode::kLoad, "y"));
}

TEST_F(ShippedTopologies, ReleaseOnceLoadsLabelsThatNeverTravelWhereTheyAre) {
  StudyConfig s = shipped("vertical_server_labels", kReleaseOnce);
  s.network.frozen = {"front_clinic", "front_laboratory"};
  const Plan plan = compiled(s);
  EXPECT_TRUE(has(plan, "server", Purpose::kTrain, OpCode::kLoad, "y"));
  EXPECT_FALSE(has(plan, "server", Purpose::kUpload, OpCode::kLoad, "y"));
  EXPECT_FALSE(has(plan, "clinic", Purpose::kTrain, OpCode::kLoad, "x_clinic")) << "rows come from the store";
}

TEST_F(ShippedTopologies, EveryJoinOfTwoAndThreeHolders) {
  for (const JoinKind join : {JoinKind::kConcat, JoinKind::kSum, JoinKind::kMean, JoinKind::kMax})
    for (const auto& [name, holders] : {std::pair<const char*, std::int64_t>{"vertical", 2}, {"vertical_three", 3}}) {
      StudyConfig s = shipped(name);
      node_named(s, "join").join = join;
      const Plan plan = compiled(s);
      const auto at = static_cast<std::size_t>(
          std::ranges::find(plan.topology.nodes, "join", &NodeConfig::name) - plan.topology.nodes.begin());
      EXPECT_EQ(plan.wiring[at].inputs.size(), static_cast<std::size_t>(holders));
      EXPECT_EQ(plan.row_shapes[at], (Shape{1, join == JoinKind::kConcat ? 3 * holders : 3}));
    }
}

TEST_F(ShippedTopologies, ListTheInputsOfAJoinInTheOrderOfTheParties) {
  int joins = 0;
  for (const std::string& name : shipped_topologies()) {
    const Plan plan = compiled(shipped(name));
    for (const Wiring& w : plan.wiring) {
      std::vector<int> parties;
      for (const int i : w.inputs) parties.push_back(plan.party_of(i));
      EXPECT_TRUE(std::ranges::is_sorted(parties)) << name;
      joins += w.inputs.size() > 1 ? 1 : 0;
    }
  }
  EXPECT_EQ(joins, 4);
}

TEST_F(ShippedTopologies, AJoinKeepsItsOrderWhereverItsBranchesLie) {
  StudyConfig s = shipped("vertical_three");
  const auto inputs = [](const Plan& plan) {
    std::vector<std::string> names;
    for (const Wiring& w : plan.wiring)
      if (w.inputs.size() > 1)
        for (const int i : w.inputs) names.push_back(plan.topology.nodes[static_cast<std::size_t>(i)].name);
    return names;
  };
  const auto in_order = inputs(compiled(s));
  EXPECT_THAT(in_order, ElementsAre("front_clinic", "front_laboratory", "front_pharmacy"));
  std::swap(s.topology.parties[0], s.topology.parties[2]);
  EXPECT_EQ(inputs(compiled(s)), in_order);
}

TEST_F(ShippedTopologies, CutsFollowTheGraphNotTheFile) {
  for (const char* name : {"vanilla", "u_shaped", "multi_hop"}) {
    StudyConfig s = shipped(name);
    const auto layers = [](const StudyConfig& study) {
      const std::vector<Shape> rows = feature_rows(study, nullptr);
      const Segments segments = build_segments(study, rows, 1);
      std::map<std::string, std::vector<std::string>> by_segment;
      for (std::size_t i = 0; i < segments.names.size(); ++i) by_segment[segments.names[i]] = segments.networks[i].layer_names();
      return by_segment;
    };
    const auto in_order = layers(s);
    EXPECT_THAT(in_order.at("front"), ElementsAre("fc1", "act1")) << name;
    std::ranges::reverse(s.topology.nodes);
    EXPECT_EQ(layers(s), in_order) << name;
    EXPECT_EQ(refusal(s), "") << name;
  }
}

}  // namespace
}  // namespace sutura
