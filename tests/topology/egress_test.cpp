// The egress list names everything that crosses between parties, and calls unprotected what is not guarded.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

std::vector<std::string> lines(const StudyConfig& study, const Plan& plan) {
  std::vector<std::string> all;
  for (const EgressLine& l : egress_list(plan, study, "rows: GUARD"))
    all.push_back(l.from + " -> " + l.to + ": " + l.what + ": " + l.protection);
  return all;
}

const std::string kCounts =
    "every party -> server: numbers of records per split, numeric backend, software version: UNPROTECTED";
const std::string kSizes = "server -> every party: numbers of records per split of every site, and which sites take part in each round: UNPROTECTED";
const std::string kMetrics = "server -> every party: training loss and metrics of each epoch, metrics of all test records: UNPROTECTED";
const std::string kMetricsOfSites =
    "server -> every party: training loss and metrics of each epoch, metrics of all test records, to each site those of its own: UNPROTECTED";

class Egress : public PlanCase {
 protected:
  static std::vector<std::string> lines_of(const StudyConfig& s) { return lines(s, compiled(s)); }
};

TEST_F(Egress, NoMechanismGivesItsReasonOnEveryLine) {
  EXPECT_THAT(lines_of(study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy)),
              ElementsAre("hospital -> server: activation front>tail [1, 5]: UNPROTECTED, because: a test as f32",
                          "server -> hospital: gradient front>tail: UNPROTECTED, because: a test as f32",
                          "hospital -> server: labels y: UNPROTECTED, public by declared policy", kCounts, kSizes, kMetricsOfSites));
}

TEST_F(Egress, NamesTheCodecOfEachLeg) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy);
  s.wire = {Codec::kInt8, Codec::kBfloat16};
  const auto all = lines_of(s);
  EXPECT_THAT(all, Contains("hospital -> server: activation front>tail [1, 5]: UNPROTECTED, because: a test as int8"));
  EXPECT_THAT(all, Contains("server -> hospital: gradient front>tail: UNPROTECTED, because: a test as bf16"));
}

TEST_F(Egress, GuardedRowsAndWhatStaysUnprotectedBesideThem) {
  EXPECT_THAT(lines_of(study("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise, "[north, south]",
                             "schedule: {average: [front]}\nwire: {gradient: bf16}\n")),
              ElementsAre("hospital -> server: activation front>tail [1, 5]: rows: GUARD",
                          "server -> hospital: gradient front>tail: UNPROTECTED as bf16",
                          "hospital -> server: labels y: UNPROTECTED, public by declared policy",
                          "hospital -> server: weights front, every round: UNPROTECTED",
                          "server -> hospital: weights front, every round: UNPROTECTED", kCounts, kSizes, kMetricsOfSites));
}

TEST_F(Egress, UShapedHasAGuardedGradientAndNoLabels) {
  const auto all = lines_of(study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise));
  EXPECT_THAT(all, ElementsAre("hospital -> server: activation front>body [1, 5]: rows: GUARD",
                               "server -> hospital: gradient front>body: UNPROTECTED as f32",
                               "server -> hospital: activation body>head [1, 4]: UNPROTECTED as f32",
                               "hospital -> server: gradient body>head: rows: GUARD", kCounts, kSizes));
}

TEST_F(Egress, TheGradientOfAUShapedStudyWithoutItsGuardIsNamed) {
  StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise);
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_THAT(lines_of(s), Contains("hospital -> server: gradient body>head: UNPROTECTED as f32"));
}

TEST_F(Egress, VerticalListsEachPartyApart) {
  EXPECT_THAT(lines_of(study("vertical", kVerticalSegments, kMessageNoise, "[cohort]")),
              ElementsAre("clinic -> server: activation front_clinic>join [1, 3]: rows: GUARD",
                          "server -> clinic: gradient front_clinic>join: UNPROTECTED as f32",
                          "laboratory -> server: activation front_laboratory>join [1, 2]: rows: GUARD",
                          "server -> laboratory: gradient front_laboratory>join: UNPROTECTED as f32",
                          "clinic -> server: labels y: UNPROTECTED, public by declared policy", kCounts, kSizes, kMetrics));
}

TEST_F(Egress, ReleaseOnceSaysOncePerRecordAndHasNoGradient) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce);
  s.topology.deliver = {{"tail", "hospital"}};
  EXPECT_THAT(lines_of(s), ElementsAre("hospital -> server: activation front>tail [1, 5], once per record: rows: GUARD",
                                       "hospital -> server: labels y, once per record: UNPROTECTED, public by declared policy",
                                       "server -> hospital: weights tail, at the end: computed from guarded rows alone and public labels",
                                       kCounts, kSizes));
}

TEST_F(Egress, OnlyWhatTheServerLearnsFromStoredRowsIsCalledSo) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce, "[north]");
  s.topology.deliver = {{"front", "server"}};
  EXPECT_THAT(lines_of(s), Contains("hospital -> server: weights front, at the end: UNPROTECTED"));
}

