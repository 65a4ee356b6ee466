// Schedules without a meaning on their graph are refused with the reason; beside each stands the one that has a meaning.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

class ScheduleRefusals : public PlanCase {
 protected:
  StudyConfig with(const std::string& topology, ScheduleConfig schedule) {
    StudyConfig s = shipped(topology);
    EXPECT_EQ(refusal(s), "") << topology;
    s.schedule = std::move(schedule);
    return s;
  }
  StudyConfig one_site(ScheduleConfig schedule) {
    StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy, "[north]");
    s.schedule = std::move(schedule);
    return s;
  }
  static ScheduleConfig missing(MissingParty m) {
    ScheduleConfig schedule;
    schedule.missing_party = m;
    return schedule;
  }
};

TEST_F(ScheduleRefusals, AnOrderOfVisitsWithoutSites) {
  for (const Visit visit : {Visit::kInTurn, Visit::kShuffled})
    for (const char* topology : {"vertical", "local"})
      EXPECT_THAT(refusal(with(topology, {.visit = visit})), HasSubstr("is an order of sites, but no party has count: many"));
}

TEST_F(ScheduleRefusals, AnOrderOfVisitsThatChangesNothing) {
  for (const Visit visit : {Visit::kInTurn, Visit::kShuffled}) {
    EXPECT_THAT(refusal(with("federated", {.visit = visit, .average = {"whole"}})),
                HasSubstr("no weights pass from one site to the next inside a round, so that the order changes nothing"));
    EXPECT_EQ(refusal(with("federated", {.visit = visit, .hand_on = {"whole"}})), "");
    EXPECT_EQ(refusal(with("vanilla", {.visit = visit})), "") << "the tail passes from site to site";
  }
  StudyConfig s = with("vanilla", {.visit = Visit::kInTurn, .average = {"front"}});
  s.network.frozen = {"tail"};
  EXPECT_THAT(refusal(s), HasSubstr("the order changes nothing"));
}

TEST_F(ScheduleRefusals, CopiesPerSiteOfNothing) {
  EXPECT_THAT(refusal(with("vertical", {.tail = Tail::kPerClient})),
              HasSubstr("schedule.tail: per_client makes a copy per site, but no party has count: many"));
  EXPECT_THAT(refusal(with("federated", {.tail = Tail::kPerClient, .average = {"whole"}})),
              HasSubstr("every segment that trains is at 'hospital', whose sites hold copies anyway"));
  StudyConfig s = with("vanilla", {.tail = Tail::kPerClient, .average = {"front"}});
  EXPECT_EQ(refusal(s), "");
  s.network.frozen = {"tail"};
  EXPECT_THAT(refusal(s), HasSubstr("every segment that trains is at 'hospital'"));
}

TEST_F(ScheduleRefusals, CopiesPerSiteInTurn) {
  for (const Visit visit : {Visit::kInTurn, Visit::kShuffled})
    EXPECT_THAT(refusal(with("vanilla", {.visit = visit, .tail = Tail::kPerClient, .average = {"front", "tail"}})),
                HasSubstr("schedule.tail: per_client gives each site a copy so that none waits for another"));
}

TEST_F(ScheduleRefusals, SitesThatWouldTrainAlone) {
  EXPECT_THAT(refusal(with("federated", {})), HasSubstr("each site of 'hospital' would train alone"));
  EXPECT_THAT(refusal(with("vanilla", {.tail = Tail::kPerClient})), HasSubstr("each site of 'hospital' would train alone"));
  EXPECT_EQ(refusal(with("vanilla", {})), "") << "the tail is shared";
  StudyConfig one = study("federated", kMlp, kNoPrivacy, "[north]");
  EXPECT_EQ(refusal(one), "") << "one site has nobody to train with";
}

TEST_F(ScheduleRefusals, AveragesThatMeanNothing) {
  EXPECT_THAT(refusal(with("vanilla", {.average = {"front", "front"}})), HasSubstr("schedule.average lists 'front' twice"));
  StudyConfig s = with("vanilla", {.average = {"front"}});
  EXPECT_EQ(refusal(s), "");
  s.network.frozen = {"front"};
  EXPECT_THAT(refusal(s), HasSubstr("schedule.average lists 'front', which does not train"));
  EXPECT_THAT(refusal(with("vertical", {.average = {"front_clinic"}})),
              HasSubstr("schedule.average lists 'front_clinic', of which 'clinic' holds one copy"));
}

