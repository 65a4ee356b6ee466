// decisions.jsonl holds what the schedule left to what happened: `sutura simulate --replay` has the same run again, to the bit.
#include <nlohmann/json.hpp>

#include "runtime/engine/executor.h"
#include "tests/integration/departures/departures.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;
using nlohmann::json;

const std::vector<std::string> kSites{kHospitalA, kHospitalB, kHospitalC};
const std::vector<std::string> kAll{kHospitalA, kHospitalB, kHospitalC, "server"};

json decision(const std::string& event, const std::string& who, int round) {
  return {{"event", event}, {"who", who},          {"round", round},    {"step", 0},         {"turn", -1},
          {"part", -1},     {"instruction", -1},   {"reason", "a test"}, {"code", "network"}};
}

/// A departure at the server's first message of a training step with this site.
json departure(const std::string& who, int round, int index) {
  json d = decision("left", who, round);
  d["step"] = static_cast<std::uint64_t>(round) << 32 | static_cast<std::uint64_t>(index);
  d["turn"] = d["part"] = d["instruction"] = 0;
  return d;
}

struct Ways {
  const char* name;
  const char* study;
  std::vector<std::string> more;
  int epochs;
};
void PrintTo(const Ways& w, std::ostream* out) { *out << w.name; }

const Ways kWays[] = {
    {"private_fronts", "wdbc_parallel", {}, 60},
    {"averaged_front_and_tail", "wdbc_splitfed_v1", {}, 60},
    {"handed_on_front", "wdbc_sequential", {}, 60},
    {"u_shaped", "wdbc_u_shaped", {}, 60},
    {"federated", "wdbc_federated", {}, 300},
};

class ReplayOfReturn : public Departures, public ::testing::WithParamInterface<Ways> {};
INSTANTIATE_TEST_SUITE_P(Ways, ReplayOfReturn, ::testing::ValuesIn(kWays), [](const auto& info) { return info.param.name; });

/// Under on_leave: continue a site that was killed joins at a later round; the same run again has the same bits at everybody,
/// the site that came back included.
TEST_P(ReplayOfReturn, HasTheSameBitsAndAnotherStepHasNot) {
  choose(GetParam().study, GetParam().epochs);
  shared.insert(shared.end(), GetParam().more.begin(), GetParam().more.end());
  shared.push_back("schedule.participation.deadline_s=30");
  start_all(kSites);
  kill_in_the_middle(kHospitalB);
  start_site(kHospitalB);  // the server learns from its return that it was gone
  expect_exits(kAll, 0);
  ASSERT_THAT(decisions_of("left", kHospitalB), SizeIs(1));
  const auto joined = decisions_of("joined", kHospitalB);
  ASSERT_THAT(joined, SizeIs(2));
  const int round = joined[1].at("round").get<int>();
  EXPECT_GT(round, decisions_of("left", kHospitalB)[0].at("round").get<int>());
  EXPECT_EQ(summary(kHospitalB).at("epochs"), GetParam().epochs - round);
  EXPECT_THAT(dropped(), SizeIs(1));

  const auto again = replay(decisions_file(), "again");
  EXPECT_THAT(different_files(folder() / "out", again, kAll), ElementsAre());
  EXPECT_EQ(decisions("again"), decisions());

  std::vector<json> lines = decisions();
  for (json& l : lines)
    if (l.at("event") == "left") l["step"] = l.at("step").get<std::uint64_t>() - (std::uint64_t{1} << 32);  // a round earlier
  const auto other = replay(write_decisions("edited.jsonl", lines), "edited");
  EXPECT_THAT(different_files(folder() / "out", other, {kHospitalA, kHospitalC, "server"}), Not(IsEmpty()));
}

/// Handwritten decisions: what a site that joins late begins with.
class LateSite : public Departures {
 protected:
  /// Steps after the first round move nothing, so that weights tell where they came from.
  void train_in_the_first_round_only(const std::string& name) {
    choose(name, 2);
    shared.insert(shared.end(), {"training.rate.schedule=step", "training.rate.step_epochs=1", "training.rate.step_factor=1e-30",
                                 "training.optimizer.weight_decay=0"});
  }
  std::filesystem::path run_without(const std::string& name) {
    const std::vector<json> lines{decision("joined", kHospitalA, 0), decision("absent", kHospitalB, 0), decision("joined", kHospitalC, 0)};
    return replay(write_decisions(name + ".jsonl", lines), name, {"training.epochs=1"});
  }
  std::filesystem::path run_with_late(const std::string& name) {
    const std::vector<json> lines{decision("joined", kHospitalA, 0), decision("absent", kHospitalB, 0), decision("joined", kHospitalC, 0),
                                  decision("joined", kHospitalB, 1)};
    return replay(write_decisions(name + ".jsonl", lines), name);
  }
  static std::size_t weights(const std::filesystem::path& run, const std::string& file) {
    const std::string content = content_of(run / file);
    EXPECT_GT(content.size(), 100u) << run / file;
    return std::hash<std::string>{}(content);  // a failure need not print them
  }
};

TEST_F(LateSite, BeginsWithTheMeanOfWhatIsAveraged) {
  train_in_the_first_round_only("wdbc_splitfed_v1");
  const auto without = run_without("without"), late = run_with_late("late");
  EXPECT_FALSE(std::filesystem::exists(without / kHospitalB));
  const std::size_t mean = weights(without, "hospital_a/weights/front.safetensors");
  for (const std::string& site : kSites) EXPECT_EQ(weights(late, site + "/weights/front.safetensors"), mean) << site;
  const std::size_t tail = weights(without, "server/weights/tail.hospital_a.safetensors");
  for (const std::string& site : kSites) EXPECT_EQ(weights(late, "server/weights/tail." + site + ".safetensors"), tail) << site;
}

