// What would claim too much, or break in the middle of a run, is refused before anything starts. Every case starts from a
// study that compiles.
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;

class PrivacyRefusals : public PlanCase {
 protected:
  StudyConfig sound(const std::string& topology, const std::string& network, const char* privacy,
                    const std::string& sites = "[north, south]") {
    StudyConfig s = study(topology, network, privacy, sites);
    EXPECT_EQ(refusal(s), "");
    return s;
  }
  StudyConfig vanilla() { return sound("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise); }
  StudyConfig u_shaped() { return sound("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise); }
  StudyConfig release_once() {
    return sound("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce);
  }
};

TEST_F(PrivacyRefusals, ReleaseOnceWithAScalingFromAllRecords) {
  StudyConfig s = release_once();
  s.data.standardize = Standardize::kTraining;
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("data.standardize: training"), HasSubstr("one record moves every released row"),
                                HasSubstr("give public constants")));
  s.data.standardize = Standardize::kConstants;
  EXPECT_EQ(refusal(s), "");
  s = vanilla();
  s.data.standardize = Standardize::kTraining;
  EXPECT_EQ(refusal(s), "") << "message-noise states its level given the scaling";
}

TEST_F(PrivacyRefusals, ZeroOutInBothRegimes) {
  for (StudyConfig s : {release_once(), vanilla()}) {
    s.privacy.relation = Relation::kZeroOut;
    EXPECT_THAT(refusal(s), AllOf(HasSubstr("privacy.relation 'zero-out'"), HasSubstr("visible"), HasSubstr("use replace-one")));
    s.privacy.mechanism = Mechanism::kNone;
    s.privacy.regime = Regime::kMessageNoise;
    EXPECT_EQ(refusal(s), "") << "the switched-off mechanism has no relation";
  }
}

TEST_F(PrivacyRefusals, AveragingAFrozenFrontOfReleaseOnce) {
  StudyConfig s = release_once();
  s.schedule.average = {"front"};
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("schedule.average lists 'front'"), HasSubstr("nothing to average")));
  s.data.sites = {"north"};
  EXPECT_THAT(refusal(s), HasSubstr("schedule.average lists 'front'"));
  s = release_once();
  s.schedule.tail = Tail::kPerClient;
  s.schedule.average = {"tail"};
  EXPECT_EQ(refusal(s), "") << "copies at the server average in place";
}

TEST_F(PrivacyRefusals, RowSettingsThatAGradientCannotBear) {
  StudyConfig s = u_shaped();
  s.privacy.relation = Relation::kReplaceOneNonnegative;
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("replace-one-nonnegative"), HasSubstr("body>head")));
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_EQ(refusal(s), "");
  s = u_shaped();
  s.privacy.scale_to_norm = true;
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("privacy.scale_to_norm"), HasSubstr("body>head")));
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_EQ(refusal(s), "");
}

TEST_F(PrivacyRefusals, ANoDataRuleOfAnotherWidth) {
  StudyConfig s = release_once();
  s.privacy.no_data_rule = {1, 2, 3, 4};
  EXPECT_THAT(refusal(s), AllOf(HasSubstr("privacy.no_data_rule has 4 weights"), HasSubstr("front>tail has 5 values")));
  s.privacy.no_data_rule = {1, 2, 3, 4, 5};
  EXPECT_EQ(refusal(s), "");
  s.privacy.no_data_rule = {1};
  EXPECT_EQ(refusal(s), "");
  s = sound("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  s.privacy.no_data_rule = {1, 2, 3};
  EXPECT_THAT(refusal(s), HasSubstr("front_laboratory>join has 2 values")) << "every guarded route counts";
}

TEST_F(PrivacyRefusals, AMechanismInAStudyWithoutRoutesBetweenParties) {
  StudyConfig s = sound("local", kMlp, kNoPrivacy, "[pooled]");
  EXPECT_THAT(refusal(study("local", kMlp, kMessageNoise, "[pooled]")),
              HasSubstr("privacy.mechanism is 'rows', but no route between parties has a guard"));
}

TEST_F(PrivacyRefusals, ALayerWithoutBackwardOnAGradientsWay) {
  const std::string fc = "{name: fc, type: linear, outputs: 4}", rows = "{name: rows, type: unit_rows}";
  const std::string out = "{name: out, type: linear, outputs: -1}";
  const auto said = [&](const std::string& layers, const std::string& more) {
    return refusal(study("vanilla", "layers: [" + layers + "], " + more, kNoPrivacy));
  };
  const auto named = AllOf(HasSubstr("layer 'rows'"), HasSubstr("without a backward"));
  const std::string behind = fc + ", " + rows + ", " + out;
  EXPECT_THAT(said(behind, "cuts: [rows]"), AllOf(named, HasSubstr("segment 'front'"))) << "in its own segment";
  EXPECT_THAT(said(behind, "cuts: [fc]"), AllOf(named, HasSubstr("segment 'tail'"))) << "behind a segment that trains";
  EXPECT_EQ(said(behind, "cuts: [rows], frozen: [front]"), "");
  EXPECT_EQ(said(behind, "cuts: [fc], frozen: [front]"), "") << "first in the tail, nothing before it trains";
  EXPECT_EQ(said(rows + ", " + fc + ", " + out, "cuts: [fc]"), "") << "before the first layer with parameters";
  EXPECT_EQ(refusal(study("local", "layers: [" + rows + ", " + out + "]", kNoPrivacy, "[pooled]")), "");
}

}  // namespace
}  // namespace sutura
