// A study over real sockets learns what it learns in one process, to the bit; and what it writes holds no record, no name
// and no key.
#include <nlohmann/json.hpp>
#include <sstream>

#include "tests/integration/trial.h"

namespace sutura::testing {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* name;
  const char* study;
  Overrides overrides;
};
void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

std::ptrdiff_t entries(const std::filesystem::path& folder) {
  return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

class Sockets : public Trial, public ::testing::WithParamInterface<Case> {};

TEST_P(Sockets, LearnWhatOneProcessLearns) {
  make_keys();
  study = shipped(GetParam().study);
  shared = GetParam().overrides;
  shared.insert(shared.end(), {"privacy.mechanism=none", "privacy.because=test"});
  {
    const auto server = start_server();
    const auto a = start_client(kHospitalA);
    const auto b = start_client(kHospitalB);
    for (Process* p : {a.get(), b.get(), server.get()}) expect_exit(*p, 0);
  }
  std::vector<std::string> arguments{"simulate", study.string(), "--output", "alone"};
  arguments.insert(arguments.end(), shared.begin(), shared.end());
  expect_exit(*start("sutura", arguments), 0);

  std::size_t weights = 0;
  for (const std::string party : {"server", kHospitalA, kHospitalB}) {
    const auto alone = folder() / "alone" / party;
    for (const auto& entry : std::filesystem::directory_iterator(alone / "weights")) {
      EXPECT_EQ(content_of(entry.path()), content_of(output(party) / "weights" / entry.path().filename())) << entry.path();
      ++weights;
    }
    EXPECT_EQ(entries(alone / "weights"), entries(output(party) / "weights")) << party;
    std::istringstream lines(content_of(alone / "metrics.jsonl"));
    const auto socket_lines = metrics(party);
    std::size_t n = 0;
    for (std::string line; std::getline(lines, line); ++n) {
      const auto j = nlohmann::json::parse(line);
      ASSERT_LT(n, socket_lines.size()) << party;
      for (const char* figure : {"epoch", "train_loss", "validation", "records", "bytes_up", "bytes_down"})
        EXPECT_EQ(j.at(figure), socket_lines[n].at(figure)) << party << " " << figure << " of line " << n;
    }
    EXPECT_EQ(n, socket_lines.size());
    EXPECT_GE(n, 1u);
  }
  EXPECT_GE(weights, 3u) << "there is nothing to compare";
}

INSTANTIATE_TEST_SUITE_P(
    Studies, Sockets,
    ::testing::Values(Case{"together", "wdbc_vanilla.yaml", {"training.epochs=2"}},
                      Case{"together_in_micro_batches", "wdbc_vanilla.yaml", {"training.epochs=2", "training.micro_batches=3"}},
                      Case{"with_tails_averaged",
                           "wdbc_vanilla.yaml",
                           {"training.epochs=2", "schedule.tail=per_client", "schedule.average=[tail]"}},
                      Case{"in_turn", "wdbc_vanilla.yaml", {"training.epochs=2", "schedule.visit=in_turn"}}),
    [](const auto& test) { return std::string(test.param.name); });

constexpr char kPatient[] = "Canary Patientname";
constexpr char kValue[] = "1731.4142";

/// Records with a column of names that the study drops, and one measurement that nobody else has.
std::string marked_records() {
  std::istringstream in(content_of(shipped_records()));
  std::string out;
  std::size_t row = 0;
  for (std::string line; std::getline(in, line); ++row) {
    if (row > 0) {
      const std::size_t first = line.find(',') + 1;
      if (row % 50 == 1) line = line.substr(0, first) + kValue + line.substr(line.find(',', first));
    }
    out += line + "," + (row == 0 ? "patient" : kPatient) + "\n";
  }
  return out;
}

TEST_F(Trial, NothingThatIsWrittenHoldsARecordANameOrAKey) {
  make_keys();
  const auto table = write("private/records.csv", marked_records());
  shared = {"training.epochs=2", "data.table.path=" + table.string(), "data.table.drop=[patient]"};
  std::vector<std::unique_ptr<Process>> all;
  all.push_back(start_server());
  all.push_back(start_client(kHospitalA));
  all.push_back(start_client(kHospitalB));
  // One more that is refused: what goes wrong must not say more than what goes right.
  all.push_back(start_client(kHospitalB, {"connection.secret_key=" + key("server.secret").string()}));
  std::string said;
  for (std::size_t i = 0; i < all.size(); ++i) {
    expect_exit(*all[i], i < 3 ? 0 : 4);
    said += all[i]->out() + all[i]->err();
  }
  std::map<std::string, std::string> written = files();
  written.erase("private/records.csv");
  written["stdout and stderr"] = said;
  ASSERT_GE(written.size(), 10u);
  std::vector<std::string> secrets{kPatient, "Patientname", kValue, "1731.41"};
  for (const char* name : {"server.secret", "server.public", "hospital_a.secret", "hospital_a.public", "hospital_b.secret"}) {
    std::string text = content_of(key(name));
    text.erase(text.find_last_not_of("\n") + 1);
    ASSERT_EQ(text.size(), 40u);
    secrets.push_back(text);
  }
  for (const auto& [file, content] : written)
    for (const std::string& secret : secrets) EXPECT_EQ(content.find(secret), std::string::npos) << file << " holds " << secret;
  // The control: the search would find something that is there.
  EXPECT_THAT(written.at("out/server/summary.json"), HasSubstr("wdbc_vanilla"));
}

}  // namespace
}  // namespace sutura::testing
