// schedule.missing_party: what a step does without a party, against a straight line; and lanes that leave a longer chain.
#include "tests/engine/vertical_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::HasSubstr;

class Missing : public SplitRun {
 protected:
  Missing() : sites_(vertical_cohort()) {}
  Crew crew(MissingParty policy, std::int64_t micro_batches = 1) {
    text_ = vertical_study();
    text_.micro_batches = micro_batches;
    return {folder() / "crew", text_, sites_, [&](StudyConfig& s) { s.schedule.missing_party = policy; }};
  }
  static Crew::Job train_and_validate() {
    return [](Executor& executor, Member& m) {
      for (std::int64_t e = 0; e < 5; ++e) train_epoch(executor, m, e);
      for (const Step& s : executor.setup().planner.pass(Purpose::kEvaluate, Split::kValidation, 4)) executor.run(s);
    };
  }
  static bool same(const Member& m, const std::string& segment, const std::vector<float>& weights) {
    return std::ranges::equal(m.weights.at(segment).f32(), weights);
  }
  std::vector<SiteData> sites_;
  StudyText text_;
};

class Replaced : public Missing, public ::testing::WithParamInterface<std::pair<MissingParty, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(Policies, Replaced,
                         ::testing::Values(std::pair(MissingParty::kZero, 0), std::pair(MissingParty::kZero, 6),
                                           std::pair(MissingParty::kRunningMean, 0), std::pair(MissingParty::kRunningMean, 6)));

TEST_P(Replaced, EqualsTheStraightLine) {
  const auto [policy, lost] = GetParam();
  Crew c = crew(policy);
  Decisions decisions;
  c.decisions = &decisions;
  c.faults["laboratory"] = {Fault::Kind::kDies, static_cast<int>(lost) + 1};  // one message a step
  const auto members = c.work(train_and_validate());
  const VerticalLine line = train_without(policy, lost, kNever, text_, sites_[0]);
  EXPECT_EQ(members.at("server").error, "");
  EXPECT_EQ(members.at("clinic").error, "");
  EXPECT_THAT(members.at("laboratory").error, HasSubstr("the test ends"));
  EXPECT_TRUE(same(members.at("clinic"), "front_clinic", line.clinic));
  EXPECT_TRUE(same(members.at("server"), "tail", line.tail));
  EXPECT_TRUE(same(members.at("laboratory"), "front_laboratory", line.laboratory));
  ASSERT_EQ(members.at("server").results.size(), 20u);
  for (std::size_t k = 0; k < 20; ++k) EXPECT_EQ(members.at("server").results[k].loss, line.losses[k]) << k;
  EXPECT_EQ(members.at("server").scores.at({0, Split::kValidation}).values, line.validation);
  ASSERT_EQ(decisions.all().size(), 1u);
  EXPECT_EQ(decisions.all()[0].event, "missing");
  EXPECT_EQ(decisions.all()[0].who, "laboratory");
  EXPECT_EQ(decisions.all()[0].round, lost / 4);
  EXPECT_EQ(members.at("server").dropped.size(), 1u);
}

TEST_F(Missing, ZeroAndMeanDiffer) {
  const auto zero = train_without(MissingParty::kZero, 6, kNever, vertical_study(), sites_[0]);
  const auto mean = train_without(MissingParty::kRunningMean, 6, kNever, vertical_study(), sites_[0]);
  const auto whole = train_without(MissingParty::kRunningMean, kNever, kNever, vertical_study(), sites_[0]);
  EXPECT_NE(zero.tail, mean.tail);
  EXPECT_NE(whole.tail, mean.tail);
}

TEST_F(Missing, ADroppedStepIsNobodysUpdate) {
  Crew c = crew(MissingParty::kDropStep);
  c.faults["laboratory"] = {Fault::Kind::kDies, 7};
  const auto members = c.work(train_and_validate());
  const VerticalLine line = train_without(MissingParty::kDropStep, 6, kNever, text_, sites_[0]);
  EXPECT_EQ(members.at("server").error, "");
  EXPECT_EQ(members.at("clinic").error, "");
  EXPECT_TRUE(same(members.at("clinic"), "front_clinic", line.clinic));
  EXPECT_TRUE(same(members.at("server"), "tail", line.tail));
  EXPECT_EQ(members.at("server").results[5].records, members.at("server").results[5].step_records);
  EXPECT_EQ(members.at("server").results[6].records, 0);
  EXPECT_EQ(members.at("clinic").results[6].records, 0);
  EXPECT_FALSE(members.at("server").scores.contains({0, Split::kValidation}));
}

TEST_F(Missing, AStepDroppedInItsMiddleIsDroppedWhole) {
  Crew c = crew(MissingParty::kDropStep, 3);
  c.faults["laboratory"] = {Fault::Kind::kDies, 2 * 3 + 2};  // the second part of the third step
  const auto members = c.work(train_and_validate());
  Crew two = crew(MissingParty::kDropStep, 3);
  const auto shorter = two.work([](Executor& executor, Member& m) {
    const std::vector<Step> steps = executor.setup().planner.training(0);
    for (std::size_t k = 0; k < 2; ++k) m.results.push_back(executor.run(steps[k]));
  });
  EXPECT_EQ(members.at("server").error, "");
  EXPECT_EQ(difference(members.at("server"), shorter.at("server")), "");
  EXPECT_EQ(difference(members.at("clinic"), shorter.at("clinic")), "");
}

TEST_F(Missing, AbortEndsTheRun) {
  Crew c = crew(MissingParty::kAbort);
  c.faults["laboratory"] = {Fault::Kind::kDies, 7};
  const auto members = c.work(train_and_validate());
  EXPECT_THAT(members.at("server").error, HasSubstr("front_laboratory>join"));
  EXPECT_EQ(members.at("server").results.size(), 6u);
  EXPECT_NE(members.at("clinic").error, "");
}

