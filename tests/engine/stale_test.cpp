// training.stale: steps that are begun before the update of earlier ones, against delayed gradients written as a formula.
#include "tests/engine/crew.h"
#include "tests/engine/stale_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;

struct Case {
  std::string topology, cuts;
  std::int64_t stale;
  std::vector<std::int64_t> delays;  // per segment: updates that its forward misses
  friend void PrintTo(const Case& c, std::ostream* out) { *out << c.topology << c.stale; }
};
// At call t a party runs turn j of step t - ceil(j s / (T - 1)), and the update comes with the last turn. The front and the
// body run in their party's first turn, so they miss s updates; the head in the second of three: s - ceil(s / 2) of them;
// the tail of a party with one turn misses none.
const Case kCases[] = {{"vanilla", "act1", 0, {0, 0}},
                       {"vanilla", "act1", 1, {1, 0}},
                       {"vanilla", "act1", 2, {2, 0}},
                       {"u_shaped", "act1, act2", 1, {1, 1, 0}},
                       {"u_shaped", "act1, act2", 2, {2, 2, 1}}};
const std::map<std::string, std::vector<std::pair<std::string, std::string>>> kHolders = {
    {"vanilla", {{"north", "front"}, {"server", "tail"}}},
    {"u_shaped", {{"north", "front"}, {"server", "body"}, {"north", "head"}}}};

StudyText study(const Case& c) {
  StudyText t;
  t.topology = c.topology;
  t.network = "zoo: mlp, hidden: [7, 6], cuts: [" + c.cuts + "]";
  t.sites = {"north"};
  t.record = {1, 6};
  t.epochs = 5;
  return t;
}

std::vector<SiteData> north() {
  std::vector<SiteData> sites;
  sites.push_back(make_site("north", {1, 6}, {29}));  // 4 steps an epoch, 20 in all
  return sites;
}

std::vector<Network> segments(const Case& c) {
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6};
  const std::vector<std::string> cuts =
      c.topology == "vanilla" ? std::vector<std::string>{"act1"} : std::vector<std::string>{"act1", "act2"};
  return build_network(spec, {1, 6}, 1).cut_after(cuts);
}

class Stale : public SplitRun, public ::testing::WithParamInterface<Case> {
 protected:
  std::map<std::string, Member> train(const Case& c, const std::string& optimizer = {}, std::int64_t micro_batches = 1) {
    StudyText text = study(c);
    text.micro_batches = micro_batches;
    if (!optimizer.empty()) text.optimizer = optimizer;
    const auto sites = north();
    Crew crew(folder() / "crew", text, sites, [&](StudyConfig& s) { s.training.stale = c.stale; });
    auto members = crew.work(crew.training(5));
    for (const auto& [name, m] : members) EXPECT_EQ(m.error, "") << name;
    return members;
  }
  static bool same(const Tensor& a, const std::vector<float>& b) { return std::ranges::equal(a.f32(), b); }
};
INSTANTIATE_TEST_SUITE_P(Topologies, Stale, ::testing::ValuesIn(kCases),
                         [](const auto& info) { return info.param.topology + "_" + std::to_string(info.param.stale); });

TEST_P(Stale, EqualsDelayedGradients) {
  const Case& c = GetParam();
  const auto members = train(c);
  const auto sites = north();
  const StaleResult oracle = train_stale(segments(c), c.delays, sites[0], schedule_of(study(c)));
  ASSERT_EQ(oracle.losses.size(), 20u);
  for (std::size_t g = 0; g < c.delays.size(); ++g) {
    const auto& [member, segment] = kHolders.at(c.topology)[g];
    EXPECT_TRUE(same(members.at(member).weights.at(segment), oracle.weights[g])) << segment;
  }
  const Member& judge = members.at(c.topology == "vanilla" ? "server" : "north");
  ASSERT_EQ(judge.results.size(), 20u);
  for (std::size_t k = 0; k < 20; ++k) {
    EXPECT_EQ(judge.results[k].index, static_cast<std::int64_t>(k));
    EXPECT_EQ(judge.results[k].loss, oracle.losses[k]) << k;
    EXPECT_EQ(judge.results[k].records, judge.results[k].step_records);
  }
}