TEST_F(Egress, WhereTheSitesHoldTheLossSelectionTellsTheirFigures) {
  const std::string figure = "hospital -> server: validation figure of each epoch, and of how many records: UNPROTECTED";
  const std::string verdict = "server -> every party: which epoch is the best, and whether training ends: UNPROTECTED";
  for (const bool keeps : {false, true}) {
    StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise);
    EXPECT_THAT(lines_of(s), AllOf(Not(Contains(figure)), Not(Contains(verdict))));
    s.training.keep = keeps ? Keep::kBest : Keep::kLast;
    s.training.patience = keeps ? 0 : 3;
    EXPECT_THAT(lines_of(s), AllOf(Contains(figure), Contains(verdict)));
    StudyConfig v = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise);
    v.training.patience = 3;
    EXPECT_THAT(lines_of(v), Not(Contains(HasSubstr("validation figure")))) << "the server has the loss and tells it anyway";
  }
}

TEST_F(Egress, AlignmentIsListedForEveryTableAndSplits) {
  StudyConfig s = study("vertical", kVerticalSegments, kNoPrivacy, "[cohort]");
  EXPECT_THAT(lines_of(s), Not(Contains(HasSubstr("identifiers"))));
  s.data.party_tables = {{"clinic", {}}, {"laboratory", {}}};
  for (const std::string split_party : {"", "laboratory"}) {
    s.data.split_party = split_party;
    const auto all = lines_of(s);
    const std::string sealed = ": blinded, and sealed: the server relays what it cannot read";
    EXPECT_THAT(all, Contains("clinic -> laboratory: identifiers in blinded form, before training" + sealed));
    EXPECT_THAT(all, Contains("laboratory -> clinic: identifiers in blinded form, before training" + sealed));
    for (const char* party : {"clinic", "laboratory"})
      EXPECT_THAT(all, Contains(party + std::string(" -> server: identifiers that all parties have blinded: blinded: no party can undo it alone")));
    EXPECT_THAT(all, Contains("server -> every party: number of records of each table, and which of the party's own are common: UNPROTECTED"));
    EXPECT_THAT(all, Contains((split_party.empty() ? "clinic" : split_party) +
                              " -> every party: split of each common record: sealed: the server relays what it cannot read"));
  }
}

TEST_F(Egress, TheServerIsCalledByItsName) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy);
  s.topology.parties[1].name = "centre";
  for (NodeConfig& n : s.topology.nodes)
    if (n.at == "server") n.at = "centre";
  EXPECT_THAT(lines_of(s), Contains("centre -> every party: numbers of records per split of every site, and which sites take part in each round: UNPROTECTED"));
}

TEST_F(Egress, NothingLeavesALocalStudy) {
  const StudyConfig s = study("local", kMlp, kNoPrivacy, "[pooled]");
  const Plan plan = compiled(s);
  EXPECT_THAT(lines(s, plan), ElementsAre());
  EXPECT_EQ(egress_text(egress_list(plan, s, "")), "  nothing leaves\n");
}

/// The whole network at every hospital; the server only averages.
constexpr const char* kFederated = R"(topology:
  name: federated
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: whole, at: hospital, segment: whole}
    - {name: loss, at: hospital, loss: study}
  routes: [{from: x, to: whole}, {from: whole, to: loss}, {from: y, to: loss}]
)";

TEST_F(Egress, FederatedSendsWeightsAndCountsAlone) {
  const StudyConfig s = study(kFederated, kMlp, kNoPrivacy, "[north, south]", "schedule: {average: [whole]}\n");
  EXPECT_THAT(lines_of(s), ElementsAre("hospital -> server: weights whole, every round: UNPROTECTED, because: a test",
                                       "server -> hospital: weights whole, every round: UNPROTECTED, because: a test",
                                       kCounts, kSizes));
}

TEST_F(Egress, OneSiteSendsNoWeights) {
  const StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy, "[north]", "schedule: {average: [front]}\n");
  EXPECT_TRUE(compiled(s).weights.empty());
  EXPECT_THAT(lines_of(s), Not(Contains(HasSubstr("weights"))));
}

TEST_F(Egress, EveryEdgeOfThePlanHasItsLines) {
  for (const char* privacy : {kNoPrivacy, kMessageNoise}) {
    StudyConfig s = study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", privacy);
    for (RouteConfig& r : s.topology.routes) r.activation = r.to == "b" ? GuardKind::kRows : GuardKind::kNone;
    const Plan plan = compiled(s);
    const auto all = lines(s, plan);
    ASSERT_EQ(plan.edges.size(), 4u);
    for (const Edge& e : plan.edges) {
      EXPECT_THAT(all, Contains(HasSubstr("activation " + e.text + " ")));
      EXPECT_THAT(all, Contains(HasSubstr("gradient " + e.text + ":")));
    }
    EXPECT_THAT(all, Contains(HasSubstr("server -> hospital: activation d>loss [1, 1]: UNPROTECTED")));
  }
}

TEST_F(Egress, TextIsAligned) {
  const StudyConfig s = study("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  std::istringstream text(egress_text(egress_list(compiled(s), s, "rows: GUARD")));
  std::string line;
  while (std::getline(text, line)) EXPECT_EQ(line.find(" -> "), 2 + std::string("every party").size()) << line;
}

}  // namespace
}  // namespace sutura
