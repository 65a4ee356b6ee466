// sutura compare: every figure of a baseline equals that of a study written by hand for it.
#include "runtime/engine/compare.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/load.h"
#include "runtime/data/metrics.h"
#include "runtime/engine/study_records.h"
#include "runtime/engine/study_run.h"
#include "runtime/tools/compare_command.h"
#include "tests/integration/trial.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using nlohmann::json;

constexpr const char* kTraining =
    "training: {loss: binary_cross_entropy, epochs: 3, batch_size: 16, optimizer: {name: adamw, learning_rate: 0.01}}\n"
    "compute: {default: {backend: reference, threads: 1}}\n";
constexpr const char* kClear = "privacy: {mechanism: none, because: a test, labels: public}\n";
constexpr const char* kNoise =
    "privacy: {mechanism: rows, regime: message-noise, relation: replace-one, labels: public, epsilon: 40, delta: 1e-5, "
    "clip_norm: 2, wire: int8}\n";
constexpr const char* kNetwork = "network: {zoo: mlp, hidden: [4, 4]";

/// Few columns, so that three epochs leave something to tell apart.
std::string table(const std::string& path, const std::string& features = "mean_texture, mean_smoothness, worst_symmetry") {
  return "  table: {path: \"" + path + "\", label: diagnosis, classes: [B, M], features: [" + features + "]}\n" +
         "  standardize: training\n  test_fraction: 0.3\n";
}

class Compare : public Trial {
 protected:
  /// The shipped records, dealt out to two files, a row in three to the second.
  void write_sites() {
    std::istringstream in(content_of(shipped_records()));
    std::string line, header;
    std::getline(in, header);
    std::array<std::string, 2> files{header + "\n", header + "\n"};
    for (int i = 0; std::getline(in, line); ++i) files[i % 3 == 2 ? 1 : 0] += line + "\n";
    write("data/east.csv", files[0]);
    write("data/west.csv", files[1]);
  }

  std::filesystem::path horizontal(const std::string& sites = "[east, west]", const std::string& privacy = kClear) {
    return write_study("joint.yaml", "include: [topologies/vanilla.yaml]\nstudy: joint\nseed: 1\ndata:\n" +
                                         table("../data/{site}.csv") + "  sites: " + sites + "\n" + kNetwork +
                                         ", cuts: [act1]}\nschedule: {visit: together, tail: shared, average: [front]}\n" +
                                         kTraining + privacy);
  }

  json run(const std::vector<std::string>& arguments) {
    auto p = start("sutura", arguments);
    expect_exit(*p, 0);
    const json j = json::parse(p->out(), nullptr, false);
    EXPECT_TRUE(j.is_object()) << p->out();
    return j;
  }
  json compared(const std::filesystem::path& study, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"compare", study.string(), "--json", "--quiet"});
    return run(more);
  }
  json simulated(const std::filesystem::path& study, const std::string& seed) {
    return run({"simulate", study.string(), "seed=" + seed, "--json", "--quiet", "--output", "by_hand"});
  }
};

const json& row_of(const json& comparison, const std::string& name) {
  for (const json& r : comparison.at("rows"))
    if (r.at("name") == name) return r;
  throw Error(Errc::kInternal, "no row " + name);
}

double value(const json& comparison, const std::string& row, const std::string& figure, const std::string& setting, std::size_t seed = 0) {
  return row_of(comparison, row).at("figures").at(figure).at(setting).at("values").at(seed).get<double>();
}

TEST_F(Compare, ASiteAloneIsTheStudyOfThatSiteAlone) {
  write_sites();
  const json c = compared(horizontal(), {"--seeds", "1..2"});
  const auto local = write_study("local.yaml", std::string("include: [topologies/local.yaml]\nstudy: local\nseed: 1\ndata:\n") +
                                                   table("../data/{site}.csv") + "  sites: [west]\n" + kNetwork + "}\n" + kTraining +
                                                   kClear);
  for (const std::size_t seed : {0u, 1u}) {
    const json by_hand = simulated(local, std::to_string(seed + 1));
    EXPECT_EQ(value(c, "west", "auc", "alone", seed), by_hand.at("auc").get<double>());
    EXPECT_EQ(value(c, "west", "accuracy", "alone", seed), by_hand.at("accuracy").get<double>());
    EXPECT_NE(value(c, "east", "auc", "alone", seed), by_hand.at("auc").get<double>());
  }
  const auto settings = [&](const std::string& run) {
    return content_of(folder() / "runs/joint-compare/seed-2" / run / "config_resolved.txt");
  };
  EXPECT_THAT(settings("alone-west"), HasSubstr("compare.baseline = site west alone"));
  EXPECT_THAT(settings("joint"), ::testing::Not(HasSubstr("compare.baseline")));
  // The joint run is the study itself, site by site and together.
  EXPECT_EQ(value(c, "all sites", "auc", "joint"), simulated(folder() / "configs/joint.yaml", "1").at("auc").get<double>());
  EXPECT_EQ(row_of(c, "east").at("test").get<double>() + row_of(c, "west").at("test").get<double>(),
            row_of(c, "all sites").at("test").get<double>());
}