TEST_P(Stale, WithoutTheStashTheFormulaGivesOtherWeights) {
  const Case& c = GetParam();
  const auto sites = north();
  const StaleResult stashed = train_stale(segments(c), c.delays, sites[0], schedule_of(study(c)));
  const StaleResult newest = train_stale(segments(c), c.delays, sites[0], schedule_of(study(c)), BackwardWeights::kNewest);
  // The front's backward uses no weights of its first layer; where only it is delayed, the stash changes nothing, so a
  // front of two linear layers would be needed. Behind it the difference shows.
  const bool shows = std::ranges::count_if(c.delays, [](std::int64_t d) { return d > 0; }) > 1;
  EXPECT_EQ(stashed.weights != newest.weights, shows);
}

TEST_P(Stale, MicroBatchesAreStillOneUpdate) {
  const Case& c = GetParam();
  // Plain descent: AdamW would turn a rounding difference of a tiny gradient into a whole step.
  const std::string descent = "{name: sgd, learning_rate: 0.1, momentum: 0}";
  const auto one = train(c, descent), three = train(c, descent, 3);
  EXPECT_EQ(one.at("server").results.size(), three.at("server").results.size());
  for (const auto& [segment, values] : one.at("server").weights) {
    const auto other = three.at("server").weights.at(segment).f32();
    for (std::size_t i = 0; i < other.size(); ++i) EXPECT_NEAR(values.f32()[i], other[i], 1e-5) << segment;
  }
}

class StaleFront : public SplitRun {};

TEST_F(StaleFront, OfTwoLayersNeedsTheStash) {
  const Case c{"vanilla", "fc2", 2, {2, 0}};
  const auto sites = north();
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6};
  const auto networks = build_network(spec, {1, 6}, 1).cut_after({"fc2"});
  Crew crew(folder() / "crew", study(c), sites, [&](StudyConfig& s) { s.training.stale = 2; });
  const auto members = crew.work(crew.training(5));
  const StaleResult stashed = train_stale(networks, c.delays, sites[0], schedule_of(study(c)));
  const StaleResult newest = train_stale(networks, c.delays, sites[0], schedule_of(study(c)), BackwardWeights::kNewest);
  EXPECT_TRUE(std::ranges::equal(members.at("north").weights.at("front").f32(), stashed.weights[0]));
  EXPECT_FALSE(std::ranges::equal(members.at("north").weights.at("front").f32(), newest.weights[0]));
}

TEST_F(StaleFront, FinishWithNothingInFlightDoesNothing) {
  const Case c{"vanilla", "act1", 2, {2, 0}};
  const auto sites = north();
  Crew crew(folder() / "crew", study(c), sites, [&](StudyConfig& s) { s.training.stale = 2; });
  const auto plain = crew.work(crew.training(2));
  const auto again = crew.work([](Executor& executor, Member& m) {
    EXPECT_TRUE(executor.finish().empty());
    for (std::int64_t e = 0; e < 2; ++e) train_epoch(executor, m, e);
    for (const StepResult& r : executor.finish()) m.results.push_back(r);
    EXPECT_TRUE(executor.finish().empty());
  });
  EXPECT_EQ(difference(plain.at("north"), again.at("north")), "");
  EXPECT_EQ(again.at("north").results.size(), 8u);
}

TEST_F(StaleFront, TheEndOfARoundDrainsIt) {
  // finish() after each epoch is what a round's end does: the first steps of the next epoch miss nothing of this one.
  const Case c{"vanilla", "act1", 1, {1, 0}};
  const auto sites = north();
  Crew crew(folder() / "crew", study(c), sites, [&](StudyConfig& s) { s.training.stale = 1; });
  const auto through = crew.work(crew.training(3));
  const auto drained = crew.work([](Executor& executor, Member& m) {
    for (std::int64_t e = 0; e < 3; ++e) {
      train_epoch(executor, m, e);
      for (const StepResult& r : executor.finish()) m.results.push_back(r);
    }
  });
  ASSERT_EQ(drained.at("server").results.size(), through.at("server").results.size());
  EXPECT_NE(difference(through.at("north"), drained.at("north")), "");
}

}  // namespace
}  // namespace sutura