TEST_F(Missing, TheLabelHolderCannotBeReplaced) {
  Crew c = crew(MissingParty::kZero);
  c.faults["clinic"] = {Fault::Kind::kDies, 7};  // a row and a label message each step
  EXPECT_THAT(c.work(train_and_validate()).at("server").error, HasSubstr("'clinic' is lost and cannot be replaced"));
}

TEST_F(Missing, WithTheHeadAtTheLabelHolder) {
  // Two turns at the server and three at the clinic. The straight line is the same: body and head are its tail, cut.
  constexpr const char* kTopology = R"(topology:
  name: vertical_u
  parties: [{name: clinic, role: client}, {name: laboratory, role: client}, {name: server, role: server}]
  nodes:
    - {name: x_clinic, at: clinic, source: features}
    - {name: x_laboratory, at: laboratory, source: features}
    - {name: y, at: clinic, source: labels}
    - {name: front_clinic, at: clinic, segment: front_clinic}
    - {name: front_laboratory, at: laboratory, segment: front_laboratory}
    - {name: join, at: server, join: concat}
    - {name: body, at: server, segment: body}
    - {name: head, at: clinic, segment: head}
    - {name: loss, at: clinic, loss: study}
  routes:
    - {from: x_clinic, to: front_clinic}
    - {from: x_laboratory, to: front_laboratory}
    - {from: front_clinic, to: join}
    - {from: front_laboratory, to: join}
    - {from: join, to: body}
    - {from: body, to: head}
    - {from: head, to: loss}
    - {from: y, to: loss}
)";
  StudyText text = vertical_study();
  text.topology = kTopology;
  text.network.replace(text.network.find("tail:"), std::string::npos,
                       "body: {layers: [{name: fc, type: linear, outputs: 6}, {name: act, type: relu}]}, "
                       "head: {layers: [{name: out, type: linear, outputs: -1}]}}");
  for (const MissingParty policy : {MissingParty::kZero, MissingParty::kRunningMean, MissingParty::kDropStep})
    for (const std::int64_t stale : {0, 1}) {
      Crew c(folder() / "crew", text, sites_, [&](StudyConfig& s) {
        s.schedule.missing_party = policy;
        s.training.stale = stale;
      });
      c.faults["laboratory"] = {Fault::Kind::kDies, 7};
      const auto members = c.work(c.training(5));
      EXPECT_EQ(members.at("server").error, "");
      EXPECT_EQ(members.at("clinic").error, "");
      EXPECT_EQ(members.at("clinic").results.size(), 20u);
      if (stale > 0) continue;
      const VerticalLine line = train_without(policy, 6, kNever, vertical_study(), sites_[0]);
      std::vector<float> tail(members.at("server").weights.at("body").f32().begin(),
                              members.at("server").weights.at("body").f32().end());
      const auto head = members.at("clinic").weights.at("head").f32();
      tail.insert(tail.end(), head.begin(), head.end());
      EXPECT_EQ(tail, line.tail);
      EXPECT_TRUE(same(members.at("clinic"), "front_clinic", line.clinic));
    }
}

TEST_F(Missing, ASilentPartyIsMissingAfterTheDeadline) {
  Crew c = crew(MissingParty::kZero);
  c.silence = std::chrono::milliseconds(300);
  c.faults["laboratory"] = {Fault::Kind::kGoesMute, 7};
  const auto members = c.work(train_and_validate());
  EXPECT_EQ(members.at("server").error, "");
  EXPECT_TRUE(same(members.at("server"), "tail", train_without(MissingParty::kZero, 6, kNever, text_, sites_[0]).tail));
  EXPECT_NE(members.at("laboratory").error, "");
  EXPECT_GE(members.at("server").waited, 0.3);
}

TEST_F(Missing, APartyThatJoinsAgainTakesPartFromTheNextRound) {
  Crew c = crew(MissingParty::kRunningMean);
  c.faults["laboratory"] = {Fault::Kind::kDies, 7};  // in the second epoch
  const auto members = c.work([&](Executor& executor, Member& m) {
    const bool laboratory = m.self.name == "laboratory";
    for (std::int64_t e = 0; e < 5; ++e) {
      if (laboratory && e == 2) continue;
      if (laboratory && e == 1) {
        EXPECT_THROW(train_epoch(executor, m, e), Error);
        executor.abandon();
        c.connect_again("laboratory");
        continue;
      }
      if (m.self.name == "server" && e == 3) {
        EXPECT_FALSE(executor.present(m.self.party) && executor.present(executor.setup().plan.party_index("laboratory")));
        c.await("laboratory");
        executor.admit(executor.setup().plan.party_index("laboratory"));
      }
      train_epoch(executor, m, e);
    }
  });
  const VerticalLine line = train_without(MissingParty::kRunningMean, 6, 12, text_, sites_[0]);
  for (const auto& [name, m] : members) EXPECT_EQ(m.error, "") << name;
  EXPECT_TRUE(same(members.at("clinic"), "front_clinic", line.clinic));
  EXPECT_TRUE(same(members.at("server"), "tail", line.tail));
  EXPECT_TRUE(same(members.at("laboratory"), "front_laboratory", line.laboratory));
}

TEST_F(Missing, AClientMayNotSendAMessageWithoutTensors) {
  Crew c = crew(MissingParty::kAbort);
  c.faults["laboratory"] = {Fault::Kind::kEmpties, 3};
  EXPECT_THAT(c.work(train_and_validate()).at("server").error, HasSubstr("another number of tensors"));
}

}  // namespace
}  // namespace sutura