TEST_F(Compare, OneSiteWithoutNoiseGainsNothing) {
  write_sites();
  const json clear = compared(horizontal("[east]"));
  EXPECT_EQ(value(clear, "east", "auc", "gain"), 0.0);
  EXPECT_EQ(value(clear, "east", "accuracy", "gain"), 0.0);
  EXPECT_GT(value(clear, "east", "auc", "joint"), 0.6);
  const json noisy = compared(horizontal("[east]", kNoise));
  EXPECT_NE(value(noisy, "east", "auc", "gain"), 0.0);
  EXPECT_EQ(value(noisy, "east", "auc", "alone"), value(clear, "east", "auc", "alone")) << "the baseline has a guard";
  EXPECT_THAT(noisy.at("joint_guard").get<std::string>(), HasSubstr("message-noise"));
}

TEST_F(Compare, GainMeanAndSpreadAreThoseOfTheValues) {
  write_sites();
  const json c = compared(horizontal(), {"--seeds", "4,1,2"});
  EXPECT_EQ(c.at("seeds"), (std::vector<int>{4, 1, 2}));
  const json& auc = row_of(c, "east").at("figures").at("auc");
  double sum = 0.0, square = 0.0;
  for (const std::size_t s : {0u, 1u, 2u}) {
    EXPECT_EQ(value(c, "east", "auc", "gain", s), value(c, "east", "auc", "joint", s) - value(c, "east", "auc", "alone", s));
    sum += value(c, "east", "auc", "joint", s);
  }
  for (const std::size_t s : {0u, 1u, 2u}) square += std::pow(value(c, "east", "auc", "joint", s) - sum / 3.0, 2.0);
  EXPECT_NEAR(auc.at("joint").at("mean").get<double>(), sum / 3.0, 1e-12);
  EXPECT_NEAR(auc.at("joint").at("sd").get<double>(), std::sqrt(square / 2.0), 1e-12);
  EXPECT_GT(auc.at("joint").at("sd").get<double>(), 0.0);
}

TEST_F(Compare, PooledTestsEverySiteWithOneNetwork) {
  write_sites();
  const json c = compared(horizontal());
  // The whole is between its parts where accuracies are shares of records: weighted by test records they add up exactly.
  double right = 0.0;
  for (const std::string site : {"east", "west"})
    right += value(c, site, "accuracy", "pooled") * row_of(c, site).at("test").get<double>();
  EXPECT_NEAR(right, value(c, "all sites", "accuracy", "pooled") * row_of(c, "all sites").at("test").get<double>(), 1e-9);
  EXPECT_NE(value(c, "west", "auc", "pooled"), value(c, "west", "auc", "alone"));
}

TEST_F(Compare, PooledRecordsKeepTheirLabelsInTheOrderOfTheSites) {
  write_sites();
  const LoadedStudy loaded = load_study(horizontal());
  const std::vector<SiteData> sites = load_study_records(loaded.config);
  const SiteData pool = pooled_sites(sites, "pooled");
  ASSERT_EQ(pool.train.size(), sites[0].train.size() + sites[1].train.size());
  const std::int64_t n = sites[0].train.size();
  EXPECT_TRUE(std::ranges::equal(pool.train.features.rows(n, 5).f32(), sites[1].train.features.rows(0, 5).f32()));
  EXPECT_TRUE(std::ranges::equal(pool.train.labels.rows(n, 5).as<std::int32_t>(), sites[1].train.labels.rows(0, 5).as<std::int32_t>()));
  EXPECT_TRUE(std::ranges::equal(pool.train.features.rows(0, n).f32(), sites[0].train.features.f32()));
  EXPECT_EQ(pool.validation.size(), 0);
  EXPECT_EQ(pool.test.size(), sites[0].test.size() + sites[1].test.size());
}

class CompareParties : public Compare {
 protected:
  std::filesystem::path vertical(const std::string& more = kClear) {
    return write_study("vertical.yaml",
                       "include: [topologies/vertical.yaml]\nstudy: vertical\nseed: 1\ndata:\n" +
                           table(shipped_records().string(), "mean_texture, mean_smoothness, worst_symmetry, worst_texture") +
                           "  sites: [cohort]\n  party_columns: {clinic: [mean_texture, mean_smoothness], laboratory: "
                           "[worst_symmetry, worst_texture]}\n"
                           "network:\n  segments:\n    front_clinic: {layers: [{name: c, type: linear, outputs: 3}, {name: ca, type: relu}]}\n"
                           "    front_laboratory: {layers: [{name: l, type: linear, outputs: 4}, {name: la, type: relu}]}\n"
                           "    tail: {layers: [{name: out, type: linear, outputs: -1}]}\n" +
                           kTraining + more);
  }
};

