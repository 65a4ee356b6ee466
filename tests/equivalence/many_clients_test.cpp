// Several hospitals of unequal sizes against the straight-line oracle: every schedule of the table in architecture section 3.
#include <numeric>

#include "tests/equivalence/straight_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;

const std::vector<std::string> kNames = {"north", "east", "south"};
constexpr std::int64_t kRecords[] = {23, 9, 14};

std::vector<SiteData> sites(std::size_t count) {
  std::vector<SiteData> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(make_site(kNames[i], {1, 6}, {kRecords[i]}, 17 + i));
  return all;
}

StudyText study(std::size_t count, const std::string& schedule, std::int64_t micro_batches = 1) {
  StudyText t;
  t.topology = "vanilla";
  t.network = "zoo: mlp, hidden: [7, 6], cuts: [act1]";
  t.sites.assign(kNames.begin(), kNames.begin() + static_cast<std::ptrdiff_t>(count));
  t.record = {1, 6};
  t.schedule = schedule;
  t.micro_batches = micro_batches;
  t.epochs = 3;
  return t;
}

NetworkSpec mlp() {
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6};
  return spec;
}

std::vector<OracleSegment> chain(const std::vector<std::string>& cuts, const std::vector<std::pair<Copies, RoundEnd>>& kinds) {
  std::vector<Network> networks = build_network(mlp(), {1, 6}, 1).cut_after(cuts);
  std::vector<OracleSegment> segments;
  for (std::size_t g = 0; g < networks.size(); ++g) segments.push_back({std::move(networks[g]), kinds[g].first, kinds[g].second});
  return segments;
}

constexpr auto kShared = std::pair(Copies::kOne, RoundEnd::kNothing);
constexpr auto kOwn = std::pair(Copies::kPerSite, RoundEnd::kNothing);
constexpr auto kAveraged = std::pair(Copies::kPerSite, RoundEnd::kMeanBySamples);
constexpr auto kPlainMean = std::pair(Copies::kPerSite, RoundEnd::kPlainMean);

std::string server_file(std::size_t copies, std::size_t k) { return copies == 1 ? "server/tail" : "server/tail." + kNames[k]; }

/// [front at each site, tail at the server] against the oracle.
void expect_same_split(const Trained& run, const OracleResult& oracle) {
  EXPECT_EQ(run.losses(), oracle.losses);
  for (std::size_t k = 0; k < oracle.copies[0].size(); ++k)
    EXPECT_EQ(difference(run.files.at(kNames[k] + "/front"), oracle.copies[0][k]), "") << "front of " << kNames[k];
  for (std::size_t k = 0; k < oracle.copies[1].size(); ++k)
    EXPECT_EQ(difference(run.files.at(server_file(oracle.copies[1].size(), k)), oracle.copies[1][k]), "") << "tail " << k;
  EXPECT_EQ(run.files.size(), oracle.copies[0].size() + oracle.copies[1].size());
}

struct Preset {
  std::string name, schedule;
  Visit visit;
  std::pair<Copies, RoundEnd> front, tail;
  friend void PrintTo(const Preset& p, std::ostream* out) { *out << p.name; }
};
const Preset kPresets[] = {
    {"parallel", "{visit: together, tail: shared}", Visit::kTogether, kOwn, kShared},
    {"parallel_averaged", "{visit: together, tail: shared, average: [front]}", Visit::kTogether, kAveraged, kShared},
    {"splitfed_v1", "{visit: together, tail: per_client, average: [front, tail]}", Visit::kTogether, kAveraged, kAveraged},
    {"splitfed_v2", "{visit: shuffled, tail: shared, average: [front]}", Visit::kShuffled, kAveraged, kShared},
    {"splitfed_v3", "{visit: together, tail: per_client, average: [tail]}", Visit::kTogether, kOwn, kAveraged},
    {"in_turn", "{visit: in_turn, tail: shared}", Visit::kInTurn, kOwn, kShared},
    {"in_turn_averaged", "{visit: in_turn, tail: shared, average: [front]}", Visit::kInTurn, kAveraged, kShared},
};

