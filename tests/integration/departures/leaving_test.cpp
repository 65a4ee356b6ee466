// schedule.participation: a hospital is killed in the middle of a run of each shipped schedule, and the run does what the study
// says: goes on, waits, or stops. Everything that was decided is in decisions.jsonl and in what the server prints.
#include <csignal>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/integration/departures/departures.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;
using ::testing::StartsWith;

const std::vector<std::string> kSites{kHospitalA, kHospitalB, kHospitalC};
const std::vector<std::string> kSurvivors{kHospitalA, kHospitalC, "server"};

struct Schedule {
  const char* name;
  const char* study;
  std::vector<std::string> more;
  int epochs;  ///< enough for a process to be killed and started again meanwhile
};

void PrintTo(const Schedule& s, std::ostream* out) { *out << s.name; }

const Schedule kSchedules[] = {
    {"parallel", "wdbc_parallel", {}, 60},
    {"parallel_shared_front", "wdbc_parallel", {"schedule.average=[front]"}, 60},
    {"sequential", "wdbc_sequential", {}, 60},
    {"splitfed_v1", "wdbc_splitfed_v1", {}, 60},
    {"splitfed_v2", "wdbc_splitfed_v2", {}, 60},
    {"splitfed_v3", "wdbc_splitfed_v3", {}, 60},
    {"federated", "wdbc_federated", {}, 300},
};

class Leaving : public Departures, public ::testing::WithParamInterface<Schedule> {
 protected:
  void prepare_run(const std::string& on_leave, const std::string& deadline_s) {
    choose(GetParam().study, GetParam().epochs);
    shared.insert(shared.end(), GetParam().more.begin(), GetParam().more.end());
    shared.push_back("schedule.participation.on_leave=" + on_leave);
    shared.push_back("schedule.participation.deadline_s=" + deadline_s);
  }
  /// The one departure, of the hospital that was killed, before the run's end.
  nlohmann::json the_departure() {
    const auto left = decisions_of("left", kHospitalB);
    EXPECT_THAT(left, SizeIs(1));
    for (const char* n : {kHospitalA, kHospitalC}) EXPECT_THAT(decisions_of("left", n), SizeIs(0));
    if (left.size() != 1) return {};
    EXPECT_GE(left[0].at("round").get<int>(), 0);
    EXPECT_LT(left[0].at("round").get<int>(), GetParam().epochs);
    EXPECT_FALSE(left[0].at("reason").get<std::string>().empty());
    EXPECT_TRUE(left[0].at("step").is_number_unsigned());
    EXPECT_EQ(left[0].at("code"), "network");
    return left[0];
  }
};
INSTANTIATE_TEST_SUITE_P(Schedules, Leaving, ::testing::ValuesIn(kSchedules), [](const auto& info) { return info.param.name; });

TEST_P(Leaving, ContinueGoesOnWithoutIt) {
  prepare_run("continue", "2");
  start_all(kSites);
  kill_in_the_middle(kHospitalB);
  expect_exits(kSurvivors, 0);
  const auto left = the_departure();
  ASSERT_THAT(dropped(), ElementsAre(StartsWith("hospital_b: ")));
  EXPECT_EQ(dropped()[0], "hospital_b: " + left.at("reason").get<std::string>());
  for (const std::string& n : kSurvivors) EXPECT_EQ(summary(n).at("epochs"), GetParam().epochs) << n;
  EXPECT_TRUE(process("server").says("hospital_b left")) << process("server").err();
  // The same run again, in one process: it leaves at the same place, and everybody else ends with the same bits.
  const auto again = replay(decisions_file(), "again");
  EXPECT_THAT(different_files(folder() / "out", again, kSurvivors), ElementsAre());
  EXPECT_EQ(decisions("again"), decisions());
}

TEST_P(Leaving, StopEndsTheRunForEverybody) {
  prepare_run("stop", "30");
  start_all(kSites);
  kill_in_the_middle(kHospitalB);
  start_site(kHospitalB);  // its return tells sooner than the deadline that it was gone, and does not help
  expect_exits(kSurvivors, exit_status(Errc::kNetwork));
  expect_exits({kHospitalB}, exit_status(Errc::kNetwork));
  const auto left = the_departure();
  ASSERT_THAT(decisions_of("stopped", kHospitalB), SizeIs(1));
  EXPECT_EQ(decisions().back().at("event"), "stopped");
  for (const std::string& n : kSurvivors) {
    EXPECT_THAT(process(n).err(), HasSubstr("'hospital_b' left, and schedule.participation.on_leave is stop")) << n;
    EXPECT_EQ(summary(n).at("failed"), "network") << n;
    EXPECT_LT(summary(n).at("epochs").get<int>(), GetParam().epochs) << n;
  }
}

