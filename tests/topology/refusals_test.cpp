// What has no meaning, or would leak, is refused with the place named. Every case starts from a study that compiles.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

class Refusals : public PlanCase {
 protected:
  StudyConfig vanilla(const char* privacy = kNoPrivacy) {
    StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", privacy);
    EXPECT_EQ(refusal(s), "");
    return s;
  }
  StudyConfig u_shaped(const std::string& network = std::string(kMlp) + ", cuts: [act1, act2]") {
    return study("u_shaped", network, kMessageNoise);
  }
  StudyConfig vertical(const char* privacy = kNoPrivacy) {
    StudyConfig s = study("vertical", kVerticalSegments, privacy, "[cohort]");
    EXPECT_EQ(refusal(s), "");
    return s;
  }
  StudyConfig release_once() {
    StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce);
    EXPECT_EQ(refusal(s), "");
    return s;
  }
  static void remove_route(StudyConfig& s, const std::string& from, const std::string& to) {
    std::erase_if(s.topology.routes, [&](const RouteConfig& r) { return r.from == from && r.to == to; });
  }
};

// ---- the graph -----------------------------------------------------------------------------------------------------------

TEST_F(Refusals, ACycleNamesItsNodes) {
  StudyConfig s = vanilla();
  s.topology.nodes.push_back({"join", "server", NodeKind::kJoin, "", JoinKind::kSum});
  route_named(s, "front", "tail").to = "join";
  s.topology.routes.push_back({"join", "tail", GuardKind::kNone, GuardKind::kNone});
  ASSERT_THAT(refusal(s), HasSubstr("the join 'join' has fewer than two inputs"));
  s.topology.routes.push_back({"tail", "join", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("the routes form a cycle through"), HasSubstr("tail"), HasSubstr("join")));
}

TEST_F(Refusals, ACycleOfSegmentsBuiltByThemselves) {
  StudyConfig s = vertical();
  route_named(s, "join", "tail").from = "loss";
  EXPECT_THAT(refusal(s), HasSubstr("cycle"));
}

TEST_F(Refusals, ASegmentThatDoesNotReachTheLoss) {
  StudyConfig s = u_shaped();
  route_named(s, "head", "loss").from = "body";
  EXPECT_THAT(refusal(s), HasSubstr("the loss cannot be reached from segment 'head'"));
}