class Schedules : public SplitRun, public ::testing::WithParamInterface<std::tuple<Preset, std::size_t, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(Presets, Schedules,
                         ::testing::Combine(::testing::ValuesIn(kPresets), ::testing::Values(1, 2, 3), ::testing::Values(1, 3)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name + "_" + std::to_string(std::get<1>(info.param)) + "_sites_" +
                                  std::to_string(std::get<2>(info.param));
                         });

TEST_P(Schedules, EqualTheStraightLine) {
  const auto& [preset, count, micro_batches] = GetParam();
  const StudyText text = study(count, preset.schedule, micro_batches);
  const auto data = sites(count);
  const Trained split = run(text, data);
  expect_same_split(split, train_straight(chain({"act1"}, {preset.front, preset.tail}), data, schedule_of(text, preset.visit)));
  EXPECT_EQ(split.result.records, 3 * std::accumulate(kRecords, kRecords + count, std::int64_t{0}));
}

class ManyClients : public SplitRun {};

TEST_F(ManyClients, MicroBatchesOfAllSitesAreOneBatchAtTheSharedTail) {
  // The definition of the parallel schedule: one tail pass over the concatenated rows. The order of summation differs, so
  // float tolerance; plain descent, because AdamW turns a rounding difference of a tiny gradient into a whole step.
  StudyText text = study(3, "{visit: together, tail: shared, average: [front]}", 3);
  text.optimizer = "{name: sgd, learning_rate: 0.1, momentum: 0}";
  OracleSchedule s = schedule_of(text);
  s.optimizer = {};
  s.optimizer.kind = OptimizerKind::kSgd;
  s.optimizer.momentum = 0.0;
  s.rate.learning_rate = 0.1;
  auto segments = chain({"act1"}, {kAveraged, kShared});
  const auto data = sites(3);
  const OracleResult merged = train_merged(std::move(segments[0]), std::move(segments[1]), data, s);
  const Trained split = run(text, data);
  for (std::size_t e = 0; e < 3; ++e) EXPECT_NEAR(split.losses()[e], merged.losses[e], 1e-6 * merged.losses[e]);
  EXPECT_LT(relative_distance(split.files.at("server/tail"), merged.copies[1][0]), 1e-5);
  for (std::size_t k = 0; k < 3; ++k)
    EXPECT_LT(relative_distance(split.files.at(kNames[k] + "/front"), merged.copies[0][k]), 1e-5);
}

TEST_F(ManyClients, UShapedWithAveragedFrontsAndHeads) {
  for (const std::int64_t micro_batches : {1, 3}) {
    StudyText text = study(3, "{visit: together, average: [front, head]}", micro_batches);
    text.topology = "u_shaped";
    text.network = "zoo: mlp, hidden: [7, 6], cuts: [act1, act2]";
    const auto data = sites(3);
    const OracleResult oracle = train_straight(chain({"act1", "act2"}, {kAveraged, kShared, kAveraged}), data, schedule_of(text));
    const Trained split = run(text, data);
    ASSERT_EQ(split.losses().size(), oracle.losses.size());
    // Each hospital knows the mean over its own records; pooling them sums in another order.
    for (std::size_t e = 0; e < oracle.losses.size(); ++e)
      EXPECT_NEAR(split.losses()[e], oracle.losses[e], 1e-12 * oracle.losses[e]);
    EXPECT_EQ(difference(split.files.at("server/body"), oracle.copies[1][0]), "");
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_EQ(difference(split.files.at(kNames[k] + "/front"), oracle.copies[0][k]), "") << kNames[k];
      EXPECT_EQ(difference(split.files.at(kNames[k] + "/head"), oracle.copies[2][k]), "") << kNames[k];
    }
    EXPECT_EQ(split.result.records, 3 * (23 + 9 + 14)) << "records of all sites, though the loss is at each";
  }
}

