// Training ends at the pass that the validation figures of an unhurried run say, and what the run keeps is the best of them.
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/engine/fit_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::map<std::string, json> summaries(const Trained& t) {
  std::map<std::string, json> all;
  for (const auto& entry : std::filesystem::directory_iterator(t.output))
    if (entry.is_directory() && std::filesystem::exists(entry.path() / "summary.json")) {
      std::ifstream file(entry.path() / "summary.json");
      all[entry.path().filename().string()] = json::parse(file);
    }
  std::ifstream file(t.output / "summary.json");
  all["pooled"] = json::parse(file);
  EXPECT_GE(all.size(), 2u);
  return all;
}

/// Empty if both runs ended with the same weights and optimizers, to the bit.
std::string end_difference(const Trained& a, const Trained& b) {
  EXPECT_EQ(a.files.size(), b.files.size());
  for (const auto& [file, weights] : a.files)
    if (const std::string d = difference(weights, b.files.at(file)); !d.empty()) return file + ": " + d;
  for (const auto& [file, state] : a.states)
    if (const std::string d = difference(state, b.states.at(file)); !d.empty()) return file + ", optimizer: " + d;
  return {};
}

class Fit : public SplitRun, public ::testing::WithParamInterface<FitCase> {
 protected:
  Trained train(const FitCase& c, std::int64_t epochs, const std::string& more) {
    StudyText text = c.text;
    text.epochs = epochs;
    text.training_more = more;
    return run(text, records_of(c));
  }
};
INSTANTIATE_TEST_SUITE_P(Places, Fit, ::testing::ValuesIn(fit_cases()), [](const auto& info) { return info.param.name; });

TEST_P(Fit, TheRunEndsWithTheWeightsOfTheBestPass) {
  const FitCase& c = GetParam();
  const Trained kept = train(c, c.text.epochs, ", keep: best");
  const std::int64_t best = best_of(validation_figures(kept, c));
  ASSERT_LT(best + 1, c.text.epochs) << "the last pass is the best: this would prove nothing";
  EXPECT_EQ(kept.result.best_epoch, best);
  EXPECT_EQ(kept.result.epochs.size(), static_cast<std::size_t>(c.text.epochs));
  const Trained shorter = train(c, best + 1, "");
  EXPECT_EQ(end_difference(kept, shorter), "");
  EXPECT_EQ(to_json(kept.result.test.value()), to_json(shorter.result.test.value())) << "test figures of the best weights";
  for (const auto& [key, s] : shorter.result.scores) EXPECT_EQ(kept.result.scores.at(key).values, s.values);
  const auto theirs = summaries(shorter);
  for (const auto& [process, j] : summaries(kept)) {
    EXPECT_EQ(j.at("best_epoch"), best) << process;
    EXPECT_EQ(j.at("stopped_early"), false) << process;
    for (const char* figure : {"loss", "auc", "accuracy", "balanced_accuracy", "sites"})
      EXPECT_EQ(j.at(figure), theirs.at(process).at(figure)) << process << ", " << figure;
    EXPECT_EQ(theirs.at(process).at("best_epoch"), nullptr) << process;
  }
  const Trained last = train(c, c.text.epochs, "");
  EXPECT_NE(end_difference(kept, last), "") << "negative control: the last weights are others";
  EXPECT_NE(to_json(kept.result.test.value()), to_json(last.result.test.value()));
  EXPECT_EQ(validation_figures(kept, c), validation_figures(last, c)) << "keeping does not change training";
}

TEST_P(Fit, TrainingEndsWhereTheFiguresSay) {
  const FitCase& c = GetParam();
  const Trained whole = train(c, c.text.epochs, "");
  const auto figures = validation_figures(whole, c);
  ASSERT_EQ(figures.size(), static_cast<std::size_t>(c.text.epochs));
  const Patience patience{2, 0.0, Figure::kLoss};
  const std::int64_t end = epochs_until_stop(figures, patience);
  ASSERT_LT(end, c.text.epochs) << "nothing would be stopped";
  const Trained stopped = train(c, c.text.epochs, early_stopping(patience));
  EXPECT_EQ(stopped.result.epochs.size(), static_cast<std::size_t>(end));
  auto told = validation_figures(stopped, c);
  EXPECT_TRUE(std::equal(told.begin(), told.end(), figures.begin())) << "training until then is the same";
  EXPECT_EQ(end_difference(stopped, train(c, end, "")), "") << "keep: last, so the weights are those of the last pass";
  for (const auto& [process, j] : summaries(stopped)) {
    EXPECT_EQ(j.at("epochs"), end) << process;
    EXPECT_EQ(j.at("stopped_early"), true) << process;
    EXPECT_EQ(j.at("best_epoch"), nullptr) << process;
  }
}

