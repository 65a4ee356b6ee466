// What is left of a graph when everything lies at one party, or when one party has nobody to join.
#include "runtime/topology/one_place.h"

#include <algorithm>

#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OnePlace : public PlanCase {};

std::vector<std::string> node_names(const TopologyConfig& t) {
  std::vector<std::string> names;
  for (const NodeConfig& n : t.nodes) names.push_back(n.name);
  return names;
}

std::vector<std::string> route_texts(const TopologyConfig& t) {
  std::vector<std::string> texts;
  for (const RouteConfig& r : t.routes) texts.push_back(r.from + ">" + r.to);
  return texts;
}

std::vector<std::string> places(const TopologyConfig& t) {
  std::vector<std::string> at;
  for (const NodeConfig& n : t.nodes)
    if (std::ranges::find(at, n.at) == at.end()) at.push_back(n.at);
  return at;
}

std::string refusal_of(const TopologyConfig& t, const std::string& party) {
  try {
    static_cast<void>(alone(t, party));
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kConfig);
    return e.what();
  }
  return {};
}

/// Three feature holders in two joins, labels at a party of their own, head and loss there too.
TopologyConfig nested() {
  TopologyConfig t;
  t.name = "nested";
  t.parties = {{"clinic", Role::kClient, Count::kOne},
               {"laboratory", Role::kClient, Count::kOne},
               {"imaging", Role::kClient, Count::kOne},
               {"registry", Role::kClient, Count::kOne},
               {"server", Role::kServer, Count::kOne}};
  t.nodes = {{"x_c", "clinic", NodeKind::kFeatures, "", JoinKind::kConcat},
             {"x_l", "laboratory", NodeKind::kFeatures, "", JoinKind::kConcat},
             {"x_i", "imaging", NodeKind::kFeatures, "", JoinKind::kConcat},
             {"y", "registry", NodeKind::kLabels, "", JoinKind::kConcat},
             {"f_c", "clinic", NodeKind::kSegment, "f_c", JoinKind::kConcat},
             {"f_l", "laboratory", NodeKind::kSegment, "f_l", JoinKind::kConcat},
             {"f_i", "imaging", NodeKind::kSegment, "f_i", JoinKind::kConcat},
             {"inner", "server", NodeKind::kJoin, "", JoinKind::kMean},
             {"middle", "server", NodeKind::kSegment, "middle", JoinKind::kConcat},
             {"outer", "server", NodeKind::kJoin, "", JoinKind::kConcat},
             {"head", "registry", NodeKind::kSegment, "head", JoinKind::kConcat},
             {"loss", "registry", NodeKind::kLoss, "", JoinKind::kConcat}};
  t.routes = {{"x_c", "f_c"},     {"x_l", "f_l"},     {"x_i", "f_i"},     {"f_c", "inner", GuardKind::kRows, GuardKind::kNone},
              {"f_l", "inner"},   {"inner", "middle"}, {"middle", "outer"}, {"f_i", "outer"},
              {"outer", "head"},  {"head", "loss"},   {"y", "loss"}};
  return t;
}

TEST_F(OnePlace, HoldersAreThoseWithFeaturesInTheOrderOfTheSources) {
  EXPECT_THAT(feature_holders(nested()), ElementsAre("clinic", "laboratory", "imaging"));
}

TEST_F(OnePlace, EveryNodeMovesAndNothingIsGuarded) {
  const StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise);
  const TopologyConfig t = at_one_place(s.topology, "hospital");
  ASSERT_EQ(t.parties.size(), 1u);
  EXPECT_EQ(t.parties[0].role, Role::kClient);
  EXPECT_EQ(t.parties[0].count, Count::kOne);
  EXPECT_THAT(places(t), ElementsAre("hospital"));
  EXPECT_EQ(node_names(t), node_names(s.topology));
  EXPECT_EQ(route_texts(t), route_texts(s.topology));
  for (const RouteConfig& r : t.routes) {
    EXPECT_EQ(r.activation, GuardKind::kNone);
    EXPECT_EQ(r.gradient, GuardKind::kNone);
  }
}

