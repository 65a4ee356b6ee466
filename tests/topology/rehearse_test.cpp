// rehearse() finds programs that cannot go on. Each case damages a plan that passes.
#include <algorithm>

#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::HasSubstr;

class Rehearsal : public PlanCase {
 protected:
  Plan vanilla() { return compiled(study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy)); }
  Plan u_shaped() { return compiled(study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kNoPrivacy)); }

  static std::vector<std::vector<Instruction>>& turns(Plan& plan, const std::string& party, Purpose purpose) {
    return plan.programs[static_cast<std::size_t>(plan.party_index(party))][static_cast<std::size_t>(purpose)].turns;
  }
  static void remove(Plan& plan, const std::string& party, Purpose purpose, OpCode op, const std::string& edge, Leg leg) {
    std::size_t removed = 0;
    for (auto& turn : turns(plan, party, purpose))
      removed += std::erase_if(
          turn, [&](const Instruction& i) { return i.op == op && i.edge == edge_named(plan, edge) && i.leg == leg; });
    ASSERT_EQ(removed, 1u);
    std::erase_if(turns(plan, party, purpose), [](const auto& turn) { return turn.empty(); });
  }
  static std::string verdict(const Plan& plan) {
    try {
      rehearse(plan);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      return e.what();
    }
    return {};
  }
};