TEST_P(Leaving, WaitGoesOnWhenItIsBack) {
  prepare_run("wait", "2");
  start_all(kSites);
  kill_in_the_middle(kHospitalB);
  ASSERT_TRUE(process("server").says("hospital_b waited")) << process("server").err();
  start_site(kHospitalB);
  expect_exits(kSurvivors, 0);
  expect_exits({kHospitalB}, 0);
  const int left = the_departure().at("round").get<int>();
  const auto waited = decisions_of("waited", kHospitalB);
  const auto joined = decisions_of("joined", kHospitalB);
  ASSERT_THAT(waited, SizeIs(1));
  ASSERT_THAT(joined, SizeIs(2)) << "at the start of the run, and again";
  EXPECT_EQ(waited[0].at("round"), left + 1);
  EXPECT_EQ(joined[1].at("round"), left + 1) << "nothing was trained without it but the rest of its last round";
  EXPECT_EQ(summary("server").at("epochs"), GetParam().epochs);
  EXPECT_EQ(summary(kHospitalB).at("epochs"), GetParam().epochs - left - 1);
}

class MinClients : public Departures {
 protected:
  void prepare_run(int needed, const std::string& deadline_s) {
    choose("wdbc_parallel", 200);
    shared.push_back("schedule.participation.min_clients=" + std::to_string(needed));
    shared.push_back("schedule.participation.deadline_s=" + deadline_s);
  }
};

TEST_F(MinClients, EnoughBeginWithoutTheOthersWhoMayJoinLater) {
  prepare_run(2, "30");
  make_keys(kSites);
  start_server_of({"connection.deadline_s=5"});
  start_site(kHospitalA);
  start_site(kHospitalB);
  ASSERT_TRUE(process("server").says("beginning without hospital_c")) << process("server").err();
  ASSERT_TRUE(process("server").says("epoch 1/")) << process("server").err();
  process(kHospitalB).send_signal(SIGSTOP);  // the run stands still until the third is on its way
  start_site(kHospitalC);
  EXPECT_TRUE(process(kHospitalC).says("dialing"));
  process(kHospitalB).send_signal(SIGCONT);
  expect_exits({kHospitalA, kHospitalB, kHospitalC, "server"}, 0);
  ASSERT_THAT(decisions_of("absent", kHospitalC), SizeIs(1));
  EXPECT_EQ(decisions_of("absent", kHospitalC)[0].at("round"), 0);
  const auto joined = decisions_of("joined", kHospitalC);
  ASSERT_THAT(joined, SizeIs(1));
  EXPECT_GE(joined[0].at("round").get<int>(), 1);
  EXPECT_THAT(joined[0].at("reason").get<std::string>(), HasSubstr("front begins anew"));
  EXPECT_EQ(summary(kHospitalC).at("epochs"), 200 - joined[0].at("round").get<int>());
  EXPECT_THAT(dropped(), ElementsAre());
  EXPECT_THAT(different_files(folder() / "out", replay(decisions_file(), "again"), {kHospitalA, kHospitalB, kHospitalC, "server"}), ElementsAre());
}

TEST_F(MinClients, TooFewAtTheStartAreToldWhoIsMissing) {
  prepare_run(2, "30");
  make_keys(kSites);
  start_server_of({"connection.deadline_s=3"});
  start_site(kHospitalA);
  expect_exits({"server", kHospitalA}, exit_status(Errc::kNetwork));
  for (const char* n : {"server", kHospitalA}) EXPECT_THAT(process(n).err(), HasSubstr("still missing: hospital_b, hospital_c")) << n;
  EXPECT_FALSE(std::filesystem::exists(output("server")));
}

TEST_F(MinClients, TooFewInTheMiddleEndTheRunAtTheDeadline) {
  prepare_run(3, "2");
  start_all(kSites);
  kill_in_the_middle(kHospitalB);
  expect_exits(kSurvivors, exit_status(Errc::kNetwork));
  ASSERT_THAT(decisions_of("left", kHospitalB), SizeIs(1));
  const int round = decisions_of("left", kHospitalB)[0].at("round").get<int>() + 1;
  ASSERT_THAT(decisions_of("waited", kHospitalB), SizeIs(1));
  ASSERT_THAT(decisions_of("stopped", kHospitalB), SizeIs(1));
  EXPECT_EQ(decisions_of("stopped", kHospitalB)[0].at("round"), round);
  for (const std::string& n : kSurvivors)
    EXPECT_THAT(process(n).err(), HasSubstr("round " + std::to_string(round) + " needs 3 sites, 2 are there")) << n;
}

}  // namespace
}  // namespace sutura::testing