TEST_P(Fit, ARunThatStopsEarlyCanKeepItsBest) {
  const FitCase& c = GetParam();
  const Trained both = train(c, c.text.epochs, ", keep: best" + early_stopping({2, 0.0, Figure::kLoss}));
  EXPECT_TRUE(both.result.stopped_early);
  const std::int64_t best = best_of(validation_figures(both, c));
  EXPECT_EQ(both.result.best_epoch, best);
  EXPECT_LT(best + 1, static_cast<std::int64_t>(both.result.epochs.size()));
  EXPECT_EQ(end_difference(both, train(c, best + 1, "")), "");
}

class Stopping : public Fit {};
INSTANTIATE_TEST_SUITE_P(Places, Stopping, ::testing::Values(fit_case("loss_at_server"), fit_case("loss_at_one_client"), fit_case("no_server")),
                         [](const auto& info) { return info.param.name; });

TEST_P(Stopping, PatienceDeltaFigureAndRhythmAllMatter) {
  const FitCase& c = GetParam();
  std::set<std::int64_t> ends;
  for (const std::int64_t every : {1, 3}) {
    const std::string rhythm = ", evaluate_every: " + std::to_string(every);
    const Trained whole = train(c, c.text.epochs, rhythm);
    for (const Patience& p : {Patience{1, 0.0, Figure::kLoss}, Patience{2, 0.02, Figure::kLoss}, Patience{1, 0.0, Figure::kAuc},
                              Patience{3, 0.0, Figure::kAuc}, Patience{2, 100.0, Figure::kLoss}, Patience{100, 0.0, Figure::kLoss}}) {
      const std::int64_t end = epochs_until_stop(validation_figures(whole, c, p.by), p);
      const Trained stopped = train(c, c.text.epochs, rhythm + early_stopping(p));
      EXPECT_EQ(stopped.result.epochs.size(), static_cast<std::size_t>(end)) << rhythm << early_stopping(p);
      EXPECT_EQ(stopped.result.stopped_early, end < c.text.epochs) << rhythm << early_stopping(p);
      ends.insert(end);
    }
  }
  EXPECT_GE(ends.size(), 4u) << "settings that change nothing would be untested";
  EXPECT_TRUE(ends.contains(c.text.epochs));
}

TEST_P(Stopping, TheBestByAucIsTheFirstOfItsHeight) {
  const FitCase& c = GetParam();
  const Trained kept = train(c, c.text.epochs, ", keep: best, best_by: auc");
  const std::int64_t best = best_of(validation_figures(kept, c, Figure::kAuc), Figure::kAuc);
  EXPECT_EQ(kept.result.best_epoch, best);
  EXPECT_EQ(end_difference(kept, train(c, best + 1, "")), "");
}

// ---- sites that come and go ----------------------------------------------------------------------------------------------

TEST_F(Fit, ASiteThatJoinsAgainHasNoEarlierBestToGoBackTo) {
  // East is lost where round 2 begins and comes back for a later one. What was best before that lies with the others alone, so
  // the run ends with the best pass since: all parties put back weights of one epoch.
  const FitCase c = fit_case("loss_at_server");
  StudyText text = c.text;
  text.training_more = ", keep: best";
  const auto sites = records_of(c);
  const Trained undisturbed = run(text, sites);
  std::ifstream recorded(undisturbed.output / "server" / "decisions.jsonl");
  std::string decisions(std::istreambuf_iterator<char>(recorded), {});
  const auto add = [&](const std::string& event, std::int64_t round, std::uint64_t step) {
    decisions += json{{"event", event}, {"who", "east"}, {"round", round}, {"step", step}, {"turn", -1}, {"part", -1},
                      {"instruction", static_cast<int>(Between::kRoundStart)}, {"code", name(Errc::kNetwork)}, {"reason", "a test"}}
                     .dump() + "\n";
  };
  const StepPlanner planner(undisturbed.prepared->study(), text.sites, {{33, 11, 9}, {17, 7, 6}});
  add("left", 2, planner.pass(Purpose::kEvaluate, Split::kValidation, 1).back().id);
  constexpr std::int64_t kNever = 0;
  for (const std::int64_t round : {kNever, std::int64_t{4}, std::int64_t{12}}) {
    const std::string before = decisions;
    if (round != kNever) add("joined", round, 0);
    const auto folder = undisturbed.output.parent_path() / ("joined_" + std::to_string(round));
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "decisions.jsonl") << decisions;
    decisions = before;
    Trained t;
    t.output = folder;
    t.result = simulate(*undisturbed.prepared, sites, folder, {}, folder / "decisions.jsonl");
    const auto figures = validation_figures(t, c);
    ASSERT_EQ(figures.size(), static_cast<std::size_t>(text.epochs));
    const std::int64_t best = round + best_of({figures.begin() + round, figures.end()});
    EXPECT_EQ(t.result.best_epoch, best) << "joined at round " << round;
    if (round == 12) {
      EXPECT_NE(best, best_of(figures)) << "an earlier pass was better";
    }
    for (const auto& [process, j] : summaries(t)) {
      if (process == "east" && round == kNever) continue;
      EXPECT_EQ(j.at("best_epoch"), best) << process << ", joined at round " << round;
    }
  }
}

