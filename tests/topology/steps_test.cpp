// The schedule as a pure function: who takes part in which step, with which records.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "core/error.h"
#include "runtime/engine/steps.h"
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;

struct Schedule {
  Visit visit;
  std::int64_t batch_size;
  std::int64_t micro_batches;
  std::vector<std::int64_t> train;
};

const Schedule kSchedules[] = {
    {Visit::kTogether, 8, 1, {20}},          {Visit::kTogether, 8, 3, {37, 5, 1}}, {Visit::kTogether, 64, 2, {10, 3}},
    {Visit::kTogether, 5, 5, {2, 31, 1, 7}}, {Visit::kInTurn, 8, 1, {20, 9, 1}},   {Visit::kInTurn, 4, 3, {17, 5}},
    {Visit::kShuffled, 8, 2, {20, 9, 4, 6}}, {Visit::kShuffled, 1, 1, {3, 2}},
};

StudyConfig study_of(const Schedule& s) {
  StudyConfig study;
  study.seed = 11;
  study.schedule.visit = s.visit;
  study.training.batch_size = s.batch_size;
  study.training.micro_batches = s.micro_batches;
  study.training.epochs = 3;
  return study;
}

std::vector<std::string> lanes_of(const Schedule& s) {
  std::vector<std::string> lanes;
  for (std::size_t l = 0; l < s.train.size(); ++l) lanes.push_back("site" + std::to_string(l));
  return lanes;
}

std::vector<LaneSizes> sizes_of(const Schedule& s) {
  std::vector<LaneSizes> sizes;
  for (const std::int64_t n : s.train) sizes.push_back({n, n / 2, n / 3});
  return sizes;
}

class Steps : public ::testing::TestWithParam<Schedule> {
 protected:
  StudyConfig study_ = study_of(GetParam());
  StepPlanner planner_{study_, lanes_of(GetParam()), sizes_of(GetParam())};
};
INSTANTIATE_TEST_SUITE_P(Schedules, Steps, ::testing::ValuesIn(kSchedules));

TEST_P(Steps, EveryRecordTakesPartOncePerEpoch) {
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::vector<std::int64_t>> seen(GetParam().train.size());
    for (const Step& step : planner_.training(epoch))
      for (const Part& part : step.parts) {
        const auto records = planner_.records(step, part);
        ASSERT_EQ(records.size(), static_cast<std::size_t>(part.count));
        seen[part.lane].insert(seen[part.lane].end(), records.begin(), records.end());
      }
    for (std::size_t l = 0; l < seen.size(); ++l) {
      std::ranges::sort(seen[l]);
      std::vector<std::int64_t> all(static_cast<std::size_t>(GetParam().train[l]));
      std::iota(all.begin(), all.end(), 0);
      EXPECT_EQ(seen[l], all) << "lane " << l << " epoch " << epoch;
    }
  }
}

TEST_P(Steps, CountsAddUpAndPartsAreInOrder) {
  std::int64_t index = 0;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    const auto steps = planner_.training(epoch);
    EXPECT_EQ(static_cast<std::int64_t>(steps.size()), planner_.steps_per_epoch());
    for (const Step& step : steps) {
      EXPECT_EQ(step.index, index++);
      EXPECT_EQ(step.epoch, epoch);
      std::int64_t records = 0;
      for (std::size_t p = 0; p < step.parts.size(); ++p) {
        EXPECT_GT(step.parts[p].count, 0);
        records += step.parts[p].count;
        if (p == 0) continue;
        EXPECT_LT(std::pair(step.parts[p - 1].lane, step.parts[p - 1].micro_batch),
                  std::pair(step.parts[p].lane, step.parts[p].micro_batch));
      }
      EXPECT_EQ(step.records, records);
      EXPECT_GT(records, 0);
      EXPECT_LE(records, GetParam().batch_size + static_cast<std::int64_t>(GetParam().train.size()));
    }
  }
  EXPECT_EQ(index, planner_.total_steps());
}

TEST_P(Steps, MicroBatchesDifferByAtMostOneRecord) {
  for (const Step& step : planner_.training(0)) {
    std::map<std::uint32_t, std::vector<std::int64_t>> counts;
    for (const Part& part : step.parts) {
      EXPECT_EQ(part.micro_batch, counts[part.lane].size()) << "numbered without gaps";
      counts[part.lane].push_back(part.count);
    }
    for (const auto& [lane, c] : counts) {
      EXPECT_LE(static_cast<std::int64_t>(c.size()), GetParam().micro_batches);
      EXPECT_LE(*std::ranges::max_element(c) - *std::ranges::min_element(c), 1);
      const std::int64_t total = std::accumulate(c.begin(), c.end(), std::int64_t{0});
      EXPECT_EQ(static_cast<std::int64_t>(c.size()), std::min(total, GetParam().micro_batches));
    }
  }
}