TEST_F(Refusals, ANodeThatNothingConsumes) {
  StudyConfig s = vanilla();
  s.topology.nodes.push_back({"x2", "hospital", NodeKind::kFeatures, "", JoinKind::kConcat});
  s.network = study("vertical", kVerticalSegments, kNoPrivacy, "[cohort]").network;
  s.network.segments["front"] = s.network.segments["front_clinic"];
  EXPECT_THAT(refusal(s), HasSubstr("nothing consumes 'x2': the loss cannot be reached from 'x2'"));
  s = vanilla();
  s.topology.nodes.push_back({"y2", "hospital", NodeKind::kLabels, "", JoinKind::kConcat});
  EXPECT_THAT(refusal(s), HasSubstr("nothing consumes 'y2'"));
  s = vertical();
  s.topology.nodes.push_back({"spare", "server", NodeKind::kJoin, "", JoinKind::kConcat});
  s.topology.routes.push_back({"front_clinic", "spare", GuardKind::kNone, GuardKind::kNone});
  s.topology.routes.push_back({"front_laboratory", "spare", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("nothing consumes 'spare': the loss cannot be reached from 'spare'"));
}

TEST_F(Refusals, TwoLosses) {
  StudyConfig s = vanilla();
  s.topology.nodes.push_back({"other", "server", NodeKind::kLoss, "", JoinKind::kConcat});
  s.topology.routes.push_back({"tail", "other", GuardKind::kNone, GuardKind::kNone});
  s.topology.routes.push_back({"y", "other", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("there are two losses"));
}

TEST_F(Refusals, NoLoss) {
  StudyConfig s = vanilla();
  remove_route(s, "tail", "loss");
  remove_route(s, "y", "loss");
  std::erase_if(s.topology.nodes, [](const NodeConfig& n) { return n.kind == NodeKind::kLoss; });
  EXPECT_THAT(refusal(s), HasSubstr("there is no loss"));
}

TEST_F(Refusals, NoLabels) {
  StudyConfig s = vanilla();
  remove_route(s, "y", "loss");
  EXPECT_THAT(refusal(s), HasSubstr("the loss 'loss' gets no labels"));
}

TEST_F(Refusals, TwoLabelSources) {
  StudyConfig s = vanilla();
  s.topology.nodes.push_back({"y2", "hospital", NodeKind::kLabels, "", JoinKind::kConcat});
  s.topology.routes.push_back({"y2", "loss", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("the loss 'loss' has two label sources"));
}

TEST_F(Refusals, LabelsToASegment) {
  StudyConfig s = vanilla();
  s.topology.routes.push_back({"y", "tail", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("labels 'y' may only go to a loss, not to 'tail'"));
}

TEST_F(Refusals, ARouteIntoASource) {
  StudyConfig s = vanilla();
  s.topology.routes.push_back({"front", "x", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("a route ends at the source 'x'"));
}

TEST_F(Refusals, ASegmentWithTwoInputs) {
  StudyConfig s = vanilla();
  s.topology.routes.push_back({"x", "tail", GuardKind::kNone, GuardKind::kNone});
  EXPECT_THAT(refusal(s), HasSubstr("'tail' needs exactly one input, it has 2"));
}

TEST_F(Refusals, ARouteToAnUnknownNode) {
  StudyConfig s = vanilla();
  route_named(s, "front", "tail").to = "tial";
  EXPECT_THAT(refusal(s), HasSubstr("a route names the node 'tial', which does not exist"));
  s = vertical();
  route_named(s, "x_clinic", "front_clinic").from = "x_clnic";
  EXPECT_THAT(refusal(s), HasSubstr("a route names the node 'x_clnic', which does not exist"));
}

TEST_F(Refusals, ANodeAtAnUnknownParty) {
  StudyConfig s = vanilla();
  node_named(s, "tail").at = "cloud";
  EXPECT_THAT(refusal(s), HasSubstr("there is no party 'cloud'"));
}

TEST_F(Refusals, JoinOfDifferentShapes) {
  StudyConfig s = vertical();
  node_named(s, "join").join = JoinKind::kSum;
  EXPECT_THAT(refusal(s), HasSubstr("the inputs of join 'join' have different shapes"));
}

// ---- parties -------------------------------------------------------------------------------------------------------------

TEST_F(Refusals, TwoPartiesOfManyReplicas) {
  StudyConfig s = vertical();
  s.topology.parties[0].count = s.topology.parties[1].count = Count::kMany;
  EXPECT_THAT(refusal(s), HasSubstr("only one party may have count: many"));
}

TEST_F(Refusals, AServerOfManyReplicas) {
  StudyConfig s = vanilla();
  s.topology.parties[0].count = Count::kOne;
  s.topology.parties[1].count = Count::kMany;
  EXPECT_THAT(refusal(s), HasSubstr("the server cannot have count: many"));
}

TEST_F(Refusals, TwoServers) {
  StudyConfig s = u_shaped();
  s.topology.parties.push_back({"second", Role::kServer, Count::kOne});
  EXPECT_THAT(refusal(s), HasSubstr("only one party may be the server"));
}

TEST_F(Refusals, TwoSitesWithoutAPartyOfManyReplicas) {
  StudyConfig s = vertical();
  s.data.sites = {"north", "south"};
  EXPECT_THAT(refusal(s), HasSubstr("data.sites must name exactly one cohort"));
}

TEST_F(Refusals, FeaturesAtTheServer) {
  for (StudyConfig s : {vanilla(), vertical()}) {
    node_named(s, s.topology.nodes[0].name).at = "server";
    s.data.party_tables["server"] = {};
    EXPECT_THAT(refusal(s), HasSubstr("the source '" + s.topology.nodes[0].name + "' is at the server 'server', which holds no records"));
  }
}

TEST_F(Refusals, LabelsAtTheServerWithoutAFileOfTheirOwn) {
  StudyConfig s = vertical();
  node_named(s, "y").at = "server";
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("the source 'y' is at the server 'server'"), HasSubstr("data.party_tables.server")));
  s.data.party_tables["server"] = {};
  EXPECT_EQ(refusal(s), "");
}

TEST_F(Refusals, LabelsAtTheServerBesideSitesThatHoldAllRecords) {
  StudyConfig s = vanilla();
  node_named(s, "y").at = "server";
  s.data.party_tables["server"] = {};
  EXPECT_THAT(refusal(s), HasSubstr("the source 'y' is at 'server', but 'hospital' has count: many"));
}

TEST_F(Refusals, APartyWithoutANode) {
  StudyConfig s = vanilla();
  s.topology.parties.push_back({"bystander", Role::kClient, Count::kOne});
  EXPECT_THAT(refusal(s), HasSubstr("no node is at the party 'bystander'"));
}

TEST_F(Refusals, ASourceBesideThePartyOfManyReplicas) {
  StudyConfig s = vertical();
  s.topology.parties[0].count = Count::kMany;
  EXPECT_THAT(refusal(s), HasSubstr("the source 'x_laboratory' is at 'laboratory', but 'clinic' has count: many"));
}

TEST_F(Refusals, ARouteBetweenTwoClients) {
  StudyConfig s = vertical();
  node_named(s, "join").at = "clinic";
  EXPECT_THAT(refusal(s), HasSubstr("the route front_laboratory>join joins two clients"));
}

TEST_F(Refusals, AWeightsDeliveryBetweenTwoClients) {
  StudyConfig s = vertical();
  s.topology.deliver = {{"front_clinic", "laboratory"}};
  EXPECT_THAT(refusal(s), HasSubstr("deliver: 'front_clinic' would pass from client to client"));
}

TEST_F(Refusals, DeliveryOfWeightsThatHaveNoOneValue) {
  StudyConfig s = vanilla();
  s.topology.deliver = {{"front", "server"}};
  EXPECT_THAT(refusal(s), HasSubstr("deliver: each replica of 'hospital' holds its own copy of 'front'"));
  s = vanilla();
  s.topology.deliver = {{"tail", "hospital"}};
  EXPECT_EQ(refusal(s), "");
  s.schedule.tail = Tail::kPerClient;
  s.schedule.average = {"front"};
  EXPECT_THAT(refusal(s), HasSubstr("deliver: the server holds a copy of 'tail' per client"));
  s.schedule.average = {"tail"};
  EXPECT_EQ(refusal(s), "") << "averaged copies are one";
}

TEST_F(Refusals, AverageOfASegmentWithOneCopy) {
  StudyConfig s = vanilla();
  s.schedule.average = {"tail"};
  EXPECT_THAT(refusal(s), HasSubstr("schedule.average lists 'tail', of which 'server' holds one copy"));
  s.schedule.tail = Tail::kPerClient;
  EXPECT_EQ(refusal(s), "");
  s.schedule = {};
  s.schedule.average = {"front"};
  EXPECT_EQ(refusal(s), "");
}

TEST_F(Refusals, DeliveryToItsOwner) {
  StudyConfig s = vanilla();
  s.topology.deliver = {{"tail", "server"}};
  EXPECT_THAT(refusal(s), HasSubstr("deliver: 'tail' already is at 'server'"));
}

// ---- the network -----------------------------------------------------------------------------------------------------------

TEST_F(Refusals, WrongNumberOfCuts) {
  StudyConfig s = vanilla();
  s.network.cuts = {"act1", "act2"};
  EXPECT_THAT(refusal(s), HasSubstr("network.cuts names 2 layers, the topology has 2 segments"));
  s.network.cuts = {};
  EXPECT_THAT(refusal(s), HasSubstr("network.cuts names 0 layers, the topology has 2 segments"));
}

TEST_F(Refusals, ACutThatIsNoLayerOrOutOfOrder) {
  StudyConfig s = vanilla();
  s.network.cuts = {"act9"};
  EXPECT_THAT(refusal(s), HasSubstr("cannot cut after 'act9': the layers in order are fc1, act1, fc2, act2, out"));
  s = u_shaped();
  s.network.cuts = {"act2", "act1"};
  EXPECT_THAT(refusal(s), HasSubstr("cannot cut after 'act1'"));
}

TEST_F(Refusals, AnEmptySegment) {
  StudyConfig s = vanilla();
  s.network.cuts = {"out"};
  EXPECT_THAT(refusal(s), HasSubstr("empty segment"));
}

TEST_F(Refusals, AnUnknownSegment) {
  StudyConfig s = vertical();
  node_named(s, "tail").segment = "tial";
  EXPECT_THAT(refusal(s), HasSubstr("network.segments has no entry 'tial'"));
  s = vanilla();
  s.schedule.average = {"frnt"};
  EXPECT_THAT(refusal(s), HasSubstr("no node bears the segment 'frnt'"));
}

TEST_F(Refusals, TwoNodesOfOneSegment) {
  StudyConfig s = vertical();
  node_named(s, "front_laboratory").segment = "front_clinic";
  EXPECT_THAT(refusal(s), HasSubstr("two nodes bear the segment 'front_clinic'"));
}

TEST_F(Refusals, NothingTrains) {
  StudyConfig s = vanilla();
  s.network.frozen = {"front", "tail"};
  EXPECT_THAT(refusal(s), HasSubstr("nothing trains"));
}

// ---- privacy ---------------------------------------------------------------------------------------------------------------

TEST_F(Refusals, RawRecords) {
  StudyConfig s = vanilla();
  node_named(s, "front").at = "server";
  EXPECT_THAT(refusal(s), HasSubstr("the route x>front would send raw records"));
}

TEST_F(Refusals, LabelsThatCrossWithoutADeclaredPolicy) {
  StudyConfig s = vanilla();
  s.privacy.labels.reset();
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("the route y>loss sends labels"), HasSubstr("privacy.labels: public")));
  s = u_shaped();
  s.privacy.labels.reset();
  EXPECT_EQ(refusal(s), "") << "here the labels stay";
}

TEST_F(Refusals, BatchNormBeforeAGuardedActivation) {
  const std::string layers =
      "layers: [{name: fc1, type: linear, outputs: 4}, {name: norm, type: batch_norm}, {name: fc2, type: linear, outputs: 3}, "
      "{name: out, type: linear, outputs: -1}], cuts: ";
  EXPECT_THAT(refusal(study("vanilla", layers + "[fc2]", kMessageNoise)),
              HasSubstr("layer 'norm' mixes the records of a batch before the guarded route front>tail"));
  EXPECT_EQ(refusal(study("vanilla", layers + "[fc2]", kNoPrivacy)), "") << "without a guard batch norm may stand anywhere";
  EXPECT_EQ(refusal(study("vanilla", layers + "[fc1]", kMessageNoise)), "") << "behind the guard it mixes released rows";
}

TEST_F(Refusals, BatchNormBehindAGuardedGradient) {
  // The gradient of a record's activation comes from the loss: every layer on the way mixes, not only those before the cut.
  const std::string layers =
      "layers: [{name: fc1, type: linear, outputs: 4}, {name: fc2, type: linear, outputs: 3}, {name: NORM, type: TYPE}, "
      "{name: out, type: linear, outputs: -1}], cuts: [fc1, fc2]";
  const auto with = [&](const std::string& type) {
    std::string text = layers;
    text.replace(text.find("NORM"), 4, "norm").replace(text.find("TYPE"), 4, type);
    return u_shaped(text);
  };
  EXPECT_EQ(refusal(with("layer_norm")), "");
  EXPECT_THAT(refusal(with("batch_norm")), AllOf(HasSubstr("layer 'norm' mixes the records of a batch"), HasSubstr("body>head")));
  StudyConfig s = with("batch_norm");
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_EQ(refusal(s), "");
}

TEST_F(Refusals, ReleaseOnceWithATrainableFront) {
  StudyConfig s = release_once();
  s.network.frozen.clear();
  EXPECT_THAT(refusal(s),
              AllOf(HasSubstr("release-once needs a frozen front"), HasSubstr("front>tail"), HasSubstr("network.frozen")));
}

TEST_F(Refusals, ReleaseOnceWithoutItsGuard) {
  StudyConfig s = release_once();
  route_named(s, "front", "tail").activation = GuardKind::kNone;
  EXPECT_THAT(refusal(s), HasSubstr("no route between parties has a guard"));
  s = study("vertical", std::string(kVerticalSegments) + ", frozen: [front_clinic, front_laboratory]", kReleaseOnce, "[cohort]");
  ASSERT_EQ(refusal(s), "");
  route_named(s, "front_laboratory", "join").activation = GuardKind::kNone;
  EXPECT_THAT(refusal(s), HasSubstr("release-once needs 'activation: {guard: rows}' on the route front_laboratory>join"));
}

TEST_F(Refusals, ReleaseOnceWithARouteBackToAClient) {
  StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2], frozen: [front, body]", kReleaseOnce);
  EXPECT_THAT(refusal(s), HasSubstr("body>head"));
}

TEST_F(Refusals, AMechanismWithoutAGuardedRoute) {
  StudyConfig s = vanilla(kMessageNoise);
  route_named(s, "front", "tail").activation = GuardKind::kNone;
  EXPECT_THAT(refusal(s), HasSubstr("privacy.mechanism is 'rows', but no route between parties has a guard"));
}

}  // namespace
}  // namespace sutura
