// training.class_weights reaches the loss, wherever it lies; and sites of very unequal size each train every record once.
#include <cmath>

#include "tests/engine/fit_case.h"
#include "tests/equivalence/straight_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;

const std::vector<std::string> kNames = {"north", "east", "south"};

std::vector<SiteData> sites(const std::vector<std::int64_t>& records) {
  std::vector<SiteData> all;
  for (std::size_t i = 0; i < records.size(); ++i) all.push_back(make_site(kNames[i], {1, 6}, {records[i]}, 17 + i));
  return all;
}

StudyText study(const std::string& topology, const std::string& cuts, std::size_t count, const std::string& schedule) {
  StudyText t;
  t.topology = topology;
  t.network = "zoo: mlp, hidden: [7, 6]" + (cuts.empty() ? "" : ", cuts: [" + cuts + "]");
  t.sites.assign(kNames.begin(), kNames.begin() + static_cast<std::ptrdiff_t>(count));
  t.record = {1, 6};
  t.schedule = schedule;
  t.epochs = 3;
  return t;
}

std::vector<OracleSegment> chain(const std::vector<std::string>& cuts, const std::vector<std::pair<Copies, RoundEnd>>& kinds) {
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6};
  std::vector<Network> networks = build_network(spec, {1, 6}, 1).cut_after(cuts);
  std::vector<OracleSegment> segments;
  for (std::size_t g = 0; g < networks.size(); ++g) segments.push_back({std::move(networks[g]), kinds[g].first, kinds[g].second});
  return segments;
}

constexpr auto kShared = std::pair(Copies::kOne, RoundEnd::kNothing);
constexpr auto kOwn = std::pair(Copies::kPerSite, RoundEnd::kNothing);
constexpr auto kAveraged = std::pair(Copies::kPerSite, RoundEnd::kMeanBySamples);

class ClassWeights : public SplitRun {};

TEST_F(ClassWeights, ASplitEqualsTheWeightedStraightLine) {
  const auto data = sites({23, 9});
  StudyText text = study("vanilla", "act1", 2, "{visit: together, average: [front]}");
  text.training_more = ", class_weights: [0.25, 3]";
  OracleSchedule s = schedule_of(text);
  s.class_weights = {0.25, 3.0};
  const OracleResult oracle = train_straight(chain({"act1"}, {kAveraged, kShared}), data, s);
  const Trained weighted = run(text, data);
  EXPECT_EQ(weighted.losses(), oracle.losses);
  EXPECT_EQ(difference(weighted.files.at("server/tail"), oracle.copies[1][0]), "");
  for (std::size_t k = 0; k < 2; ++k) EXPECT_EQ(difference(weighted.files.at(kNames[k] + "/front"), oracle.copies[0][k]), "");

  text.training_more = ", class_weights: [3, 0.25]";
  const Trained turned = run(text, data);
  EXPECT_NE(difference(turned.files.at("server/tail"), oracle.copies[1][0]), "") << "their order matters";
  text.training_more = "";
  const Trained plain = run(text, data);
  EXPECT_NE(difference(plain.files.at("server/tail"), oracle.copies[1][0]), "") << "negative control";
  text.training_more = ", class_weights: [1, 1]";
  EXPECT_EQ(difference(run(text, data).files.at("server/tail"), plain.files.at("server/tail")), "");
}

TEST_F(ClassWeights, SplitAndUnsplitAgreeWhereverTheLossLies) {
  const auto data = sites({29});
  const auto weighted = [&](const std::string& topology, const std::string& cuts) {
    StudyText t = study(topology, cuts, 1, "{visit: together}");
    t.training_more = ", class_weights: [0.5, 4]";
    return run(t, data);
  };
  const Trained whole = weighted("local", "");
  expect_same_run(weighted("vanilla", "act1"), whole);
  expect_same_run(weighted("u_shaped", "act1, act2"), whole);
  expect_same_run(weighted(kFederated, ""), whole);
  StudyText plain = study("local", "", 1, "{visit: together}");
  EXPECT_NE(difference(run(plain, data).weights(), whole.weights()), "") << "negative control";
}

TEST_F(ClassWeights, AHeavyClassIsFoundMoreOften) {
  const auto data = sites({120});
  const auto share_of_ones = [&](const std::string& weights) {
    StudyText t = study("vanilla", "act1", 1, "{visit: together}");
    t.training_more = ", class_weights: " + weights;
    t.epochs = 8;
    const Trained trained = run(t, data);
    const auto& scores = trained.result.scores.at({0, Split::kTest}).values;
    return std::ranges::count_if(scores, [](float v) { return v >= 0.5f; });
  };
  EXPECT_EQ(share_of_ones("[0.01, 10]"), 5) << "five test records";
  EXPECT_EQ(share_of_ones("[10, 0.01]"), 0);
}

struct Visiting {
  std::string name, schedule;
  Visit visit;
  std::pair<Copies, RoundEnd> front, tail;
  friend void PrintTo(const Visiting& v, std::ostream* out) { *out << v.name; }
};
class UnequalSites : public SplitRun, public ::testing::WithParamInterface<Visiting> {};
INSTANTIATE_TEST_SUITE_P(
    Visits, UnequalSites,
    ::testing::Values(Visiting{"together", "{visit: together, average: [front]}", Visit::kTogether, kAveraged, kShared},
                      Visiting{"in_turn", "{visit: in_turn}", Visit::kInTurn, kOwn, kShared},
                      Visiting{"shuffled", "{visit: shuffled, average: [front]}", Visit::kShuffled, kAveraged, kShared},
                      Visiting{"copies", "{visit: together, tail: per_client, average: [front, tail]}", Visit::kTogether, kAveraged, kAveraged}),
    [](const auto& info) { return info.param.name; });

TEST_P(UnequalSites, FiveThirtySevenAndTwoHundredRecords) {
  const Visiting& v = GetParam();
  const auto data = sites({5, 37, 200});
  for (const std::int64_t batch : {8, 64}) {  // a step holds a record of the smallest site every sixth time, and always
    StudyText text = study("vanilla", "act1", 3, v.schedule);
    text.batch_size = batch;
    const Trained t = run(text, data);
    ASSERT_EQ(t.result.epochs.size(), 3u);
    for (const EpochRecord& r : t.result.epochs) {
      EXPECT_EQ(r.records, 5 + 37 + 200) << "every record once an epoch";
      EXPECT_TRUE(std::isfinite(r.train_loss.value()));
    }
    // The oracle deals the records out by itself, and weights the averages by samples.
    const OracleResult oracle = train_straight(chain({"act1"}, {v.front, v.tail}), data, schedule_of(text, v.visit));
    EXPECT_EQ(t.losses(), oracle.losses);
    for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(difference(t.files.at(kNames[k] + "/front"), oracle.copies[0][k]), "") << kNames[k];
    const std::string tail = oracle.copies[1].size() > 1 ? "server/tail.south" : "server/tail";
    EXPECT_EQ(difference(t.files.at(tail), oracle.copies[1].back()), "");
  }
}

}  // namespace
}  // namespace sutura