TEST_F(CompareParties, APartyAloneIsTheStudyOfItsColumns) {
  const json c = compared(vertical());
  const auto by_hand = write_study(
      "laboratory.yaml",
      "include: [topologies/local.yaml]\nstudy: laboratory\nseed: 1\ndata:\n" +
          table(shipped_records().string(), "worst_symmetry, worst_texture") + "  sites: [cohort]\n" +
          "network: {layers: [{name: l, type: linear, outputs: 4}, {name: la, type: relu}, {name: out, type: linear, outputs: -1}]}\n" +
          kTraining + kClear);
  EXPECT_EQ(value(c, "laboratory", "auc", "alone"), simulated(by_hand, "1").at("auc").get<double>());
  EXPECT_NE(value(c, "clinic", "auc", "alone"), value(c, "laboratory", "auc", "alone"));
  EXPECT_EQ(value(c, "laboratory", "auc", "joint"), value(c, "all parties", "auc", "joint"));
  EXPECT_TRUE(row_of(c, "all parties").at("figures").at("auc").at("alone").at("mean").is_null());
}

TEST_F(CompareParties, PooledIsTheJointRunWithoutItsGuards) {
  const json clear = compared(vertical());
  EXPECT_TRUE(clear.at("pooled_is_joint").get<bool>());
  EXPECT_EQ(value(clear, "all parties", "auc", "pooled"), value(clear, "all parties", "auc", "joint"));
  const json noisy = compared(vertical(kNoise));
  EXPECT_FALSE(noisy.at("pooled_is_joint").get<bool>());
  EXPECT_EQ(value(noisy, "all parties", "auc", "pooled"), value(clear, "all parties", "auc", "joint"));
  EXPECT_NE(value(noisy, "all parties", "auc", "joint"), value(clear, "all parties", "auc", "joint"));
}

TEST_F(CompareParties, WithFilesOfTheirOwnAreAlignedAndComparedToo) {
  const json j = run({"compare", shipped("wdbc_vertical.yaml").string(), "training.epochs=2", "--json", "--quiet", "--output", "aligned"});
  ASSERT_EQ(j.at("rows").size(), 3U) << "two parties and all of them";
  for (const json& row : j.at("rows")) {
    EXPECT_GT(row.at("test").get<double>(), 0.0);
    EXPECT_LT(row.at("train").get<double>() + row.at("test").get<double>(), 521.0) << "520 patients are common";
  }
}

TEST_F(CompareParties, FoldsArePooledBeforeTheFigureIsTaken) {
  const auto path = vertical();
  // Another split stands in for each fold, so that the expectation needs nothing of the splitter.
  const auto split = [&](std::int64_t fold) {
    LoadedStudy s = load_study(path, {"seed=" + std::to_string(20 + fold)});
    s.config.data.test_fraction = 0.0;
    s.config.data.folds = 2;
    return s;
  };
  const StudyLoader load = [&](const std::vector<std::string>& overrides) {
    return split(!overrides.empty() && overrides.back() == "data.fold=1" ? 1 : 0);
  };
  const Comparison c = compare(load, {1}, Folds::kAll, folder() / "out", {});
  EXPECT_EQ(c.folds, 2);
  Scores both;
  double mean = 0.0;
  for (const std::int64_t fold : {0, 1}) {
    const LoadedStudy s = split(fold);
    const std::vector<SiteData> sites = load_sites(s.config.data, s.config.seed);
    const PartyResult r = simulate(prepare(s, feature_rows(s.config, &sites[0])), sites, folder() / "again", {});
    const Scores& own = r.scores.at({0, Split::kTest});
    both.values.insert(both.values.end(), own.values.begin(), own.values.end());
    both.labels.insert(both.labels.end(), own.labels.begin(), own.labels.end());
    mean += r.test->auc.value() / 2.0;
  }
  const std::vector<std::int32_t> labels(both.labels.begin(), both.labels.end());
  const auto joint = c.rows.back().values[0][static_cast<std::size_t>(Setting::kJoint)];
  ASSERT_EQ(joint.size(), 1u);
  EXPECT_EQ(joint[0], auc(both.values, labels)->value);
  EXPECT_NE(joint[0], mean);
  EXPECT_EQ(c.rows.back().test_records, static_cast<double>(labels.size()));
}

