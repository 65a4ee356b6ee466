// Every topology with every schedule that has a meaning for it (docs/topologies.md), with one, two and five sites of unequal size,
// and every join of columns: losses, all weights and all optimizer state of at least 20 steps against the straight line, bit for
// bit.
#include <numeric>

#include "tests/equivalence/pairs.h"
#include "tests/equivalence/straight_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;

/// Sizes for which ten batches of 7 make an epoch, or more than ten where each site goes through its own.
std::vector<std::int64_t> sizes_of(std::size_t sites) {
  if (sites == 1) return {67};
  if (sites == 2) return {41, 26};
  return {23, 9, 14, 5, 17};
}

std::vector<SiteData> sites_of(std::size_t count) {
  std::vector<SiteData> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(make_site(site_names(count)[i], {1, 6}, {sizes_of(count)[i]}, 17 + i));
  return all;
}

StudyText study(const Pair& pair, std::int64_t micro_batches) {
  StudyText t;
  t.topology = pair.chain.topology;
  t.network = network_text(pair.chain);
  t.sites = site_names(pair.sites);
  t.record = {1, 6};
  t.batch_size = 7;
  t.micro_batches = micro_batches;
  t.schedule = schedule_text(pair);
  return t;
}

OracleResult oracle(const Pair& pair, const StudyText& text, const std::vector<SiteData>& data) {
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6, 5};
  std::vector<Network> networks = build_network(spec, {1, 6}, 1).cut_after(pair.chain.cuts);
  std::vector<OracleSegment> segments;
  for (std::size_t g = 0; g < networks.size(); ++g) {
    const bool at_sites = pair.chain.places[g].at_sites();
    const Sharing sharing = at_sites ? pair.preset.sites : pair.preset.others;
    const bool own = at_sites ? sharing != Sharing::kHandedOn : pair.preset.tail == "per_client";
    segments.push_back({std::move(networks[g]), own ? Copies::kPerSite : Copies::kOne,
                        sharing == Sharing::kAveraged ? RoundEnd::kMeanBySamples : RoundEnd::kNothing});
  }
  return train_straight(std::move(segments), data, schedule_of(text, pair.preset.order));
}

/// Weights and optimizer state that should be in a file of the run.
struct Expected {
  const Weights& weights;
  const Weights& optimizer;
};

void expect_files(const Trained& run, const std::map<std::string, Expected>& files) {
  EXPECT_EQ(run.files.size(), files.size());
  EXPECT_EQ(run.states.size(), files.size());
  for (const auto& [name, expected] : files) {
    ASSERT_TRUE(run.files.contains(name) && run.states.contains(name)) << name << " was not written";
    EXPECT_EQ(difference(run.files.at(name), expected.weights), "") << "weights of " << name;
    EXPECT_EQ(difference(run.states.at(name), expected.optimizer), "") << "optimizer of " << name;
  }
}

void expect_equal(const Trained& run, const OracleResult& oracle, const Pair& pair) {
  const auto names = site_names(pair.sites);
  if (pair.chain.loss_party.empty()) {
    for (std::size_t k = 0; k < names.size(); ++k) EXPECT_EQ(run.losses_of(names[k]), oracle.site_losses[k]) << names[k];
  } else {
    EXPECT_EQ(run.losses_of(pair.chain.loss_party), oracle.losses);
  }
  std::map<std::string, Expected> files;  // "north/front", "server/tail", "server/tail.north"
  for (std::size_t g = 0; g < pair.chain.places.size(); ++g) {
    const Place& p = pair.chain.places[g];
    const std::size_t copies = oracle.copies[g].size();
    for (std::size_t k = 0; k < (p.at_sites() ? names.size() : copies); ++k) {
      const std::string name =
          p.at_sites() ? names[k] + "/" + p.segment : p.party + "/" + p.segment + (copies == 1 ? "" : "." + names[k]);
      const std::size_t copy = copies == 1 ? 0 : k;  // handed on: at the end of a round every site holds the one copy
      files.emplace(name, Expected{oracle.copies[g][copy], oracle.optimizers[g][copy]});
    }
  }
  expect_files(run, files);
}

class EveryPair : public SplitRun, public ::testing::WithParamInterface<std::tuple<Pair, std::int64_t>> {};
INSTANTIATE_TEST_SUITE_P(OfTheTable, EveryPair,
                         ::testing::Combine(::testing::ValuesIn(every_pair({1, 2, 5})), ::testing::Values(1, 3)),
                         [](const auto& info) {
                           return std::get<0>(info.param).name() + "_" + std::to_string(std::get<1>(info.param)) + "_parts";
                         });

TEST_P(EveryPair, EqualsTheStraightLine) {
  const auto& [pair, micro_batches] = GetParam();
  const StudyText text = study(pair, micro_batches);
  const auto data = sites_of(pair.sites);
  const OracleResult expected = oracle(pair, text, data);
  ASSERT_GE(expected.steps, 20);
  expect_equal(run(text, data), expected, pair);
}

class Pairs : public SplitRun {};

TEST_F(Pairs, OnePlaceWithoutAServer) {
  const Pair whole{{"local", {}, {{"whole", "hospital"}}, "hospital"}, preset("parallel"), 1};
  const StudyText text = study(whole, 3);
  const auto data = sites_of(1);
  const OracleResult expected = oracle(whole, text, data);
  ASSERT_EQ(expected.steps, 20);
  expect_equal(run(text, data), expected, whole);
}

