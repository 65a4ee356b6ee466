// schedule.missing_party: the laboratory of a vertical study is killed in the middle, and the run does what the study says.
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/integration/departures/departures.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;
using nlohmann::json;

constexpr int kEpochs = 60;
const std::vector<std::string> kLeft{"clinic", "server"};

class MissingParty : public Departures {
 protected:
  /// A server that is patient with everybody but the silent.
  void lose_the_laboratory(const std::string& policy) {
    choose("wdbc_vertical", kEpochs);
    shared.push_back("schedule.missing_party=" + policy);
    start_all({"clinic", "laboratory"}, {"connection.deadline_s=3"});
    kill_in_the_middle("laboratory");
  }
  /// The laboratory's absence, recorded once and told in the server's summary.
  json the_absence() {
    const auto missing = decisions_of("missing", "laboratory");
    EXPECT_THAT(decisions(), SizeIs(1));
    EXPECT_THAT(missing, SizeIs(1));
    EXPECT_THAT(dropped(), ElementsAre(StartsWith("laboratory: ")));
    EXPECT_TRUE(process("server").says("laboratory missing"));
    return missing.empty() ? json{} : missing[0];
  }
  /// The run again; the same bits, and others where the laboratory went a round earlier.
  void expect_replay() {
    EXPECT_THAT(different_files(folder() / "out", replay(decisions_file(), "again"), kLeft), ElementsAre());
    EXPECT_EQ(decisions("again"), decisions());
    std::vector<json> lines = decisions();
    lines.at(0)["step"] = lines[0].at("step").get<std::uint64_t>() - (std::uint64_t{1} << 32);
    EXPECT_THAT(different_files(folder() / "out", replay(write_decisions("edited.jsonl", lines), "edited"), kLeft), Not(IsEmpty()));
  }
};

TEST_F(MissingParty, AbortEndsTheRun) {
  lose_the_laboratory("abort");
  expect_exits(kLeft, exit_status(Errc::kNetwork));
  EXPECT_GE(the_absence().at("round").get<int>(), 1);
  for (const std::string& n : kLeft) {
    EXPECT_THAT(process(n).err(), HasSubstr("'laboratory' is lost, and schedule.missing_party is abort")) << n;
    EXPECT_EQ(summary(n).at("failed"), "network") << n;
    EXPECT_LT(summary(n).at("epochs").get<int>(), kEpochs) << n;
  }
}

TEST_F(MissingParty, DropStepMovesNoWeightAnyMore) {
  lose_the_laboratory("drop-step");
  expect_exits(kLeft, 0);
  EXPECT_GE(the_absence().at("round").get<int>(), 1);
  for (const std::string& n : kLeft) EXPECT_EQ(summary(n).at("epochs"), kEpochs) << n;
  // The weights are those of a run that ended where the laboratory was lost.
  const auto ended = replay(decisions_file(), "ended", {"schedule.missing_party=abort"}, exit_status(Errc::kNetwork));
  EXPECT_THAT(different_files(folder() / "out", ended, kLeft), ElementsAre());
  expect_replay();
}

class Replaced : public MissingParty, public ::testing::WithParamInterface<std::string> {};
INSTANTIATE_TEST_SUITE_P(By, Replaced, ::testing::Values("zero", "running-mean"),
                         [](const auto& info) { return info.param == "zero" ? "zero" : "running_mean"; });

TEST_P(Replaced, TheClinicGoesOnAndFinishes) {
  lose_the_laboratory(GetParam());
  expect_exits(kLeft, 0);
  EXPECT_GE(the_absence().at("round").get<int>(), 1);
  for (const std::string& n : kLeft) EXPECT_EQ(summary(n).at("epochs"), kEpochs) << n;
  EXPECT_TRUE(summary("server").at("auc").is_number());
  expect_replay();
}

}  // namespace
}  // namespace sutura::testing