TEST_F(LateSite, BeginsWithTheMeanOfTheWholeNetwork) {
  train_in_the_first_round_only("wdbc_federated");
  const auto without = run_without("without"), late = run_with_late("late");
  const std::size_t mean = weights(without, "hospital_a/weights/whole.safetensors");
  for (const std::string& site : kSites) EXPECT_EQ(weights(late, site + "/weights/whole.safetensors"), mean) << site;
}

/// Two averaged segments are two places where a site can be lost: before or after it gave the first one.
TEST_F(LateSite, TwoAveragedSegmentsAreTwoPlaces) {
  choose("wdbc_u_shaped", 1);
  shared.push_back("training.batch_size=100000");  // one step
  const auto lost_at = [&](const std::string& name, int edge) {
    json d = decision("left", kHospitalB, 0);
    d["instruction"] = static_cast<int>(Between::kAverageIn);
    d["part"] = edge;
    std::vector<json> lines;
    for (const std::string& s : kSites) lines.push_back(decision("joined", s, 0));
    lines.push_back(d);
    const auto run = replay(write_decisions(name + ".jsonl", lines), name);
    EXPECT_EQ(decisions(name).size(), 4u) << "nobody left";
    return run;
  };
  const auto first = lost_at("first", 0), second = lost_at("second", 2);  // edges: front in, out, head in, out
  EXPECT_NE(weights(first, "hospital_a/weights/front.safetensors"), weights(second, "hospital_a/weights/front.safetensors"));
  EXPECT_EQ(weights(first, "hospital_a/weights/head.safetensors"), weights(second, "hospital_a/weights/head.safetensors"));
}

TEST_F(LateSite, TakesOverWhatIsHandedOn) {
  train_in_the_first_round_only("wdbc_sequential");
  const auto without = run_without("without"), late = run_with_late("late");
  const std::size_t front = weights(without, "hospital_c/weights/front.safetensors");
  for (const std::string& site : kSites) EXPECT_EQ(weights(late, site + "/weights/front.safetensors"), front) << site;
}

/// Its earlier process held the newest version; the new one holds nothing.
TEST_F(LateSite, IsHandedAgainWhatItHeldBefore) {
  train_in_the_first_round_only("wdbc_sequential");
  std::vector<json> lines;
  for (const std::string& s : kSites) lines.push_back(decision("joined", s, 0));
  const auto nobody_left = replay(write_decisions("whole.jsonl", lines), "whole");
  json left = decision("left", kHospitalA, 0);  // when it is told the first round's figures, after the last turn
  left["step"] = 11;
  left["instruction"] = static_cast<int>(Between::kReport);
  lines.insert(lines.end(), {left, decision("joined", kHospitalA, 1)});
  const auto back = replay(write_decisions("back.jsonl", lines), "back");
  EXPECT_EQ(decisions("back").size(), 5u);
  for (const std::string& site : kSites)
    EXPECT_EQ(weights(back, site + "/weights/front.safetensors"), weights(nobody_left, "hospital_c/weights/front.safetensors")) << site;
}

TEST_F(LateSite, BeginsFreshWithWhatIsItsOwn) {
  train_in_the_first_round_only("wdbc_parallel");
  const auto without = run_without("without"), late = run_with_late("late");
  const auto untrained = replay(write_decisions("none.jsonl", {}), "untrained", {"training.optimizer.learning_rate=1e-30"});
  const std::size_t own = weights(late, "hospital_b/weights/front.safetensors");
  EXPECT_EQ(own, weights(untrained, "hospital_b/weights/front.safetensors"));
  EXPECT_NE(own, weights(late, "hospital_a/weights/front.safetensors"));
  EXPECT_EQ(weights(late, "hospital_a/weights/front.safetensors"), weights(without, "hospital_a/weights/front.safetensors"));
}

/// schedule.hand_on: a site that is lost in its turn takes nothing with it and leaves nothing behind. The tail is frozen, so
/// that the front alone tells whose steps counted.
class Lease : public Departures {
 protected:
  Lease() {
    choose("wdbc_sequential", 3);
    shared.push_back("network.frozen=[tail]");
  }
  std::filesystem::path run_with(const std::string& name, const json& left) {
    std::vector<json> lines;
    for (const std::string& s : kSites) lines.push_back(decision("joined", s, 0));
    lines.push_back(left);
    const auto run = replay(write_decisions(name + ".jsonl", lines), name);
    EXPECT_EQ(decisions(name).size(), 4u) << "nobody left";
    return run;
  }
};

TEST_F(Lease, TheNextSiteGoesOnFromTheCommittedVersion) {
  // Turns of the first round: hospital_a steps 0 to 3, hospital_b 4 to 7, hospital_c 8 to 11.
  const auto at_once = run_with("at_once", departure(kHospitalB, 0, 4));
  const auto at_the_end = run_with("at_the_end", departure(kHospitalB, 0, 7));
  const auto after = run_with("after", departure(kHospitalB, 1, 4));
  const std::vector<std::string> others{kHospitalA, kHospitalC};
  EXPECT_THAT(different_files(at_once, at_the_end, {kHospitalB}), Not(IsEmpty())) << "the lost site trained in one of the two runs";
  EXPECT_THAT(different_files(at_once, at_the_end, others), ElementsAre()) << "its steps count for nobody";
  EXPECT_THAT(different_files(at_once, after, others), Not(IsEmpty())) << "a turn that was completed counts";
}

}  // namespace
}  // namespace sutura::testing
