// A hospital's own policy against plans: whatever leaves without being listed is named; what is listed passes.
#include "runtime/topology/site_policy.h"

#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
namespace fs = std::filesystem;

const fs::path kConfigs = fs::path(SUTURA_SOURCE_DIR) / "configs";
const std::string kCutOne = std::string(kMlp) + ", cuts: [act1]";
const std::string kCutTwo = std::string(kMlp) + ", cuts: [act1, act2]";

constexpr const char* kRows = R"(  - {what: activation, edge: "*>*", guard: rows}
  - {what: gradient, edge: "*>*", guard: rows}
)";
constexpr const char* kLabels = "  - {what: labels, edge: \"y>loss\"}\n";
constexpr const char* kCounts = "  - {what: counts}\n";
constexpr const char* kMetrics = "  - {what: metrics}\n";
constexpr const char* kBudget = " maximum_epsilon: 50\n maximum_delta: 1e-5\n";

class SitePolicyTest : public PlanCase {
 protected:
  SitePolicyTest() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    file_ = fs::temp_directory_path() / ("sutura_policy_" + std::to_string(::getpid()) + test->name() + ".yaml");
  }
  ~SitePolicyTest() override {
    std::error_code ignored;
    fs::remove(file_, ignored);
  }

  /// A policy of these lines; the first stands in line 4.
  SitePolicy policy(const std::string& allow, const std::string& limits = kBudget) const {
    std::ofstream(file_) << "site_policy:\n name: ours\n allow:" << (allow.empty() ? " []" : "") << "\n" << allow << limits;
    return load_site_policy(file_);
  }
  /// What enforce() refuses the study with, the policy's file called FILE; empty when it does not.
  static std::string refused(const SitePolicy& policy, const StudyConfig& study, const Plan& plan, const std::string& party) {
    try {
      enforce(policy, plan, study, plan.party_index(party));
      return {};
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      EXPECT_EQ(exit_status(e.code()), 3);
      std::string text = e.what();
      for (std::size_t i; (i = text.find(policy.file)) != std::string::npos;) text.replace(i, policy.file.size(), "FILE");
      return text;
    }
  }
  static std::string refused(const SitePolicy& policy, const StudyConfig& study, const std::string& party = "hospital") {
    return refused(policy, study, compiled(study), party);
  }
  StudyConfig vanilla(const std::string& more = {}) { return study("vanilla", kCutOne, kMessageNoise, "[north, south]", more); }
  StudyConfig u_shaped() { return study("u_shaped", kCutTwo, kMessageNoise); }

 private:
  fs::path file_;
};

TEST_F(SitePolicyTest, WhatIsListedPasses) {
  EXPECT_EQ(refused(policy(std::string(kRows) + kLabels + kCounts), vanilla()), "");
  EXPECT_EQ(refused(policy(std::string(kRows) + kCounts + kMetrics), u_shaped()), "");
  // The server's unguarded gradient comes to the hospital: no line of the hospital's policy is asked.
  EXPECT_EQ(
      refused(policy("  - {what: activation, edge: front>tail, guard: rows}\n" + std::string(kLabels) + kCounts), vanilla()), "");
  // A policy that accepts the clear accepts the guarded as well.
  EXPECT_EQ(
      refused(policy("  - {what: activation, edge: front>tail, guard: none}\n" + std::string(kLabels) + kCounts), vanilla()), "");
}