TEST_F(ScheduleRefusals, ParticipationWithoutSeveralSites) {
  const ParticipationConfig stated[] = {{.min_clients = 1}, {.deadline_s = 5}, {.on_leave = OnLeave::kWait}, {.on_leave = OnLeave::kStop}};
  for (const ParticipationConfig& p : stated) {
    EXPECT_THAT(refusal(one_site({.participation = p})), HasSubstr("but the study has one site"));
    EXPECT_THAT(refusal(with("vertical", {.participation = p})),
                AllOf(HasSubstr("no party has count: many"), HasSubstr("schedule.missing_party")));
    EXPECT_EQ(refusal(with("vanilla", {.participation = p})), "");
  }
  EXPECT_EQ(refusal(one_site({})), "");
}

TEST_F(ScheduleRefusals, MoreClientsThanSites) {
  EXPECT_EQ(refusal(with("vanilla", {.participation = {.min_clients = 2}})), "");
  EXPECT_THAT(refusal(with("vanilla", {.participation = {.min_clients = 3}})),
              HasSubstr("schedule.participation.min_clients is 3, the study has 2 sites"));
}

TEST_F(ScheduleRefusals, AMissingPartyOfAStudyOfWholeRecords) {
  for (const MissingParty m : {MissingParty::kDropStep, MissingParty::kZero, MissingParty::kRunningMean}) {
    EXPECT_THAT(refusal(with("vanilla", missing(m))), HasSubstr("each site of 'hospital' holds whole records: use schedule.participation"));
    EXPECT_THAT(refusal(with("local", missing(m))), HasSubstr("needs two or more parties that hold features"));
    for (const char* topology : {"vertical", "vertical_three", "vertical_u", "vertical_server_labels"})
      EXPECT_EQ(refusal(with(topology, missing(m))), "") << topology;
  }
}

TEST_F(ScheduleRefusals, AMissingPartyThatNothingCanStandInFor) {
  for (const MissingParty m : {MissingParty::kZero, MissingParty::kRunningMean}) {
    // A segment at the server between the laboratory and the join: its input cannot be replaced, only the join's.
    StudyConfig s = with("vertical", missing(m));
    s.topology.nodes.push_back({"deep", "server", NodeKind::kSegment, "deep", JoinKind::kConcat});
    s.network.segments["deep"] = s.network.segments["tail"];
    route_named(s, "front_laboratory", "join").to = "deep";
    s.topology.routes.push_back({"deep", "join", GuardKind::kNone, GuardKind::kNone});
    EXPECT_THAT(refusal(s), HasSubstr("the route front_laboratory>deep of 'laboratory' does not end at a join"));
    s.schedule.missing_party = MissingParty::kDropStep;
    EXPECT_EQ(refusal(s), "");
  }
}

TEST_F(ScheduleRefusals, AMissingPartyAfterTheRowsAreThere) {
  StudyConfig s = shipped("vertical", kReleaseOnce);
  s.network.frozen = {"front_clinic", "front_laboratory"};
  ASSERT_EQ(refusal(s), "");
  s.schedule.missing_party = MissingParty::kDropStep;
  EXPECT_THAT(refusal(s), HasSubstr("with release-once every party sends its rows before training begins"));
}

TEST_F(ScheduleRefusals, StaleStepsWithNothingInFlight) {
  for (const char* topology : {"local", "federated"}) {
    StudyConfig s = shipped(topology);
    s.training.stale = 1;
    EXPECT_THAT(refusal(s), HasSubstr("no party waits for an answer inside a step: nothing is in flight")) << topology;
  }
  StudyConfig s = shipped("vanilla");
  s.training.stale = 1;
  EXPECT_EQ(refusal(s), "");
  s.network.frozen = {"front"};
  EXPECT_THAT(refusal(s), HasSubstr("nothing is in flight")) << "no gradient comes back";
}

TEST_F(ScheduleRefusals, ReleaseOnceWaitsForNobodyAndHandsNothingOn) {
  StudyConfig s = shipped("vanilla", kReleaseOnce);
  s.network.frozen = {"front"};
  ASSERT_EQ(refusal(s), "");
  s.training.stale = 1;
  EXPECT_THAT(refusal(s), HasSubstr("with release-once training waits for nobody"));
  s.training.stale = 0;
  s.schedule.visit = Visit::kInTurn;
  s.schedule.hand_on = {"front"};
  EXPECT_THAT(refusal(s), HasSubstr("schedule.hand_on lists 'front', which does not train"));
}

}  // namespace
}  // namespace sutura