TEST_F(OnePlace, TheUnsplitNetworkHasTheSameSegmentsAndNoEdges) {
  StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kNoPrivacy, "[north]");
  const Plan split = compiled(s);
  ASSERT_FALSE(split.edges.empty());
  s.topology = at_one_place(s.topology, "hospital");
  const Plan whole = compiled(s);
  EXPECT_THAT(whole.edges, IsEmpty());
  EXPECT_EQ(whole.row_shapes, split.row_shapes);
  EXPECT_EQ(whole.trains, split.trains);
}

TEST_F(OnePlace, AloneTheJoinBecomesAPlainRoute) {
  StudyConfig s = study("vertical", kVerticalSegments, kNoPrivacy, "[cohort]");
  const TopologyConfig clinic = alone(s.topology, "clinic");
  EXPECT_THAT(node_names(clinic), ElementsAre("x_clinic", "y", "front_clinic", "tail", "loss"));
  EXPECT_THAT(route_texts(clinic), ElementsAre("x_clinic>front_clinic", "front_clinic>tail", "tail>loss", "y>loss"));
  EXPECT_THAT(places(clinic), ElementsAre("clinic"));
  s.topology = alone(s.topology, "laboratory");
  EXPECT_THAT(node_names(s.topology), ElementsAre("x_laboratory", "y", "front_laboratory", "tail", "loss"));
  // The tail now begins at the width of one front: two values of a record, not five.
  const Plan plan = compiled(s);
  EXPECT_EQ(plan.row_shapes[2], (Shape{1, 2}));
  EXPECT_THAT(plan.edges, IsEmpty());
}

TEST_F(OnePlace, WhatOthersFedGoesWithThem) {
  const TopologyConfig imaging = alone(nested(), "imaging");
  EXPECT_THAT(node_names(imaging), ElementsAre("x_i", "y", "f_i", "head", "loss"));
  EXPECT_THAT(route_texts(imaging), ElementsAre("x_i>f_i", "f_i>head", "head>loss", "y>loss"));
  const TopologyConfig clinic = alone(nested(), "clinic");
  EXPECT_THAT(node_names(clinic), ElementsAre("x_c", "y", "f_c", "middle", "head", "loss"));
  EXPECT_THAT(route_texts(clinic), ElementsAre("x_c>f_c", "f_c>middle", "middle>head", "head>loss", "y>loss"));
  EXPECT_THAT(places(clinic), ElementsAre("clinic"));
}

TEST_F(OnePlace, AJoinOfOnePartysOwnSourcesStays) {
  TopologyConfig t = nested();
  t.nodes[1].at = t.nodes[5].at = "clinic";  // the laboratory belongs to the clinic
  EXPECT_THAT(feature_holders(t), ElementsAre("clinic", "imaging"));
  const TopologyConfig clinic = alone(t, "clinic");
  EXPECT_THAT(node_names(clinic), ElementsAre("x_c", "x_l", "y", "f_c", "f_l", "inner", "middle", "head", "loss"));
  EXPECT_THAT(route_texts(clinic), ElementsAre("x_c>f_c", "x_l>f_l", "f_c>inner", "f_l>inner", "inner>middle", "middle>head", "head>loss", "y>loss"));
}

TEST_F(OnePlace, WhoHoldsNothingOrReachesNoLossIsNamed) {
  EXPECT_THAT(refusal_of(nested(), "registry"), HasSubstr("'registry' holds no features"));
  EXPECT_THAT(refusal_of(nested(), "nobody"), HasSubstr("'nobody' holds no features"));
  TopologyConfig t = nested();
  std::erase_if(t.routes, [](const RouteConfig& r) { return r.from == "f_i" && r.to == "outer"; });
  EXPECT_THAT(refusal_of(t, "imaging"), HasSubstr("'imaging' alone do not reach the loss"));
  EXPECT_EQ(refusal_of(t, "clinic"), "");
}

}  // namespace
}  // namespace sutura
