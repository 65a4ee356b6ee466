// What a site policy file becomes, and what is refused in it.
#include "runtime/config/site_policy.h"

#include <gmock/gmock.h>

#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kPolicy = R"(site_policy:
  name: ours
  allow:
    - {what: activation, edge: "front>*", guard: rows}
    - {what: gradient, edge: "body>head", guard: none}
    - {what: labels, edge: "*>*"}
    - {what: weights, segment: front, protection: sealed}
    - {what: counts}
    - {what: metrics}
    - {what: alignment}
  maximum_epsilon: 2.5
  maximum_delta: 1e-6
  allowed_cuts: [act1, block2.out]
)";

class SitePolicyFile : public StudyFolder {
 protected:
  SitePolicy policy(std::string_view text) const { return load_site_policy(write("policy.yaml", text)); }
  std::string refused(std::string_view text) const {
    try {
      policy(text);
      return {};
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Errc::kConfig);
      return without_folder(e.what());
    }
  }
  std::string refused(std::string_view from, std::string_view to) const { return refused(study_with(from, to, kPolicy)); }
};

TEST_F(SitePolicyFile, EveryKeyArrives) {
  const SitePolicy p = policy(kPolicy);
  EXPECT_EQ(p.name, "ours");
  EXPECT_EQ(without_folder(p.file), "policy.yaml");
  ASSERT_EQ(p.allow.size(), 7u);
  EXPECT_EQ(p.allow[0].what, Carried::kActivation);
  EXPECT_EQ(p.allow[0].edge, "front>*");
  EXPECT_EQ(p.allow[0].guard, GuardKind::kRows);
  EXPECT_EQ(without_folder(p.allow[0].place), "policy.yaml:4:7");
  EXPECT_EQ(p.allow[1].what, Carried::kGradient);
  EXPECT_EQ(p.allow[1].guard, GuardKind::kNone);
  EXPECT_EQ(p.allow[2].what, Carried::kLabels);
  EXPECT_EQ(p.allow[3].what, Carried::kWeights);
  EXPECT_EQ(p.allow[3].segment, "front");
  EXPECT_EQ(p.allow[3].protection, Protection::kSealed);
  EXPECT_EQ(p.allow[4].what, Carried::kCounts);
  EXPECT_EQ(p.allow[5].what, Carried::kMetrics);
  EXPECT_EQ(p.allow[6].what, Carried::kAlignment);
  EXPECT_EQ(p.maximum_epsilon->value, 2.5);
  EXPECT_EQ(without_folder(p.maximum_epsilon->place), "policy.yaml:11:3");
  EXPECT_EQ(p.maximum_delta->value, 1e-6);
  EXPECT_THAT(p.allowed_cuts->value, ElementsAre("act1", "block2.out"));
  EXPECT_EQ(without_folder(p.allowed_cuts->place), "policy.yaml:13:3");
}

TEST_F(SitePolicyFile, AnEmptyListAllowsNothingAndAnEmptyListOfCutsNoCut) {
  const SitePolicy p = policy("site_policy: {name: closed, allow: [], allowed_cuts: []}\n");
  EXPECT_TRUE(p.allow.empty());
  EXPECT_FALSE(p.maximum_epsilon);
  ASSERT_TRUE(p.allowed_cuts);
  EXPECT_TRUE(p.allowed_cuts->value.empty());
  EXPECT_FALSE(policy("site_policy: {name: closed, allow: []}\n").allowed_cuts);
}

TEST_F(SitePolicyFile, NothingHasADefaultAndNothingUnknownIsRead) {
  EXPECT_EQ(refused("guard: rows}", "gaurd: rows}"),
            "policy.yaml:4:7: error: site_policy.allow[0].guard is required\n"
            "      - {what: activation, edge: \"front>*\", gaurd: rows}\n        ^\n"
            "  hint: Activation, gradient: the weakest guard that is accepted; `none` accepts it in clear.\n"
            "policy.yaml:4:43: error: unknown key site_policy.allow[0].gaurd\n"
            "      - {what: activation, edge: \"front>*\", gaurd: rows}\n                                            ^\n"
            "  hint: did you mean guard?");
  EXPECT_THAT(refused("{what: counts}", "{what: counts, guard: rows}"), HasSubstr("unknown key site_policy.allow[4].guard"));
  EXPECT_THAT(refused("{what: labels, edge: \"*>*\"}", "{what: labels}"), HasSubstr("site_policy.allow[2].edge is required"));
  EXPECT_THAT(refused(", protection: sealed", ""), HasSubstr("site_policy.allow[3].protection is required"));
  EXPECT_THAT(refused("  name: ours\n", ""), HasSubstr("site_policy.name is required"));
  EXPECT_THAT(refused("site_policy: {name: a}\n"), HasSubstr("site_policy.allow is required"));
  EXPECT_THAT(refused("other: 1\n"), HasSubstr("site_policy is required"));
  EXPECT_THAT(refused(std::string(kPolicy) + "study: s\n"), HasSubstr("unknown key study"));
  EXPECT_THAT(refused("{what: counts}", "{what: count}"), HasSubstr("did you mean counts?"));
  EXPECT_THAT(refused("{what: counts}", "{edge: a}"), HasSubstr("site_policy.allow[4].what is required"));
}

TEST_F(SitePolicyFile, GuardedRowsNeedABudget) {
  EXPECT_THAT(refused("  maximum_epsilon: 2.5\n", ""), HasSubstr("site_policy.maximum_epsilon is required beside guard: rows"));
  EXPECT_THAT(refused("  maximum_delta: 1e-6\n", ""), HasSubstr("site_policy.maximum_delta is required beside guard: rows"));
  EXPECT_THAT(refused("maximum_epsilon: 2.5", "maximum_epsilon: 0"),
              HasSubstr("site_policy.maximum_epsilon must be > 0 (got 0)"));
  EXPECT_THAT(refused("maximum_epsilon: 2.5", "maximum_epsilon: .inf"), HasSubstr("only finite numbers"));
}

TEST_F(SitePolicyFile, EdgesAreTwoNodesOrStars) {
  for (const char* bad : {"*", "front", ">", "a>", "fr*>b", "a>b>c", "a > b"})
    EXPECT_THAT(refused("\"front>*\"", std::string("\"") + bad + "\""), HasSubstr("site_policy.allow[0].edge must be from>to"))
        << bad;
}

}  // namespace
}  // namespace sutura
