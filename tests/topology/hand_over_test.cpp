// A handed-on segment has one edge in the plan, from site to site, and the egress list says who can read it.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class HandOver : public PlanCase {
 protected:
  StudyConfig handed_on(std::vector<std::string> segments, Visit visit = Visit::kInTurn) {
    StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kNoPrivacy);
    s.schedule.hand_on = std::move(segments);
    s.schedule.visit = visit;
    return s;
  }
  static std::vector<std::string> weights_of(const Plan& plan) {
    static constexpr const char* kWhen[] = {"round end", "hand-over", "run end"};
    std::vector<std::string> all;
    for (const WeightsEdge& w : plan.weights)
      all.push_back(w.segment + " " + plan.topology.parties[static_cast<std::size_t>(w.from_party)].name + ">" +
                    plan.topology.parties[static_cast<std::size_t>(w.to_party)].name + " " + kWhen[static_cast<int>(w.when)]);
    return all;
  }
};

TEST_F(HandOver, IsOneEdgePerSegmentInTheOrderOfTheStudy) {
  for (const Visit visit : {Visit::kInTurn, Visit::kShuffled})
    EXPECT_THAT(weights_of(compiled(handed_on({"head", "front"}, visit))),
                ElementsAre("head hospital>hospital hand-over", "front hospital>hospital hand-over"));
}

TEST_F(HandOver, FollowsTheAveragesAndPrecedesTheDeliveries) {
  StudyConfig s = handed_on({"front"});
  s.schedule.average = {"head"};
  s.topology.deliver = {{"body", "hospital"}};
  EXPECT_THAT(weights_of(compiled(s)), ElementsAre("head hospital>server round end", "head server>hospital round end",
                                                   "front hospital>hospital hand-over", "body server>hospital run end"));
}

TEST_F(HandOver, TheEgressListSaysWhoReadsIt) {
  const StudyConfig s = handed_on({"front"});
  std::vector<std::string> all;
  for (const EgressLine& l : egress_list(compiled(s), s, ""))
    all.push_back(l.from + " -> " + l.to + ": " + l.what + ": " + l.protection);
  EXPECT_THAT(all, Contains("hospital -> next hospital: weights front and optimizer state, after each turn: sealed: the server "
                            "relays what it cannot read; at the next hospital UNPROTECTED, because: a test"));
}

TEST_F(HandOver, OneSiteHandsNothingOn) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy, "[north]");
  s.schedule.hand_on = {"front"};
  s.schedule.visit = Visit::kInTurn;
  EXPECT_TRUE(compiled(s).weights.empty());
}

TEST_F(HandOver, WhatHasNoNextSiteIsRefused) {
  EXPECT_THAT(refusal(handed_on({"body"})),
              HasSubstr("schedule.hand_on lists 'body', of which 'server' holds one copy: there is no next site to hand it to"));
  EXPECT_THAT(refusal(handed_on({"nose"})), HasSubstr("no node bears the segment 'nose'"));
  EXPECT_THAT(refusal(handed_on({"front", "front"})), HasSubstr("schedule.hand_on lists 'front' twice"));
  EXPECT_THAT(refusal(handed_on({"front"}, Visit::kTogether)),
              HasSubstr("with visit: together all sites train their copy at once and none is the next"));
}

TEST_F(HandOver, WhatDoesNotTrainIsRefused) {
  StudyConfig s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2], frozen: [front]", kNoPrivacy);
  s.schedule.hand_on = {"front"};
  s.schedule.visit = Visit::kInTurn;
  EXPECT_THAT(refusal(s), HasSubstr("schedule.hand_on lists 'front', which does not train"));
}

TEST_F(HandOver, WithTheAverageOfTheSameSegmentIsRefused) {
  StudyConfig s = handed_on({"front"});
  s.schedule.average = {"front"};
  EXPECT_THAT(refusal(s), HasSubstr("schedule.hand_on and schedule.average both list 'front'"));
}

}  // namespace
}  // namespace sutura
