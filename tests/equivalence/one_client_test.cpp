// One hospital: every topology that splits the network trains it exactly as the unsplit network trains, to the last bit.
#include "tests/equivalence/split_run.h"

namespace sutura {
namespace {

using namespace sutura::testing;

/// Dropout draws by layer name, step and micro-batch, so it too must not notice the cut.
constexpr const char* kNetwork = "zoo: mlp, hidden: [7, 6, 5], dropout: 0.25, activation: gelu";

std::vector<SiteData> one_site(std::int64_t records = 29) {
  std::vector<SiteData> sites;
  sites.push_back(make_site("north", {1, 6}, {records}));
  return sites;
}

StudyText study(const std::string& topology, const std::string& cuts, std::int64_t micro_batches = 1) {
  StudyText t;
  t.topology = topology;
  t.network = kNetwork + (cuts.empty() ? "" : ", cuts: [" + cuts + "]");
  t.sites = {"north"};
  t.record = {1, 6};
  t.micro_batches = micro_batches;
  t.epochs = 3;
  return t;
}

struct Split {
  std::string name, topology, cuts;
  friend void PrintTo(const Split& s, std::ostream* out) { *out << s.name; }
};
const Split kSplits[] = {
    {"vanilla", "vanilla", "act1"},
    {"u_shaped", "u_shaped", "drop1, act3"},
    {"chain_to_the_hospital", chain_topology("hospital"), "act1, fc2, drop3"},
    {"chain_to_the_server", chain_topology("server"), "fc1, drop2, act3"},
    {"federated", kFederated, ""},
};

class OneClient : public SplitRun, public ::testing::WithParamInterface<std::tuple<Split, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(Topologies, OneClient, ::testing::Combine(::testing::ValuesIn(kSplits), ::testing::Values(1, 3)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_" + std::to_string(std::get<1>(info.param));
                         });

TEST_P(OneClient, EqualsTheUnsplitNetwork) {
  const auto& [split, micro_batches] = GetParam();
  const auto sites = one_site();
  const Trained whole = run(study("local", "", micro_batches), sites);
  ASSERT_EQ(whole.result.epochs.size(), 3u);
  EXPECT_NE(whole.losses().back(), whole.losses().front()) << "the unsplit network trains";
  const Trained parts = run(study(split.topology, split.cuts, micro_batches), sites);
  EXPECT_EQ(parts.files.size(), parts.prepared->segments.names.size());
  expect_same_run(parts, whole);
}

class EveryCut : public SplitRun, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(Mlp, EveryCut, ::testing::Values("fc1", "act1", "drop1", "fc2", "act2", "drop2", "fc3", "act3", "drop3"),
                         [](const auto& info) { return info.param; });

TEST_P(EveryCut, EqualsTheUnsplitNetwork) {
  const auto sites = one_site(17);
  expect_same_run(run(study("vanilla", GetParam(), 2), sites), run(study("local", "", 2), sites));
}

class OneClientSettings : public SplitRun {};

TEST_F(OneClientSettings, GradientClippingCountsPerSegment) {
  // The norm is that of a segment's gradient, so a split clips otherwise than the whole network, and says so in its key.
  const auto sites = one_site();
  StudyText whole = study("local", ""), split = study("vanilla", "act1");
  whole.training_more = split.training_more = ", clip_gradients: 0.05";
  EXPECT_NE(difference(run(split, sites).weights(), run(whole, sites).weights()), "");
  whole.training_more = split.training_more = ", clip_gradients: 1000";
  expect_same_run(run(split, sites), run(whole, sites));
}

TEST_F(OneClientSettings, SgdWithMomentum) {
  const auto sites = one_site();
  StudyText whole = study("local", "", 3), split = study("u_shaped", "act1, act2", 3);
  whole.optimizer = split.optimizer = "{name: sgd, learning_rate: 0.1, momentum: 0.9, weight_decay: 0.01}";
  expect_same_run(run(split, sites), run(whole, sites));
}

TEST_F(OneClientSettings, AFrozenFrontStaysAsItStarted) {
  const auto sites = one_site();
  StudyText whole = study("local", ""), split = study("vanilla", "act1");
  split.network += ", frozen: [front]";
  const Trained frozen = run(split, sites);
  split.epochs = 1;
  const Trained shorter = run(split, sites);
  EXPECT_EQ(difference(frozen.files.at("north/front"), shorter.files.at("north/front")), "");
  EXPECT_NE(difference(frozen.files.at("server/tail"), shorter.files.at("server/tail")), "");
}

TEST_F(OneClientSettings, MoreMicroBatchesThanTheChannelHolds) {
  // Forward messages of a turn pile up at the server while gradients pile up at the hospital.
  const auto sites = one_site(600);
  StudyText whole = study("local", "", 300), split = study("vanilla", "act1", 300);
  whole.batch_size = split.batch_size = 300;
  whole.epochs = split.epochs = 1;
  expect_same_run(run(split, sites), run(whole, sites));
}

// ---- negative controls: the comparison sees what it should ------------------------------------------------------------------

TEST_F(OneClientSettings, AnotherSeedIsSeen) {
  const auto sites = one_site();
  StudyText other = study("vanilla", "act1");
  other.seed += 1;
  const Trained whole = run(study("local", ""), sites), split = run(other, sites);
  EXPECT_NE(difference(split.weights(), whole.weights()), "");
  EXPECT_NE(split.losses(), whole.losses());
}

TEST_F(OneClientSettings, OneMissingRecordIsSeen) {
  const auto sites = one_site();
  std::vector<SiteData> fewer;
  fewer.push_back(without_record(sites[0], 4));
  const Trained whole = run(study("local", ""), sites), split = run(study("vanilla", "act1"), fewer);
  EXPECT_NE(difference(split.weights(), whole.weights()), "");
}

TEST_F(OneClientSettings, AnotherNumberOfMicroBatchesIsSeen) {
  // The sum is the same, its order is not: equal to float tolerance, not to the bit.
  const auto sites = one_site(90);
  StudyText one = study("local", "", 1), three = study("vanilla", "act1", 3);
  one.network = "zoo: mlp, hidden: [7, 6, 5]";
  three.network = one.network + ", cuts: [act1]";
  one.batch_size = three.batch_size = 45;
  one.optimizer = three.optimizer = "{name: sgd, learning_rate: 0.1, momentum: 0.9}";
  const Weights a = run(one, sites).weights(), b = run(three, sites).weights();
  EXPECT_NE(difference(a, b), "");
  EXPECT_LT(relative_distance(a, b), 1e-5) << "a few hundred rounded sums of float32";
}

TEST_F(OneClientSettings, RunsRepeatToTheBit) {
  const auto sites = one_site();
  expect_same_run(run(study("vanilla", "act1", 3), sites), run(study("vanilla", "act1", 3), sites));
}

}  // namespace
}  // namespace sutura