TEST_P(Steps, IdsAreUniqueInTheRun) {
  std::set<std::uint64_t> ids;
  std::size_t count = 0;
  const auto take = [&](const std::vector<Step>& steps) {
    for (const Step& s : steps) ids.insert(s.id);
    count += steps.size();
  };
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    take(planner_.training(epoch));
    for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest})
      for (const Purpose purpose : {Purpose::kEvaluate, Purpose::kUpload, Purpose::kLocalEvaluate})
        take(planner_.pass(purpose, split, epoch));
  }
  EXPECT_EQ(ids.size(), count);
}

TEST_P(Steps, ArePureAndTheSameEverywhere) {
  const StepPlanner other(study_, lanes_of(GetParam()), sizes_of(GetParam()));
  for (std::int64_t epoch : {2, 0, 1, 0}) {
    const auto a = planner_.training(epoch), b = other.training(epoch);
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      EXPECT_EQ(a[i].id, b[i].id);
      ASSERT_EQ(a[i].parts.size(), b[i].parts.size());
      for (std::size_t p = 0; p < a[i].parts.size(); ++p) {
        EXPECT_EQ(a[i].parts[p].lane, b[i].parts[p].lane);
        EXPECT_EQ(planner_.records(a[i], a[i].parts[p]), other.records(b[i], b[i].parts[p]));
      }
    }
  }
}

TEST_P(Steps, APassTakesEveryRecordOnceInFileOrder) {
  for (const Split split : {Split::kTrain, Split::kValidation, Split::kTest}) {
    std::vector<std::vector<std::int64_t>> seen(GetParam().train.size());
    for (const Step& step : planner_.pass(Purpose::kEvaluate, split, 1))
      for (const Part& part : step.parts)
        for (const std::int64_t r : planner_.records(step, part)) seen[part.lane].push_back(r);
    for (std::size_t l = 0; l < seen.size(); ++l) {
      std::vector<std::int64_t> all(static_cast<std::size_t>(planner_.sizes()[l].of(split)));
      std::iota(all.begin(), all.end(), 0);
      EXPECT_EQ(seen[l], all);
    }
  }
}

TEST(StepsTogether, EachStepSharesTheBatchInProportion) {
  const Schedule s{Visit::kTogether, 10, 1, {60, 30, 10}};
  const StudyConfig study = study_of(s);
  const StepPlanner planner(study, lanes_of(s), sizes_of(s));
  ASSERT_EQ(planner.steps_per_epoch(), 10);
  for (const Step& step : planner.training(0)) {
    ASSERT_EQ(step.parts.size(), 3u);
    EXPECT_EQ(step.parts[0].count, 6);
    EXPECT_EQ(step.parts[1].count, 3);
    EXPECT_EQ(step.parts[2].count, 1);
  }
}

std::vector<std::uint32_t> visits(const StepPlanner& planner, std::int64_t epoch) {
  std::vector<std::uint32_t> lanes;
  for (const Step& step : planner.training(epoch))
    for (const Part& p : step.parts)
      if (lanes.empty() || lanes.back() != p.lane) lanes.push_back(p.lane);
  return lanes;
}

TEST(StepsInTurn, OneLaneAfterTheOtherInOrder) {
  const Schedule s{Visit::kInTurn, 4, 2, {9, 3, 12}};
  const StudyConfig study = study_of(s);
  const StepPlanner planner(study, lanes_of(s), sizes_of(s));
  EXPECT_EQ(planner.steps_per_epoch(), 3 + 1 + 3);
  for (std::int64_t e = 0; e < 3; ++e) EXPECT_EQ(visits(planner, e), (std::vector<std::uint32_t>{0, 1, 2}));
}

TEST(StepsShuffled, EachEpochHasItsOwnOrderOfAllLanes) {
  const Schedule s{Visit::kShuffled, 4, 1, {4, 4, 4, 4, 4, 4}};
  const StudyConfig study = study_of(s);
  const StepPlanner planner(study, lanes_of(s), sizes_of(s));
  std::set<std::vector<std::uint32_t>> orders;
  for (std::int64_t e = 0; e < 5; ++e) {
    auto order = visits(planner, e);
    orders.insert(order);
    std::ranges::sort(order);
    EXPECT_EQ(order, (std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5}));
  }
  EXPECT_GE(orders.size(), 4u) << "720 orders: five draws that repeat would be a constant";
}

TEST(StepsOrder, RecordsAreShuffledAnewByEpochSiteAndSeed) {
  const Schedule s{Visit::kTogether, 64, 1, {32, 32}};
  const StudyConfig study = study_of(s);
  StudyConfig reseeded = study;
  reseeded.seed = 12;
  const StepPlanner planner(study, lanes_of(s), sizes_of(s)), other(reseeded, lanes_of(s), sizes_of(s));
  const auto records = [](const StepPlanner& p, std::int64_t epoch, std::size_t lane) {
    const Step step = p.training(epoch).at(0);
    return p.records(step, step.parts.at(lane));
  };
  EXPECT_NE(records(planner, 0, 0), records(planner, 1, 0));
  EXPECT_NE(records(planner, 0, 0), records(planner, 0, 1));
  EXPECT_NE(records(planner, 0, 0), records(other, 0, 0));
}

