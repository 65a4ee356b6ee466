// The privacy budget over real processes: a release that would cross it is not made.
#include <nlohmann/json.hpp>

#include "runtime/privacy/ledger.h"
#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int kBudget = 9;

/// Epsilon of the most-released record, read from the ledger file itself.
double ledger_total(const std::filesystem::path& file, const std::string& owner, Budget budget) {
  return Ledger(file_store(file), owner, budget).total();
}
std::uint64_t ledger_most(const std::filesystem::path& file, const std::string& owner, Budget budget) {
  return Ledger(file_store(file), owner, budget).most_releases();
}

class BudgetTrial : public Trial {
 protected:
  std::filesystem::path ledger(const std::string& site) const { return folder() / ("ledger_" + site + ".jsonl"); }
  std::string ledger_override() const { return "connection.ledger=" + (folder() / "ledger_{site}.jsonl").string(); }
};

TEST_F(BudgetTrial, TheCrossingComesMidRun) {
  make_keys();
  // A noise multiplier that pays for two epochs, in a study of five.
  shared = {"training.epochs=5", "training.evaluate_every=0", "privacy.noise_multiplier=0.0763", "privacy.epsilon=250"};
  const auto server = start_server();
  const auto a = start_client(kHospitalA, {ledger_override()});
  const auto b = start_client(kHospitalB, {ledger_override()});
  for (Process* p : {a.get(), b.get()}) {
    expect_exit(*p, kBudget);
    EXPECT_THAT(p->err(), HasSubstr("epoch 2/5"));
    EXPECT_THAT(p->err(), HasSubstr("does not allow this release: nothing was drawn or sent"));
  }
  expect_exit(*server, kBudget);
  EXPECT_THAT(server->err(), HasSubstr("every client is gone"));
  for (const std::string site : {kHospitalA, kHospitalB}) {
    EXPECT_LE(ledger_total(ledger(site), site, {250, 1e-5}), 250.0) << site;
    EXPECT_EQ(ledger_most(ledger(site), site, {250, 1e-5}), 2u) << site;
  }
}

TEST_F(BudgetTrial, AHospitalWhoseBudgetIsSpentIsLostAndTheOtherGoesOn) {
  make_keys();
  shared = {"training.epochs=1", "privacy.noise_multiplier=0.0763", "privacy.epsilon=250", "data.validation_fraction=0"};
  {
    // Only hospital_b keeps its ledger over runs; one epoch is spent in this one.
    const auto server = start_server();
    const auto a = start_client(kHospitalA);
    const auto b = start_client(kHospitalB, {ledger_override()});
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
  }
  std::filesystem::remove_all(folder() / "out");
  shared[0] = "training.epochs=2";
  const auto server = start_server();
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB, {ledger_override()});
  expect_exit(*b, kBudget);
  EXPECT_THAT(b->err(), HasSubstr("epoch 1/2"));
  EXPECT_THAT(b->err(), HasSubstr("the privacy budget (250, 1e-05) of hospital_b does not allow this release"));
  expect_exit(*a, 0);
  expect_exit(*server, 0);
  EXPECT_THAT(dropped(), ElementsAre(StartsWith("hospital_b: ")));
  EXPECT_THAT(dropped()[0], HasSubstr("privacy budget"));
  EXPECT_LE(ledger_total(ledger(kHospitalB), kHospitalB, {250, 1e-5}), 250.0);
}

TEST_F(BudgetTrial, ReleaseOnceSendsNothingAfterTheFirstEpochAndASecondRunNothingAtAll) {
  make_keys();
  study = shipped("wdbc_release_once.yaml");
  shared = {"training.epochs=3", "control_permutations=2"};
  {
    const auto server = start_server();
    const auto a = start_client(kHospitalA);
    const auto b = start_client(kHospitalB, {ledger_override()});
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
  }
  const auto lines = metrics("server");
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_GT(lines[0].at("bytes_up").get<std::int64_t>(), 0);
  EXPECT_EQ(lines[1].at("bytes_up"), lines[0].at("bytes_up"));
  EXPECT_EQ(lines[2].at("bytes_up"), lines[0].at("bytes_up"));
  const double spent = ledger_total(ledger(kHospitalB), kHospitalB, {8, 1e-5});
  EXPECT_EQ(ledger_most(ledger(kHospitalB), kHospitalB, {8, 1e-5}), 1u);
  EXPECT_GT(spent, 7.0);
  EXPECT_LE(spent, 8.0);
  EXPECT_EQ(summary(kHospitalB).at("privacy").at("row_releases_epsilon").get<double>(), spent);
  EXPECT_DOUBLE_EQ(summary(kHospitalB).at("privacy").at("epsilon").get<double>(), spent);

  const std::string before = content_of(ledger(kHospitalB));
  std::filesystem::remove_all(folder() / "out");
  const auto server = start_server();
  const auto a = start_client(kHospitalA);
  const auto b = start_client(kHospitalB, {ledger_override()});
  expect_exit(*b, kBudget);
  EXPECT_THAT(b->err(), HasSubstr("does not allow this release: nothing was drawn or sent"));
  EXPECT_EQ(content_of(ledger(kHospitalB)), before) << "the refused release was charged";
  expect_exit(*a, 0);
  expect_exit(*server, 0);
  EXPECT_THAT(dropped(), ElementsAre(StartsWith("hospital_b: ")));
}

// stdout is for programs that read it.
TEST_F(BudgetTrial, ATornLedgerIsMendedAndSaidOnStderr) {
  make_keys();
  for (const bool torn : {false, true}) {
    if (torn) {  // its first line, which names the source of the records, and an unfinished charge
      const std::string text = content_of(ledger(kHospitalA));
      write("ledger_hospital_a.jsonl", text.substr(0, text.find('\n') + 1) + "{\"rec");
    }
    std::filesystem::remove_all(folder() / "out");
    const auto server = start_server();
    const auto a = start_client(kHospitalA, {ledger_override()});
    const auto b = start_client(kHospitalB);
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
    EXPECT_EQ(a->err().find("torn") != std::string::npos, torn) << a->err();
    EXPECT_EQ(a->out().find("torn"), std::string::npos) << a->out();
  }
}

TEST_F(BudgetTrial, ALedgerThatWasTamperedWithIsRefused) {
  make_keys();
  {
    const auto server = start_server();
    const auto a = start_client(kHospitalA, {ledger_override()});
    const auto b = start_client(kHospitalB);
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
  }
  std::string text = content_of(ledger(kHospitalA));
  const std::size_t at = text.find("\"records\":\"");
  ASSERT_NE(at, std::string::npos);
  text[at + 11] = text[at + 11] == '1' ? '2' : '1';
  write("ledger_hospital_a.jsonl", text);
  std::filesystem::remove_all(folder() / "out");
  const auto server = start_server();
  const auto a = start_client(kHospitalA, {ledger_override()});
  const auto b = start_client(kHospitalB);
  expect_exit(*a, 7);
  EXPECT_THAT(a->err(), HasSubstr("line 2 of the privacy ledger is damaged"));
  expect_exit(*b, 0);
  expect_exit(*server, 0);
  EXPECT_THAT(dropped(), ElementsAre(StartsWith("hospital_a: ")));
}

}  // namespace
}  // namespace sutura::testing