// ---- what is refused -----------------------------------------------------------------------------------------------------

class Selecting : public Fit {
 protected:
  static std::string refusal(const std::function<void()>& what) {
    try {
      what();
    } catch (const Error& e) {
      return std::string(name(e.code())) + ": " + e.what();
    }
    return "nothing was refused";
  }
};

TEST_F(Selecting, AnAucThatLiesInPiecesAtTheSitesIsRefused) {
  for (const std::string more : {", keep: best, best_by: auc", ", early_stopping: {patience: 2}, best_by: auc"}) {
    const std::string text = refusal([&] { train(fit_case("loss_at_each_site"), 2, more); });
    EXPECT_THAT(text, HasSubstr(std::string(name(Errc::kConfig)) + ": "));
    EXPECT_THAT(text, HasSubstr("training.best_by auc: each site holds its own labels"));
    EXPECT_THAT(text, HasSubstr("study.yaml:")) << "the place in the file";
  }
  FitCase alone = fit_case("loss_at_each_site");
  alone.text.sites = {"north"};  // the AUC of one site is that of all records
  alone.loss_at = alone.text.sites;
  const Trained one = train(alone, 3, ", keep: best, best_by: auc");
  EXPECT_EQ(one.result.best_epoch, best_of(validation_figures(one, alone, Figure::kAuc), Figure::kAuc));
}

TEST_F(Selecting, ReleaseOnceHasNoValidationToSelectBy) {
  FitCase c = fit_case("loss_at_server");
  c.text.network += ", frozen: [front]";
  c.text.schedule = "{visit: together}";
  c.text.privacy =
      "{mechanism: rows, regime: release-once, relation: replace-one, epsilon: 8, delta: 1e-5, clip_norm: 1, wire: int8, labels: public}";
  EXPECT_THAT(refusal([&] { train(c, 2, ", keep: best"); }), HasSubstr("training.keep best needs validation during training"));
  EXPECT_THAT(refusal([&] { train(c, 2, early_stopping({2, 0.0, Figure::kLoss})); }),
              HasSubstr("training.early_stopping needs validation during training"));
  EXPECT_EQ(train(c, 2, "").result.best_epoch, -1) << "without a selection it runs";
}

TEST_F(Selecting, AnAucOfOneClassEndsTheRun) {
  const FitCase c = fit_case("loss_at_server");
  std::vector<SiteData> sites = records_of(c);
  for (SiteData& s : sites) std::ranges::fill(s.validation.labels.as<std::int32_t>(), 0);
  StudyText text = c.text;
  text.training_more = ", keep: best, best_by: auc";
  const std::string refused = refusal([&] { run(text, sites); });
  EXPECT_THAT(refused, HasSubstr("need validation records, of both classes"));
  EXPECT_THAT(refused, HasSubstr(std::string(name(Errc::kData))));
}

TEST_F(Selecting, WhatTheSelectionSendsIsOnTheEgressList) {
  const auto list = [&](const FitCase& c, const std::string& more) { return egress_text(train(c, 1, more).prepared->egress); };
  const std::string figure = "validation figure of each epoch", verdict = "which epoch is the best";
  EXPECT_THAT(list(fit_case("loss_at_each_site"), ", keep: best"), ::testing::AllOf(HasSubstr(figure), HasSubstr(verdict)));
  EXPECT_THAT(list(fit_case("loss_at_one_client"), ", keep: best"), HasSubstr("clinic      -> server       " + figure));
  EXPECT_THAT(list(fit_case("loss_at_each_site"), ""), Not(HasSubstr(figure)));
  EXPECT_THAT(list(fit_case("loss_at_server"), ", keep: best"), Not(HasSubstr(figure))) << "the server has it from its own loss";
}

}  // namespace
}  // namespace sutura
