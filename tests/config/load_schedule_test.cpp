// Schedules, early ends and vertical data: what the keys become, how includes merge them, and what is refused.
#include <gmock/gmock.h>

#include "runtime/config/load_study.h"
#include "tests/config/study_folder.h"

namespace sutura {
namespace {

using sutura::testing::kStudy;
using sutura::testing::study_with;
using sutura::testing::StudyFolder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

constexpr const char* kTable = "  table:\n    path: records.csv\n    label: outcome\n    classes: [\"0\", \"1\"]\n";

/// kStudy with lines added at the end of a top-level part.
std::string with(const std::string& part, const std::string& lines) {
  return study_with("\n" + part + ":\n", "\n" + part + ":\n" + lines);
}

class LoadSchedule : public StudyFolder {
 protected:
  std::string with_schedule(const std::string& schedule) const { return kStudy + std::string("schedule: ") + schedule + "\n"; }
};

TEST_F(LoadSchedule, EveryKeyArrives) {
  const ScheduleConfig s = load(with_schedule("{visit: in_turn, hand_on: [front], missing_party: running-mean,\n"
                                              "  participation: {min_clients: 2, deadline_s: 2.5, on_leave: wait}}"))
                               .config.schedule;
  EXPECT_THAT(s.hand_on, ElementsAre("front"));
  EXPECT_EQ(s.missing_party, MissingParty::kRunningMean);
  EXPECT_EQ(s.participation.min_clients, 2);
  EXPECT_EQ(s.participation.deadline_s, 2.5);
  EXPECT_EQ(s.participation.on_leave, OnLeave::kWait);
  const ScheduleConfig none = load(kStudy).config.schedule;
  EXPECT_THAT(none.hand_on, ElementsAre());
  EXPECT_EQ(none.missing_party, MissingParty::kAbort);
  EXPECT_EQ(none.participation.min_clients, 0);
  EXPECT_EQ(none.participation.deadline_s, 0.0);
  EXPECT_EQ(none.participation.on_leave, OnLeave::kContinue);
  const std::pair<const char*, MissingParty> words[] = {
      {"abort", MissingParty::kAbort}, {"drop-step", MissingParty::kDropStep}, {"zero", MissingParty::kZero}};
  for (const auto& [word, value] : words)
    EXPECT_EQ(load(with_schedule(std::string("{missing_party: ") + word + "}")).config.schedule.missing_party, value);
}

TEST_F(LoadSchedule, AnIncludedScheduleTakesMoreKeys) {
  write("schedules/one.yaml", "schedule: {visit: shuffled, average: [front]}\n");
  const std::string study = "include: [schedules/one.yaml]\n" + std::string(kStudy);
  const ScheduleConfig s = load(study + "schedule: {participation: {min_clients: 1, on_leave: stop}}\n").config.schedule;
  EXPECT_EQ(s.visit, Visit::kShuffled);
  EXPECT_THAT(s.average, ElementsAre("front"));
  EXPECT_EQ(s.participation.min_clients, 1);
  EXPECT_EQ(s.participation.on_leave, OnLeave::kStop);
  EXPECT_THAT(load(study + "schedule: {average: [tail]}\n").config.schedule.average, ElementsAre("tail"));
}

TEST_F(LoadSchedule, RefusesWhatHasNoMeaning) {
  const auto refused = [this](const std::string& schedule) { return report(with_schedule(schedule)); };
  EXPECT_EQ(refused("{hand_on: [fornt]}"),
            "study.yaml:46:22: error: no segment is named fornt\n  schedule: {hand_on: [fornt]}\n                       ^\n"
            "  hint: did you mean front?");
  EXPECT_EQ(refused("{average: [front], hand_on: [front]}"),
            "study.yaml:46:40: error: segment front is averaged and also handed on\n"
            "  schedule: {average: [front], hand_on: [front]}\n                                         ^\n"
            "  hint: averaged replicas are equal at the start of a round; hand on what is not averaged");
  EXPECT_EQ(refused("{participation: {min_clients: 3}}"),
            "study.yaml:46:41: error: schedule.participation.min_clients is 3, but data.sites names 2\n"
            "  schedule: {participation: {min_clients: 3}}\n                                          ^");
  EXPECT_THAT(refused("{participation: {deadline_s: -1}}"), HasSubstr("must be between 0 and 604800 (got -1)"));
  EXPECT_THAT(refused("{participation: {on_leave: pause}}"), HasSubstr("must be one of continue, wait, stop"));
  EXPECT_THAT(refused("{missing_party: mean}"), HasSubstr("must be one of abort, drop-step, zero, running-mean"));
  EXPECT_THAT(refused("{participation: {minimum: 1}}"), HasSubstr("unknown key schedule.participation.minimum"));
}

TEST_F(LoadSchedule, EarlyEndsAndWeightsArrive) {
  const TrainingConfig t = load(with("training",
                                     "  stale: 3\n  class_weights: [1, 2.5]\n  keep: best\n  best_by: auc\n"
                                     "  early_stopping: {patience: 4, min_delta: 0.01}\n"))
                               .config.training;
  EXPECT_EQ(t.stale, 3);
  EXPECT_THAT(t.class_weights, ElementsAre(1.0, 2.5));
  EXPECT_EQ(t.keep, Keep::kBest);
  EXPECT_EQ(t.stop_metric, StopMetric::kAuc);
  EXPECT_EQ(t.patience, 4);
  EXPECT_EQ(t.min_delta, 0.01);
  const TrainingConfig none = load(kStudy).config.training;
  EXPECT_EQ(none.stale, 0);
  EXPECT_THAT(none.class_weights, ElementsAre());
  EXPECT_EQ(none.keep, Keep::kLast);
  EXPECT_EQ(none.stop_metric, StopMetric::kLoss);
  EXPECT_EQ(none.patience, 0);
}

TEST_F(LoadSchedule, RefusesEarlyEndsAndWeightsThatWouldBeIgnored) {
  const auto refused = [this](const std::string& lines, const std::vector<std::string>& overrides = {}) {
    return report(with("training", lines), overrides);
  };
  EXPECT_EQ(refused("  class_weights: [1, 2, 3]\n"),
            "study.yaml:32:18: error: training.class_weights holds 3 weights, the data has 2 classes\n"
            "    class_weights: [1, 2, 3]\n                   ^\n  hint: give one weight per class, in class order");
  EXPECT_THAT(refused("  class_weights: [1, 0]\n"), HasSubstr("training.class_weights[1] must be > 0 (got 0)"));
  EXPECT_THAT(refused("  class_weights: [1, 1]\n", {"training.loss=mean_squared_error"}),
              HasSubstr("training.class_weights needs classes, and mean_squared_error has none"));
  EXPECT_THAT(refused("  stale: 65\n"), HasSubstr("training.stale must be between 0 and 64 (got 65)"));
  EXPECT_THAT(refused("  best_by: auc\n"), HasSubstr("training.best_by belongs to keep: best or early_stopping"));
  EXPECT_EQ(refused("  best_by: auc\n  keep: best\n", {"training.keep=last"}), "");  // an ablation
  EXPECT_THAT(refused("  early_stopping: {min_delta: 1}\n"), HasSubstr("min_delta needs training.early_stopping.patience"));
  EXPECT_THAT(refused("  keep: best\n  evaluate_every: 0\n"),
              HasSubstr("training.evaluate_every must be at least 1 with keep: best"));
  EXPECT_THAT(refused("  early_stopping: {patience: 1}\n  evaluate_every: 0\n"),
              HasSubstr("training.evaluate_every must be at least 1 with early_stopping"));
  EXPECT_THAT(refused("  keep: best\n  best_by: auc\n", {"training.loss=mean_squared_error"}), HasSubstr("auc needs classes"));
  EXPECT_THAT(refused("  keep: best\n", {"data.validation_fraction=0"}),
              HasSubstr("training.keep best needs validation records"));
  EXPECT_THAT(refused("  early_stopping: {patience: 1}\n", {"data.validation_fraction=0"}),
              HasSubstr("training.early_stopping needs validation records"));
}

TEST_F(LoadSchedule, TableKeysArrive) {
  const TableConfig t =
      *load(study_with("    classes: [\"0\", \"1\"]\n",
                       "    classes: [\"0\", \"1\"]\n    features: [age]\n    categories: {code: [heart, lung, \"*\"]}\n"
                       "    missing_in: {chol: [\"0\"], age: [NA, \"\"]}\n    numbers: {age: {\"> 89\": 90, young: -1.5}}\n"
                       "    ranges: {code: {heart: [390-459, \"785\"], lung: [460-519]}}\n    keep: {ward: [a, b]}\n"
                       "    leave_out: {exit: [\"11\"]}\n    first_of: patient\n    id: \"record no\"\n"))
           .config.data.table;
  EXPECT_THAT(t.missing_in, ElementsAre(Pair("age", ElementsAre("NA", "")), Pair("chol", ElementsAre("0"))));
  EXPECT_THAT(t.numbers, ElementsAre(Pair("age", ElementsAre(Pair("> 89", 90.0), Pair("young", -1.5)))));
  EXPECT_THAT(
      t.ranges,
      ElementsAre(Pair("code", ElementsAre(Pair("heart", ElementsAre("390-459", "785")), Pair("lung", ElementsAre("460-519"))))));
  EXPECT_THAT(t.keep, ElementsAre(Pair("ward", ElementsAre("a", "b"))));
  EXPECT_THAT(t.leave_out, ElementsAre(Pair("exit", ElementsAre("11"))));
  EXPECT_EQ(t.first_of, "patient");
  EXPECT_EQ(t.id, "record no");
  EXPECT_THAT(t.categories.at("code"), ElementsAre("heart", "lung", "*"));
}

TEST_F(LoadSchedule, RefusesTablesThatContradictThemselves) {
  const auto refused = [this](const std::string& lines) {
    return report(study_with("    label: outcome\n", "    label: outcome\n" + lines));
  };
  EXPECT_EQ(refused("    categories: {code: [heart]}\n    ranges: {code: {hart: [1-2]}}\n"),
            "study.yaml:24:27: error: column code has no known word hart\n      ranges: {code: {hart: [1-2]}}\n"
            "                            ^\n  hint: did you mean heart?");
  EXPECT_EQ(refused("    ranges: {code: {heart: [1-2]}}\n"),
            "study.yaml:23:14: error: ranges make words of column code, which is not among the categories\n"
            "      ranges: {code: {heart: [1-2]}}\n               ^\n  hint: list its words in data.table.categories");
  EXPECT_EQ(refused("    categories: {code: [heart]}\n    ranges: {code: {heart: [1-2, 459-390]}}\n"),
            "study.yaml:24:34: error: the range 459-390 ends before it begins\n"
            "      ranges: {code: {heart: [1-2, 459-390]}}\n                                   ^");
  EXPECT_EQ(refused("    categories: {code: [heart]}\n    ranges: {code: {heart: [-3--1, V57-E2, a-b, 4-4]}}\n"), "");
  EXPECT_THAT(refused("    features: [code]\n    ranges: {code: {a: [\"1\"]}}\n"),
              HasSubstr("column code is a feature and also made of words by ranges"));
  EXPECT_THAT(refused("    features: [i]\n    id: i\n"), HasSubstr("column i is a feature and also the id, which never leaves"));
  EXPECT_THAT(refused("    categories: {i: [a]}\n    id: i\n"), HasSubstr("the id column i also stands as the label or among"));
  EXPECT_THAT(refused("    id: outcome\n"), HasSubstr("the id column outcome also stands as the label"));
  EXPECT_THAT(refused("    categories: {age: [a]}\n    numbers: {age: {b: 1}}\n"),
              HasSubstr("column age holds words and also numbers"));
  EXPECT_THAT(refused("    numbers: {age: {b: old}}\n"),
              HasSubstr("data.table.numbers.age.b must be a number (found the text old)"));
  EXPECT_THAT(refused("    keep: {w: [a]}\n    leave_out: {w: [b]}\n"),
              HasSubstr("column w stands under keep and under leave_out"));
  EXPECT_THAT(refused("    keep: {w: []}\n"), HasSubstr("data.table.keep.w keeps no record at all"));
}

TEST_F(LoadSchedule, FoldsArriveAndExcludeTheTestFraction) {
  const auto folds = [this](const std::string& lines) { return with("data", lines); };
  const DataConfig d = load(folds("  folds: 5\n  fold: 4\n")).config.data;
  EXPECT_EQ(d.folds, 5);
  EXPECT_EQ(d.fold, 4);
  EXPECT_EQ(load(folds("  folds: 5\n"), {"data.fold=2"}).config.data.fold, 2);
  EXPECT_EQ(report(folds("  folds: 5\n  fold: 5\n")),
            "study.yaml:21:9: error: data.fold must be below data.folds, which is 5\n    fold: 5\n          ^");
  EXPECT_THAT(report(folds("  folds: 1\n")), HasSubstr("data.folds must be 0 or at least 2 (got 1)"));
  EXPECT_THAT(report(folds("  folds: 1001\n")), HasSubstr("data.folds must be between 0 and 1000 (got 1001)"));
  EXPECT_THAT(report(folds("  fold: 1\n")), HasSubstr("data.fold needs data.folds"));
  EXPECT_THAT(report(folds("  folds: 2\n  test_fraction: 0.2\n")),
              HasSubstr("data.folds and data.test_fraction both say which records are for the test"));
  EXPECT_THAT(report(study_with(kTable,
                                "  folds: 2\n  arrays: {path: a, train: {features: x, labels: y}, "
                                "test: {features: t, labels: u}}\n")),
              HasSubstr("data.folds and data.arrays.test both say which records are for the test"));
}

TEST_F(LoadSchedule, ClassValuesDecideTheNumberOfClasses) {
  const auto arrays = [](const std::string& more) {
    return study_with(kTable, "  arrays: {path: a.npz, train: {features: x, labels: y}, " + more + "}\n");
  };
  const DataConfig d = load(arrays("class_values: [-7, 3, 12]"), {"data.partition={by: column, column: site}"}).config.data;
  EXPECT_THAT(d.arrays->class_values, ElementsAre(-7, 3, 12));
  EXPECT_EQ(d.arrays->classes, 3);
  EXPECT_EQ(d.partition, PartitionBy::kColumn);
  EXPECT_EQ(d.partition_column, "site");
  EXPECT_EQ(report(arrays("class_values: [1, 2], classes: 2")), "");
  EXPECT_THAT(report(arrays("class_values: [1, 2], classes: 3")),
              HasSubstr("data.arrays.classes is 3, but class_values holds 2 values"));
  EXPECT_THAT(report(arrays("class_values: [1, 2, 1]")), HasSubstr("data.arrays.class_values holds 1 twice"));
  EXPECT_THAT(report(arrays("class_values: [1]")), HasSubstr("data.arrays.class_values must hold at least two values"));
  EXPECT_THAT(report(arrays("class_values: [1, 2, 3]"), {"training.class_weights=[1, 2]"}),
              HasSubstr("holds 2 weights, the data has 3 classes"));
}

TEST_F(LoadSchedule, Int8AndPeersArrive) {
  const StudyConfig c =
      load(kStudy, {"wire={activation: int8, gradient: int8}",
                    "connection={endpoint: \"tcp://h:1\", server_public_key: p, secret_key: s, peers: /k/peers}"})
          .config;
  EXPECT_EQ(c.wire.activation, Codec::kInt8);
  EXPECT_EQ(c.wire.gradient, Codec::kInt8);
  EXPECT_EQ(c.connection->peers, "/k/peers");
}

}  // namespace
}  // namespace sutura