TEST_F(Compare, ALocallyTestedStudyIsComparedSiteBySite) {
  study = shipped("wdbc_release_once.yaml");
  const json c = compared(study, {"--seeds", "1..3", "control_permutations=0"});
  for (const std::string site : {kHospitalA, kHospitalB})
    for (const std::string setting : {"joint", "alone", "pooled"}) EXPECT_GT(value(c, site, "auc", setting), 0.9) << site << setting;
  // Noise is fresh in every run, and two AUCs of seventy records are equal now and then: not in every figure of three seeds.
  const auto joint = [&](const std::string& site) {
    const json& figures = row_of(c, site).at("figures");
    return std::pair(figures.at("auc").at("joint").at("values"), figures.at("accuracy").at("joint").at("values"));
  };
  EXPECT_NE(joint(kHospitalA), joint(kHospitalB));
}

TEST_F(Compare, WhatCannotBeComparedIsRefusedWithTheReason) {
  write_sites();
  const auto refused = [&](const std::vector<std::string>& arguments, int status, const std::string& text) {
    auto p = start("sutura", arguments);
    expect_exit(*p, status);
    EXPECT_THAT(p->err(), HasSubstr(text));
  };
  const auto local = write_study("local.yaml", std::string("include: [topologies/local.yaml]\nstudy: local\nseed: 1\ndata:\n") +
                                                   table("../data/{site}.csv") + "  sites: [west]\n" + kNetwork + "}\n" + kTraining +
                                                   kClear);
  const std::string joint = horizontal().string();
  refused({"compare", local.string()}, exit_status(Errc::kConfig), "nobody to join");
  refused({"compare", joint, "data.test_fraction=0"}, exit_status(Errc::kConfig), "no test records");
  refused({"compare", joint, "--folds"}, exit_status(Errc::kConfig), "no folds");
  refused({"compare", joint, "--seeds", "3..1"}, exit_status(Errc::kUsage), "smaller to the larger");
  refused({"compare", joint, "--seeds", "1,,2"}, exit_status(Errc::kUsage), "whole numbers");
  refused({"compare", joint, "--seeds", "1..3,2"}, exit_status(Errc::kUsage), "twice");
}

TEST(CompareSeeds, ListsAndRanges) {
  EXPECT_THAT(parse_seeds("7"), ElementsAre(7u));
  EXPECT_THAT(parse_seeds("1..4,9"), ElementsAre(1u, 2u, 3u, 4u, 9u));
  for (const char* wrong : {"", "a", "-1", "1..", "..2", "1...3", "1..99999999", "99999999999999999999"})
    EXPECT_THROW(static_cast<void>(parse_seeds(wrong)), Error) << wrong;
}

TEST(CompareFigures, AreThoseOfTheMetricsAndKnowWhatIsBetter) {
  const Scores three{{0.7f, 0.2f, 0.1f, 0.1f, 0.8f, 0.1f, 0.3f, 0.3f, 0.4f, 0.6f, 0.3f, 0.1f}, {0.0f, 1.0f, 2.0f, 1.0f}};
  const auto kinds = figures_of(LossKind::kCrossEntropy, 3);
  ASSERT_EQ(kinds.size(), 3u);
  EXPECT_DOUBLE_EQ(figure(kinds[1], three, LossKind::kCrossEntropy).value(), 0.75);
  EXPECT_DOUBLE_EQ(figure(kinds[2], three, LossKind::kCrossEntropy).value(), (2.0 / 3.0 + 2.0 / 3.0 + 1.0) / 3.0);
  const auto error = figures_of(LossKind::kMeanSquaredError, 0);
  EXPECT_DOUBLE_EQ(figure(error[0], {{1.0f, 3.0f}, {0.0f, 1.0f}}, LossKind::kMeanSquaredError).value(), 2.5);
  EXPECT_DOUBLE_EQ(gain(error[0], 2.0, 2.5).value(), 0.5) << "a smaller error is a gain";
  EXPECT_DOUBLE_EQ(gain(kinds[0], 0.75, 0.5).value(), 0.25);
  EXPECT_FALSE(gain(kinds[0], std::nullopt, 0.5).has_value());
  EXPECT_FALSE(figure(kinds[0], {}, LossKind::kCrossEntropy).has_value());
  const MeanSd m = mean_sd({0.5, std::nullopt, 1.0});
  EXPECT_EQ(m.n, 2);
  EXPECT_DOUBLE_EQ(m.mean.value(), 0.75);
  EXPECT_NEAR(m.sd.value(), std::sqrt(0.125), 1e-12);
  EXPECT_FALSE(mean_sd({0.5}).sd.has_value());
}

}  // namespace
}  // namespace sutura
