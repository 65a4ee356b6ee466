// What a person reads while a run goes on and when it has ended.
#include "runtime/tools/result_text.h"

#include "runtime/tools/console.h"
#include "tests/equivalence/split_run.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

Evaluation binary(std::int64_t records, double loss, std::optional<double> auc) {
  Evaluation e;
  e.records = records;
  e.loss = loss;
  e.auc = auc;
  e.accuracy = 0.75;
  e.balanced_accuracy = 0.5;
  return e;
}

TEST(EndingText, SaysWhenWhyAndWhoseWeights) {
  TrainingConfig t;
  t.patience = 3;
  PartyResult r;
  r.epochs.resize(7);
  for (std::int64_t e = 0; e < 7; ++e) r.epochs[static_cast<std::size_t>(e)].epoch = e;
  EXPECT_EQ(ending_text(t, r), "") << "it did not end early";
  r.stopped_early = true;
  EXPECT_EQ(ending_text(t, r), "stopped early after epoch 7: no better validation loss for 3 passes");
  r.best_epoch = 3;
  EXPECT_EQ(ending_text(t, r), "stopped early after epoch 7: no better validation loss for 3 passes; weights of epoch 4");
  t.stop_metric = StopMetric::kAuc;
  t.patience = 1;
  t.min_delta = 0.005;
  EXPECT_EQ(ending_text(t, r),
            "stopped early after epoch 7: no better validation AUC for 1 pass (better by more than 0.005); weights of epoch 4");
  r.stopped_early = false;
  EXPECT_EQ(ending_text(t, r), "weights of epoch 4");
}

TEST(SitesText, IsAlignedAndLeavesOutWhatNobodyHas) {
  EXPECT_EQ(sites_text({}), "");
  EXPECT_EQ(sites_text({{"north", binary(10, 0.5, 0.9)}}), "") << "one site is the whole";
  EXPECT_EQ(sites_text({{"north", binary(1200, 0.5, 0.9)}, {"st_mary", binary(7, 0.25, std::nullopt)}}),
            "  site     records     AUC  accuracy  balanced    loss\n"
            "  north       1200  0.9000    0.7500    0.5000  0.5000\n"
            "  st_mary        7     n/a    0.7500    0.5000  0.2500\n");
  Evaluation number;
  number.records = 4;
  number.loss = 1.5;
  EXPECT_EQ(sites_text({{"a", number}, {"b", number}}),
            "  site  records    loss\n"
            "  a           4  1.5000\n"
            "  b           4  1.5000\n");
}

TEST(SitesText, EndsAfterFiftyRowsWithACount) {
  std::vector<std::pair<std::string, Evaluation>> sites;
  for (int i = 0; i < 50; ++i) sites.emplace_back("site_" + std::to_string(i), binary(5, 0.5, 0.5));
  const auto lines = [](const std::string& s) { return std::ranges::count(s, '\n'); };
  EXPECT_EQ(lines(sites_text(sites)), 51);
  EXPECT_THAT(sites_text(sites), AllOf(HasSubstr("site_49"), Not(HasSubstr("more sites"))));
  for (int i = 50; i < 73; ++i) sites.emplace_back("site_" + std::to_string(i), binary(5, 0.5, 0.5));
  EXPECT_EQ(lines(sites_text(sites)), 52);
  EXPECT_THAT(sites_text(sites), AllOf(HasSubstr("site_49"), Not(HasSubstr("site_50")), HasSubstr("  and 23 more sites")));
}

TEST(EpochLine, ShowsWhatThereIs) {
  EpochRecord r;
  r.epoch = 1;
  r.records = 100;
  r.seconds = 0.5;
  EXPECT_EQ(epoch_line(r, 4, 10.0), "epoch 2/4  200 samples/s  10 s left") << "no loss here, no validation";
  r.train_loss = 0.25;
  r.validation = binary(10, 0.5, 0.9);
  r.traffic = {1500, 20};
  EXPECT_EQ(epoch_line(r, 2, 10.0), "epoch 2/2  loss 0.2500  validation loss 0.5000  auc 0.9000  200 samples/s  up 1.5 kB  down 20 B");
}

class Console : public SplitRun {
 protected:
  static StudyText study() {
    StudyText t;
    t.topology = "vanilla";
    t.network = "zoo: mlp, hidden: [5, 4], cuts: [act1]";
    t.sites = {"north", "east"};
    t.record = {1, 6};
    t.epochs = 4;
    t.data_more = ", validation_fraction: 0.2";
    return t;
  }
  static std::vector<SiteData> sites() {
    std::vector<SiteData> all;
    for (const char* name : {"north", "east"}) all.push_back(make_site(name, {1, 6}, {20, 15, 15}));
    return all;
  }
  /// What a run writes to stderr while it goes on, with and without validation or stale steps.
  std::string progress_of(const StudyText& text, int party) {
    const Trained t = run(text, sites());
    Progress progress(*t.prepared, party, 100, Progress::Style::kAuto);
    ::testing::internal::CaptureStderr();
    RunHooks hooks;
    hooks.on_step = [&](const Step& s, const StepResult& r) { progress.step(s, r); };
    hooks.on_epoch = [&](const EpochRecord& r) { progress.epoch(r); };
    simulate(*t.prepared, sites(), folder() / "again", hooks);
    return ::testing::internal::GetCapturedStderr();
  }
};

TEST_F(Console, TheEndOfARunShowsTheSitesAndHowTrainingEnded) {
  StudyText text = study();
  text.training_more = ", keep: best, early_stopping: {patience: 1, min_delta: 100}";
  const Trained t = run(text, sites());
  const std::string out = result_text(*t.prepared, t.result, "server");
  EXPECT_THAT(out, StartsWith("s, server (reference"));
  EXPECT_THAT(out, HasSubstr("  stopped early after epoch 2: no better validation loss for 1 pass (better by more than 100); weights of epoch "));
  EXPECT_THAT(out, HasSubstr("test records of each site\n  site   records"));
  EXPECT_THAT(out, AllOf(HasSubstr("\n  north       15  "), HasSubstr("\n  east        15  ")));
  EXPECT_THAT(out, HasSubstr("on 30 test records, through the study's own split"));
  const Trained plain = run(study(), sites());
  EXPECT_THAT(result_text(*plain.prepared, plain.result, "server"), AllOf(Not(HasSubstr("stopped")), Not(HasSubstr("weights of epoch"))));
}

TEST_F(Console, EveryEpochHasItsLine) {
  StudyText text = study();
  const int server = 1;
  const auto lines = [](const std::string& s) { return std::ranges::count(s, '\n'); };
  const std::string whole = progress_of(text, server);
  EXPECT_EQ(lines(whole), 4) << whole;
  EXPECT_THAT(whole, AllOf(HasSubstr("epoch 1/4  loss 0."), HasSubstr("epoch 4/4  loss 0."), HasSubstr("validation loss 0.")));
  text.training_more = ", evaluate_every: 0";
  const std::string rare = progress_of(text, server);
  EXPECT_EQ(lines(rare), 4) << rare;
  EXPECT_THAT(rare.substr(0, rare.find("epoch 4/4")), Not(HasSubstr("validation")));
  EXPECT_THAT(rare.substr(rare.find("epoch 4/4")), HasSubstr("validation loss"));
  text.training_more = ", stale: 1";
  const std::string stale = progress_of(text, server);
  EXPECT_EQ(lines(stale), 4) << stale;
  EXPECT_THAT(stale, AllOf(HasSubstr("epoch 1/4  loss 0."), Not(HasSubstr("nan"))));
}

}  // namespace
}  // namespace sutura