class EveryJoin : public SplitRun, public ::testing::WithParamInterface<Columns> {
 protected:
  static constexpr std::int64_t kColumns = 15;
  EveryJoin() { cohort_.push_back(make_site("cohort", {1, kColumns}, {67})); }

  static StudyText study(const Columns& c) {
    StudyText t;
    t.topology = topology_text(c);
    t.network = network_text(c);
    t.sites = {"cohort"};
    t.record = {1, kColumns};
    t.batch_size = 7;
    t.micro_batches = 2;
    std::vector<std::string> names;
    for (std::int64_t j = 0; j < kColumns; ++j) names.push_back("c" + std::to_string(j));
    t.data_more = ", " + columns_text(c, names);
    return t;
  }

  OracleResult oracle(const Columns& c) const {
    const auto layers = [](std::vector<LayerSpec> all, std::int64_t inputs) {
      NetworkSpec spec;
      spec.layers = std::move(all);
      return build_network(spec, {1, inputs}, 1);
    };
    std::vector<OracleHolder> holders;
    std::int64_t width = 0;
    for (std::size_t k = 0; k < c.holders; ++k) {
      const std::string n = std::to_string(k);
      holders.push_back(
          {layers({{"fc_" + n, "linear", {{"outputs", c.width(k)}}}, {"act_" + n, "gelu", {}}}, c.columns[k]), c.columns[k]});
      width = c.kind == JoinKind::kConcat ? width + c.width(k) : c.width(k);
    }
    std::vector<Network> chain;
    chain.push_back(layers({{"body_fc", "linear", {{"outputs", std::int64_t{6}}}}, {"body_act", "relu", {}}}, width));
    chain.push_back(layers({{"out", "linear", {{"outputs", std::int64_t{-1}}}}}, 6));
    return train_vertical(std::move(holders), c.kind, std::move(chain), cohort_[0], schedule_of(study(c)));
  }

  std::vector<SiteData> cohort_;
};
INSTANTIATE_TEST_SUITE_P(OfColumns, EveryJoin, ::testing::ValuesIn(every_join()),
                         [](const auto& info) { return info.param.name(); });

TEST_P(EveryJoin, EqualsTheStraightLine) {
  const Columns& c = GetParam();
  const OracleResult expected = oracle(c);
  ASSERT_EQ(expected.steps, 20);
  const Trained split = run(study(c), cohort_);
  EXPECT_EQ(split.losses_of(c.head.party), expected.losses);
  std::vector<std::string> names;
  for (std::size_t k = 0; k < c.holders; ++k) names.push_back(c.holder(k) + "/front_" + std::to_string(k));
  names.insert(names.end(), {"server/body", c.head.party + "/head"});
  std::map<std::string, Expected> files;
  for (std::size_t g = 0; g < names.size(); ++g)
    files.emplace(names[g], Expected{expected.copies[g][0], expected.optimizers[g][0]});
  expect_files(split, files);
}

// ---- negative controls: what the comparison would miss if it did not look ------------------------------------------------------

/// Joins of equal widths, so that another of them fits too.
std::vector<Columns> joins_of_equal_widths() {
  std::vector<Columns> all = every_join();
  std::erase_if(all, [](const Columns& c) { return c.kind == JoinKind::kConcat; });
  return all;
}

class OtherJoin : public EveryJoin {};
INSTANTIATE_TEST_SUITE_P(OfColumns, OtherJoin, ::testing::ValuesIn(joins_of_equal_widths()),
                         [](const auto& info) { return info.param.name(); });

TEST_P(OtherJoin, IsSeen) {
  const Columns& c = GetParam();
  Columns other = c;
  other.kind = c.kind == JoinKind::kSum ? JoinKind::kMean : JoinKind::kSum;
  EXPECT_NE(difference(run(study(c), cohort_).files.at("server/body"), oracle(other).copies[c.holders][0]), "");
}

TEST_F(Pairs, AFrontThatIsNotHandedOnAndAnOptimizerThatStopsAreSeen) {
  const Pair handed{chain("vanilla"), preset("sequential"), 2};
  const StudyText text = study(handed, 1);
  const auto data = sites_of(2);
  const Trained split = run(text, data);
  expect_equal(split, oracle(handed, text, data), handed);

  Pair kept = handed;  // each site goes on with its own front and optimizer
  kept.preset.sites = Sharing::kOwn;
  const OracleResult alone = oracle(kept, text, data);
  for (std::size_t k = 0; k < 2; ++k) {
    EXPECT_NE(difference(split.files.at(site_names(2)[k] + "/front"), alone.copies[0][k]), "");
    EXPECT_NE(difference(split.states.at(site_names(2)[k] + "/front"), alone.optimizers[0][k]), "");
  }
  EXPECT_NE(difference(split.files.at("server/tail"), alone.copies[1][0]), "");

  StudyText shorter = text;
  shorter.epochs = 1;
  const OracleResult half = oracle(handed, shorter, data);
  EXPECT_NE(difference(split.states.at("server/tail"), half.optimizers[1][0]), "");
  EXPECT_NE(split.losses_of("server"), half.losses);
}

}  // namespace
}  // namespace sutura
