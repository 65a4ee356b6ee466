// Guarded studies of every topology run to their end inside the budget that they were calibrated for.
#include "tests/equivalence/split_run.h"

namespace sutura {
namespace {

using namespace sutura::testing;

constexpr const char* kMessageNoise =
    "{mechanism: rows, regime: message-noise, relation: replace-one, epsilon: 60, delta: 1e-5, clip_norm: 1, wire: int16, "
    "labels: public}";
constexpr const char* kReleaseOnce =
    "{mechanism: rows, regime: release-once, relation: replace-one, epsilon: 20, delta: 1e-5, clip_norm: 1, wire: int16, "
    "labels: public}";
constexpr const char* kVerticalSegments =
    "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 5}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 3}]}, "
    "tail: {layers: [{name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";
constexpr const char* kColumns =
    ", party_columns: {clinic: [c0, c1, c2, c3], laboratory: [c4, c5]}, party_shapes: {clinic: [4], laboratory: [2]}";

StudyText study(const std::string& topology, const std::string& network, const std::string& privacy) {
  StudyText t;
  t.topology = topology;
  t.network = network;
  t.sites = {"north"};
  t.record = {1, 6};
  t.epochs = 4;
  t.privacy = privacy;
  if (topology == "vertical") t.data_more = kColumns;
  return t;
}

class GuardedRuns : public SplitRun {
 protected:
  /// Runs to the end; the most-released record has spent the budget that the plan gave it, and no more.
  void expect_budget_just_spent(const StudyText& text) {
    std::vector<SiteData> sites;
    for (const std::string& name : text.sites) sites.push_back(make_site(name, {1, 6}, {20}));
    const Trained t = run(text, sites);
    const double spent = t.result.epochs.back().epsilon;
    EXPECT_LE(spent, t.prepared->study().privacy.epsilon);
    EXPECT_NEAR(spent, t.prepared->guard->epsilon, 1e-6 * spent) << "the plan counts the releases that are made";
    ASSERT_TRUE(t.result.test.has_value());
  }
};

TEST_F(GuardedRuns, Vanilla) {
  StudyText t = study("vanilla", "zoo: mlp, hidden: [5, 4], cuts: [act1]", kMessageNoise);
  expect_budget_just_spent(t);
  t.sites = {"north", "south"};
  t.micro_batches = 3;
  t.schedule = "{visit: in_turn, average: [front]}";
  expect_budget_just_spent(t);
}

TEST_F(GuardedRuns, UShapedReleasesTwiceAnEpoch) {
  StudyText t = study("u_shaped", "zoo: mlp, hidden: [5, 4], cuts: [act1, act2]", kMessageNoise);
  expect_budget_just_spent(t);
  t.sites = {"north", "south"};
  expect_budget_just_spent(t);
}

TEST_F(GuardedRuns, Vertical) {
  expect_budget_just_spent(study("vertical", kVerticalSegments, kMessageNoise));
  expect_budget_just_spent(study("vertical", std::string(kVerticalSegments) + ", frozen: [front_clinic]", kMessageNoise));
}

TEST_F(GuardedRuns, VerticalReleaseOnce) {
  StudyText t = study("vertical", std::string(kVerticalSegments) + ", frozen: [front_clinic, front_laboratory]", kReleaseOnce);
  std::vector<SiteData> sites;
  sites.push_back(make_site("north", {1, 6}, {20}));
  const Trained once = run(t, sites);
  EXPECT_LE(once.result.epochs.back().epsilon, 20.0);
  EXPECT_EQ(once.result.epochs.size(), 4u);
  EXPECT_TRUE(once.files.contains("server/tail"));
}

TEST_F(GuardedRuns, NoiseIsNotRepeated) {
  // Privacy noise comes from the operating system: two runs with one seed differ.
  const StudyText t = study("vanilla", "zoo: mlp, hidden: [5, 4], cuts: [act1]", kMessageNoise);
  std::vector<SiteData> sites;
  sites.push_back(make_site("north", {1, 6}, {20}));
  EXPECT_NE(difference(run(t, sites).weights(), run(t, sites).weights()), "");
}

}  // namespace
}  // namespace sutura