TEST_F(ManyClients, FederatedAveraging) {
  for (const std::size_t count : {2, 3}) {
    StudyText text = study(count, "{visit: together, average: [whole]}");
    text.topology = kFederated;
    text.network = "zoo: mlp, hidden: [7, 6]";
    const auto data = sites(count);
    const OracleResult oracle = train_straight(chain({}, {kAveraged}), data, schedule_of(text));
    const Trained split = run(text, data);
    for (std::size_t e = 0; e < oracle.losses.size(); ++e)
      EXPECT_NEAR(split.losses()[e], oracle.losses[e], 1e-12 * oracle.losses[e]);
    for (std::size_t k = 0; k < count; ++k) EXPECT_EQ(difference(split.files.at(kNames[k] + "/whole"), oracle.copies[0][k]), "");
  }
}

TEST_F(ManyClients, AChainOfThreeCuts) {
  StudyText text = study(3, "{visit: together, average: [a]}", 3);  // c has no weights
  text.topology = chain_topology("server");
  text.network = "zoo: mlp, hidden: [7, 6], cuts: [fc1, fc2, act2]";
  const auto data = sites(3);
  const OracleResult oracle =
      train_straight(chain({"fc1", "fc2", "act2"}, {kAveraged, kShared, kOwn, kShared}), data, schedule_of(text));
  const Trained split = run(text, data);
  EXPECT_EQ(split.losses(), oracle.losses);
  for (std::size_t k = 0; k < 3; ++k) EXPECT_EQ(difference(split.files.at(kNames[k] + "/a"), oracle.copies[0][k]), "");
  EXPECT_EQ(difference(split.files.at("server/d"), oracle.copies[3][0]), "");
}

TEST_F(ManyClients, AveragedFrontsAreOneAtTheEndOfARound) {
  const auto data = sites(3);
  const Trained averaged = run(study(3, "{visit: together, average: [front]}"), data);
  EXPECT_EQ(difference(averaged.files.at("north/front"), averaged.files.at("south/front")), "");
  const Trained own = run(study(3, "{visit: together}"), data);
  EXPECT_NE(difference(own.files.at("north/front"), own.files.at("south/front")), "");
}

// ---- negative controls -------------------------------------------------------------------------------------------------------

TEST_F(ManyClients, APlainMeanIsSeen) {
  const auto data = sites(3);
  const StudyText text = study(3, "{visit: together, tail: shared, average: [front]}");
  const Trained split = run(text, data);
  const OracleResult weighted = train_straight(chain({"act1"}, {kAveraged, kShared}), data, schedule_of(text));
  const OracleResult plain = train_straight(chain({"act1"}, {kPlainMean, kShared}), data, schedule_of(text));
  EXPECT_EQ(difference(split.files.at("north/front"), weighted.copies[0][0]), "");
  EXPECT_NE(difference(split.files.at("north/front"), plain.copies[0][0]), "");
}

TEST_F(ManyClients, AnotherSeedAnotherOrderAndAMissingRecordAreSeen) {
  const auto data = sites(2);
  const StudyText text = study(2, "{visit: together, tail: shared, average: [front]}");
  const Trained split = run(text, data);
  const auto tail = [&](const std::vector<SiteData>& on, OracleSchedule s) {
    return std::move(train_straight(chain({"act1"}, {kAveraged, kShared}), on, s).copies[1][0]);
  };
  OracleSchedule reseeded = schedule_of(text);
  reseeded.seed += 1;
  std::vector<SiteData> fewer;
  fewer.push_back(borrowed(data[0]));
  fewer.push_back(without_record(data[1], 0));
  const Weights& trained = split.files.at("server/tail");
  EXPECT_EQ(difference(trained, tail(data, schedule_of(text))), "");
  EXPECT_NE(difference(trained, tail(data, reseeded)), "");
  EXPECT_NE(difference(trained, tail(data, schedule_of(text, Visit::kInTurn))), "");
  EXPECT_NE(difference(trained, tail(fewer, schedule_of(text))), "");
}

}  // namespace
}  // namespace sutura