TEST(StepsSizes, ASiteWithoutTrainingRecordsIsRefused) {
  const Schedule s{Visit::kTogether, 4, 1, {5, 0}};
  const StudyConfig study = study_of(s);
  try {
    const StepPlanner planner(study, lanes_of(s), {{5, 2, 1}, {0, 3, 1}});
    FAIL() << "an empty site was taken";
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Errc::kData);
    EXPECT_THAT(e.what(), ::testing::HasSubstr("site1"));
  }
}

TEST(StepsSizes, ASiteThatIsNotThereTakesPartInNoStepUntilItComes) {
  const Schedule s{Visit::kTogether, 4, 1, {8, 0}};
  const StudyConfig study = study_of(s);
  StepPlanner planner(study, lanes_of(s), {{8, 2, 1}, {}});
  const auto lanes_in = [](const std::vector<Step>& steps) {
    std::set<std::uint32_t> lanes;
    for (const Step& step : steps)
      for (const Part& part : step.parts) lanes.insert(part.lane);
    return lanes;
  };
  EXPECT_EQ(planner.training(0).size(), 2U);
  EXPECT_EQ(lanes_in(planner.training(0)), std::set<std::uint32_t>{0});
  EXPECT_EQ(lanes_in(planner.pass(Purpose::kEvaluate, Split::kValidation, 0)), std::set<std::uint32_t>{0});
  planner.set_sizes({{8, 2, 1}, {4, 1, 1}});
  EXPECT_EQ(planner.training(1).size(), 3U);
  EXPECT_EQ(planner.training(1)[0].index, 3) << "steps count as if all rounds had been like this one";
  EXPECT_EQ(lanes_in(planner.training(1)), (std::set<std::uint32_t>{0, 1}));
}

TEST(StepsEvaluation, AfterEveryNthEpochAndAlwaysAfterTheLast) {
  TrainingConfig t;
  t.epochs = 7;
  const auto when = [&](std::int64_t every) {
    t.evaluate_every = every;
    std::vector<std::int64_t> epochs;
    for (std::int64_t e = 0; e < t.epochs; ++e)
      if (evaluates_after(t, e)) epochs.push_back(e);
    return epochs;
  };
  EXPECT_EQ(when(1), (std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6}));
  EXPECT_EQ(when(3), (std::vector<std::int64_t>{2, 5, 6}));
  EXPECT_EQ(when(0), (std::vector<std::int64_t>{6}));
}

class PlannedReleases : public PlanCase {};

TEST_F(PlannedReleases, CountTheGuardedLegsOfOneRecord) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise);  // 5 epochs
  EXPECT_EQ(planned_releases(s, compiled(s)), 5);
  s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise);
  EXPECT_EQ(planned_releases(s, compiled(s)), 10) << "a row and a gradient row in each epoch";
  route_named(s, "body", "head").gradient = GuardKind::kNone;
  EXPECT_EQ(planned_releases(s, compiled(s)), 5);
  s = study("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  EXPECT_EQ(planned_releases(s, compiled(s)), 5) << "each party has a budget of its own";
  s = study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce);
  EXPECT_EQ(planned_releases(s, compiled(s)), 1);
}

TEST_F(PlannedReleases, OfOnePassAreTheGuardedLegsOfOneHolder) {
  StudyConfig s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy);
  EXPECT_EQ(releases_per_record(compiled(s)), 0);
  EXPECT_EQ(releasing_parties(compiled(s)), 0);
  s = study("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise);
  EXPECT_EQ(releases_per_record(compiled(s)), 1);
  EXPECT_EQ(releasing_parties(compiled(s)), 1) << "two sites hold different records";
  s = study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise);
  EXPECT_EQ(releases_per_record(compiled(s)), 2) << "a row and a gradient row";
  s = study("vertical", kVerticalSegments, kMessageNoise, "[cohort]");
  EXPECT_EQ(releases_per_record(compiled(s)), 1) << "each party releases its own part";
  EXPECT_EQ(releasing_parties(compiled(s)), 2);
  s = study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", kMessageNoise);
  for (RouteConfig& r : s.topology.routes) r.activation = r.from == "a" || r.from == "c" ? GuardKind::kRows : GuardKind::kNone;
  EXPECT_EQ(releases_per_record(compiled(s)), 2) << "two rows of the same record";
  EXPECT_EQ(releasing_parties(compiled(s)), 1);
}

}  // namespace
}  // namespace sutura