TEST_F(SitePolicyTest, AWeakerGuardIsRefusedOnEachLeg) {
  const SitePolicy rows = policy(std::string(kRows) + kCounts + kMetrics);
  StudyConfig s = u_shaped();
  route_named(s, "front", "body").activation = GuardKind::kNone;
  EXPECT_EQ(refused(rows, s),
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  activation front>body to server, unguarded: FILE:4:5 asks for guard: rows");
  s = u_shaped();
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_EQ(refused(rows, s),
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  gradient body>head to server, unguarded: FILE:5:5 asks for guard: rows");
  // Guards that the topology names do nothing without a mechanism.
  EXPECT_THAT(
      refused(rows, study("u_shaped", kCutTwo, kNoPrivacy)),
      AllOf(HasSubstr("activation front>body to server, unguarded"), HasSubstr("gradient body>head to server, unguarded")));
}

TEST_F(SitePolicyTest, AnEdgeThatIsNotListedIsRefused) {
  EXPECT_EQ(
      refused(policy("  - {what: activation, edge: \"front>head\", guard: none}\n" + std::string(kLabels) + kCounts), vanilla()),
      "the site policy 'ours' does not let this study leave hospital:\n"
      "  activation front>tail to server, guarded rows: no line of FILE allows it");
  const std::string others = "  - {what: activation, edge: \"*>tail\", guard: rows}\n" + std::string(kLabels) + kCounts;
  EXPECT_EQ(refused(policy(others), vanilla()), "");
  EXPECT_THAT(refused(policy(std::string(kLabels) + kCounts, ""), vanilla()), HasSubstr("activation front>tail"));
}

TEST_F(SitePolicyTest, LabelsLeaveOnlyWhereTheyAreListed) {
  const std::string found = refused(policy(std::string(kRows) + kCounts), vanilla());
  EXPECT_EQ(found,
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  labels y>loss to server, in clear: no line of FILE allows it");
  EXPECT_THAT(refused(policy(std::string(kRows) + kCounts + "  - {what: labels, edge: \"z>loss\"}\n"), vanilla()),
              HasSubstr("labels y>loss to server"));
}

TEST_F(SitePolicyTest, ALargerBudgetIsRefused) {
  const std::string lines = std::string(kRows) + kLabels + kCounts;
  EXPECT_EQ(refused(policy(lines, " maximum_epsilon: 49.5\n maximum_delta: 1e-6\n"), vanilla()),
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  privacy.epsilon 50: FILE:8:2 accepts at most 49.5\n"
            "  privacy.delta 1e-05: FILE:9:2 accepts at most 1e-06");
  // The budget of a study that releases no rows from here is nobody's promise.
  EXPECT_THAT(refused(policy(lines, " maximum_epsilon: 49.5\n maximum_delta: 1e-6\n"), study("vanilla", kCutOne, kNoPrivacy)),
              Not(HasSubstr("privacy.epsilon")));
}

TEST_F(SitePolicyTest, WeightsNeedALineThatIsWeakEnough) {
  const std::string lines = std::string(kRows) + kLabels + kCounts;
  const StudyConfig averaged = vanilla("schedule: {average: [front]}\n");
  EXPECT_THAT(refused(policy(lines), averaged), HasSubstr("\n  weights front to server, in clear: no line of FILE allows it"));
  EXPECT_THAT(refused(policy(lines + "  - {what: weights, segment: front, protection: sealed}\n"), averaged),
              HasSubstr("\n  weights front to server, in clear: FILE:8:5 asks for protection: sealed"));
  EXPECT_THAT(refused(policy(lines + "  - {what: weights, segment: tail, protection: clear}\n"), averaged),
              HasSubstr("weights front to server"));
  EXPECT_EQ(refused(policy(lines + "  - {what: weights, segment: front, protection: clear}\n"), averaged), "");
  EXPECT_EQ(refused(policy(lines + "  - {what: weights, segment: \"*\", protection: clear}\n"), averaged), "");
}

TEST_F(SitePolicyTest, ADeliveryToTheServerIsWeightsInClear) {
  StudyConfig s = study("vanilla", kCutOne, kMessageNoise, "[north]");
  s.topology.deliver = {{"front", "server"}};
  EXPECT_THAT(refused(policy(std::string(kRows) + kLabels + kCounts), s), HasSubstr("weights front to server, in clear"));
  s.topology.deliver = {{"tail", "hospital"}};
  EXPECT_EQ(refused(policy(std::string(kRows) + kLabels + kCounts), s), "") << "what comes in is not what leaves";
}

TEST_F(SitePolicyTest, AHandOverBetweenSitesIsSealedWeights) {
  const std::string lines = std::string(kRows) + kLabels + kCounts;
  const StudyConfig s = vanilla();
  Plan plan = compiled(s);
  plan.weights.push_back({.segment = "front", .from_party = 0, .to_party = 0});
  EXPECT_THAT(refused(policy(lines), s, plan, "hospital"),
              HasSubstr("\n  weights front to the next site, sealed: no line of FILE allows it"));
  for (const char* protection : {"sealed", "clear"})
    EXPECT_EQ(
        refused(policy(lines + "  - {what: weights, segment: front, protection: " + protection + "}\n"), s, plan, "hospital"),
        "");
}

TEST_F(SitePolicyTest, AnotherCutIsRefused) {
  const std::string lines = std::string(kRows) + kLabels + kCounts + kMetrics;
  const auto cuts = [&](const std::string& list) {
    return policy(lines, std::string(kBudget) + " allowed_cuts: " + list + "\n");
  };
  EXPECT_EQ(refused(cuts("[act1]"), vanilla()), "");
  EXPECT_EQ(refused(cuts("[act1]"), study("vanilla", std::string(kMlp) + ", cuts: [act2]", kMessageNoise)),
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  activation front>tail, cut after layer act2: FILE:11:2 does not list it");
  EXPECT_EQ(refused(cuts("[act1, act2]"), u_shaped()), "");
  EXPECT_THAT(refused(cuts("[act1]"), u_shaped()), HasSubstr("\n  gradient body>head, cut after layer act2: "));
  EXPECT_THAT(refused(cuts("[]"), vanilla()), HasSubstr("cut after layer act1"));
}

TEST_F(SitePolicyTest, CutsOfSegmentsByThemselvesAndBehindJoins) {
  const std::string lines = std::string(kRows) + kLabels + kCounts + kMetrics;
  const auto cuts = [&](const std::string& list) {
    return policy(lines, std::string(kBudget) + " allowed_cuts: " + list + "\n");
  };
  const StudyConfig s = study("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  EXPECT_EQ(refused(cuts("[laboratory_fc]"), s, "laboratory"), "");
  EXPECT_THAT(refused(cuts("[clinic_fc]"), s, "laboratory"),
              HasSubstr("activation front_laboratory>join, cut after layer laboratory_fc: "));
  EXPECT_EQ(refused(cuts("[clinic_fc]"), s, "clinic"), "");
  // A ready network knows the names of its layers; the study file does not.
  const StudyConfig zoo =
      study("vanilla", "segments: {front: {zoo: mlp, hidden: [5]}, tail: {layers: [{name: out, type: linear, outputs: -1}]}}",
            kMessageNoise);
  const std::string found = refused(cuts("[nothing]"), zoo);
  EXPECT_THAT(found, HasSubstr("activation front>tail, cut after layer "));
  const std::size_t at = found.find("layer ") + 6;
  EXPECT_EQ(refused(cuts(std::string("[") + found.substr(at, found.find(':', at) - at) + "]"), zoo), "");
}

TEST_F(SitePolicyTest, CountsMetricsAndAlignmentAreListedToo) {
  EXPECT_THAT(refused(policy(std::string(kRows) + kLabels), vanilla()),
              HasSubstr("\n  counts: numbers of records per split, backend, version, in clear: no line of FILE allows it"));
  EXPECT_EQ(refused(policy(std::string(kRows) + kCounts), u_shaped()), "") << "figures stay where the records are";
  StudyConfig selects = u_shaped();
  selects.training.patience = 3;
  EXPECT_THAT(refused(policy(std::string(kRows) + kCounts), selects),
              HasSubstr("\n  metrics: losses and figures of the records here, in clear: no line of FILE allows it"));
  StudyConfig s = study("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  const Plan plan = compiled(s);
  s.data.party_tables = {{"clinic", {}}, {"laboratory", {}}};
  const std::string lines = std::string(kRows) + kLabels + kCounts;
  EXPECT_THAT(refused(policy(lines), s, plan, "laboratory"),
              HasSubstr("\n  alignment: blinded identifiers, set sizes, splits, blinded"));
  EXPECT_EQ(refused(policy(lines + "  - {what: alignment}\n"), s, plan, "laboratory"), "");
  EXPECT_EQ(refused(policy(std::string(kCounts) + kMetrics), s, plan, "server"),
            "the site policy 'ours' does not let this study leave server:\n"
            "  gradient front_clinic>join to clinic, unguarded: no line of FILE allows it\n"
            "  gradient front_laboratory>join to laboratory, unguarded: no line of FILE allows it");
}

TEST_F(SitePolicyTest, WhereNothingLeavesNothingNeedsToBeListed) {
  EXPECT_EQ(refused(policy("", ""), study("local", kMlp, kNoPrivacy, "[north]")), "");
}

TEST_F(SitePolicyTest, AllRefusalsComeAtOnce) {
  const std::string found = refused(policy("", ""), vanilla("schedule: {average: [front]}\n"));
  EXPECT_EQ(found,
            "the site policy 'ours' does not let this study leave hospital:\n"
            "  activation front>tail to server, guarded rows: no line of FILE allows it\n"
            "  labels y>loss to server, in clear: no line of FILE allows it\n"
            "  weights front to server, in clear: no line of FILE allows it\n"
            "  counts: numbers of records per split, backend, version, in clear: no line of FILE allows it");
}

TEST_F(SitePolicyTest, ShippedPoliciesAgainstShippedStudies) {
  const auto shipped = [](const char* policy, const char* study) {
    const StudyConfig s = load_study(kConfigs / study).config;
    return refused(load_site_policy(kConfigs / "egress" / policy), s, "hospital");
  };
  EXPECT_EQ(shipped("guarded_rows_public_labels.yaml", "wdbc_release_once.yaml"), "");
  EXPECT_THAT(shipped("guarded_rows.yaml", "wdbc_release_once.yaml"), HasSubstr("labels y>loss"));
  EXPECT_THAT(
      shipped("guarded_rows_public_labels.yaml", "wdbc_vanilla.yaml"),
      AllOf(HasSubstr("weights front to server, in clear"), HasSubstr("privacy.epsilon 250"), Not(HasSubstr("labels y"))));
  EXPECT_EQ(shipped("research_clear.yaml", "wdbc_vanilla.yaml"), "");
  StudyConfig s = u_shaped();
  s.privacy.epsilon = 8;
  EXPECT_EQ(refused(load_site_policy(kConfigs / "egress/guarded_rows.yaml"), s), "");
}

}  // namespace
}  // namespace sutura