TEST_F(Rehearsal, SoundPlansPass) {
  EXPECT_EQ(verdict(vanilla()), "");
  EXPECT_EQ(verdict(u_shaped()), "");
  EXPECT_EQ(verdict(compiled(study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", kNoPrivacy))), "");
}

TEST_F(Rehearsal, AMissingSendLeavesTheReceiverWaiting) {
  Plan plan = vanilla();
  remove(plan, "hospital", Purpose::kTrain, OpCode::kSend, "front>tail", Leg::kForward);
  EXPECT_THAT(verdict(plan), HasSubstr("waits for ever for front>tail"));
}

TEST_F(Rehearsal, AMissingGradientLeavesTheFrontWaiting) {
  Plan plan = vanilla();
  remove(plan, "server", Purpose::kTrain, OpCode::kSend, "front>tail", Leg::kBackward);
  EXPECT_EQ(verdict(plan), "topology: party 'hospital' waits for ever for front>tail");
}

TEST_F(Rehearsal, AMissingReceiveLeavesAMessageBehind) {
  Plan plan = vanilla();
  remove(plan, "server", Purpose::kTrain, OpCode::kReceive, "y>loss", Leg::kForward);
  EXPECT_EQ(verdict(plan), "topology: nobody takes the message of y>loss");
}

TEST_F(Rehearsal, TwoPartiesThatWaitForEachOther) {
  Plan plan = u_shaped();
  auto& server = turns(plan, "server", Purpose::kTrain);
  ASSERT_EQ(server.size(), 2u);
  std::swap(server[0], server[1]);  // the gradient of body>head first: the hospital has nothing to compute it from
  EXPECT_THAT(verdict(plan), HasSubstr("waits for ever for b"));
}

TEST_F(Rehearsal, AMessageOnTheWrongLeg) {
  Plan plan = vanilla();
  for (auto& turn : turns(plan, "server", Purpose::kTrain))
    for (Instruction& i : turn)
      if (i.op == OpCode::kSend) i.leg = Leg::kForward;
  EXPECT_NE(verdict(plan), "");
}

TEST_F(Rehearsal, EvaluationAndUploadAreRehearsedToo) {
  Plan plan = vanilla();
  remove(plan, "hospital", Purpose::kEvaluate, OpCode::kSend, "y>loss", Leg::kForward);
  EXPECT_EQ(verdict(plan), "topology: party 'server' waits for ever for y>loss");
  plan = compiled(study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce));
  remove(plan, "server", Purpose::kUpload, OpCode::kReceive, "front>tail", Leg::kForward);
  EXPECT_EQ(verdict(plan), "topology: nobody takes the message of front>tail");
}

TEST_F(Rehearsal, ATurnThatWaitsForItsOwnAnswerBlocksTheNextMicroBatch) {
  // In one turn a micro-batch is finished before the next begins. Here the hospital waits for the gradient of its first
  // micro-batch, and the server, whose forward is a turn of its own, for the activation of the second.
  Plan plan = u_shaped();
  auto& hospital = turns(plan, "hospital", Purpose::kTrain);
  for (std::size_t t = 1; t < hospital.size(); ++t) hospital[0].insert(hospital[0].end(), hospital[t].begin(), hospital[t].end());
  hospital.resize(1);
  EXPECT_THAT(verdict(plan), HasSubstr("waits for ever"));
}

TEST_F(Rehearsal, StepsBegunAheadAreRehearsedToo) {
  const Plan chain = compiled(study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", kNoPrivacy));
  for (const std::int64_t stale : {1, 2, 3, 7})
    for (const Plan& plan : {vanilla(), u_shaped(), chain}) EXPECT_NO_THROW(rehearse(plan, stale)) << stale;
  Plan plan = u_shaped();
  remove(plan, "hospital", Purpose::kTrain, OpCode::kSend, "body>head", Leg::kBackward);
  EXPECT_THROW(rehearse(plan, 2), Error);
}

TEST_F(Rehearsal, TurnsLagByTheirShareOfTheStaleSteps) {
  // ceil(turn stale / (turns - 1)), by hand
  const std::int64_t three[] = {0, 1, 2}, one[] = {0, 1, 1};
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_EQ(lag_of_turn(j, 3, 2), three[j]);
    EXPECT_EQ(lag_of_turn(j, 3, 1), one[j]);
    EXPECT_EQ(lag_of_turn(j, 3, 0), 0);
  }
  EXPECT_EQ(lag_of_turn(0, 1, 5), 0);
  EXPECT_EQ(lag_of_turn(1, 2, 5), 5);
}

TEST_F(Rehearsal, TheWindowHoldsStepsBegunAheadAndAllSitesOfAPartner) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy);
  s.training.micro_batches = 100;
  s.training.stale = 2;
  EXPECT_EQ(compiled(s).window, 600) << "a row and a label message, three steps";
  s = study(R"(topology:
  name: three_parties
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}, {name: partner, role: client}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: a, at: hospital, segment: a}
    - {name: b, at: server, segment: b}
    - {name: c, at: partner, segment: c}
    - {name: loss, at: server, loss: study}
  routes: [{from: x, to: a}, {from: a, to: b}, {from: b, to: c}, {from: c, to: loss}, {from: y, to: loss}]
)", std::string(kMlp) + ", cuts: [act1, act2]", kNoPrivacy, "[north, south, east]");
  s.training.micro_batches = 100;
  EXPECT_EQ(compiled(s).window, 600) << "server and partner: a row and a gradient for each part of three sites";
  s.training.micro_batches = 30000;
  EXPECT_THAT(refusal(s), HasSubstr("puts 180000 messages of one step in flight"));
  s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy, "[north, south, east]");
  s.training.micro_batches = 30000;
  EXPECT_THAT(refusal(s), HasSubstr("90000 parts over all sites"));
}

TEST_F(Rehearsal, TheWindowHoldsAllMessagesOfAStepInOneDirection) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy);
  EXPECT_EQ(compiled(s).window, 64);
  s.training.micro_batches = 300;
  EXPECT_EQ(compiled(s).window, 600) << "a row and a label message for each micro-batch";
  s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kNoPrivacy);
  s.training.micro_batches = 4096;
  EXPECT_EQ(compiled(s).window, 8192) << "a row and a gradient, both up and down";
  s.training.micro_batches = 40000;
  EXPECT_THAT(refusal(s), HasSubstr("training.micro_batches puts 80000 messages of one step in flight"));
}

}  // namespace
}  // namespace sutura
