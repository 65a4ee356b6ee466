// Sites that leave: with a third party behind the server, with recorded decisions, and the same again from the record.
#include <fstream>

#include "tests/engine/crew.h"
#include "tests/equivalence/straight_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::HasSubstr;

/// The middle segment lies at a partner that serves every site through the server.
constexpr const char* kThreeParties = R"(topology:
  name: three_parties
  parties: [{name: hospital, role: client, count: many}, {name: server, role: server}, {name: partner, role: client}]
  nodes:
    - {name: x, at: hospital, source: features}
    - {name: y, at: hospital, source: labels}
    - {name: a, at: hospital, segment: a}
    - {name: b, at: server, segment: b}
    - {name: c, at: partner, segment: c}
    - {name: d, at: server, segment: d}
    - {name: loss, at: server, loss: study}
  routes:
    - {from: x, to: a}
    - {from: a, to: b}
    - {from: b, to: c}
    - {from: c, to: d}
    - {from: d, to: loss}
    - {from: y, to: loss}
)";
const std::vector<std::string> kNames = {"north", "east", "south"};
constexpr std::int64_t kRecords[] = {23, 19, 14};

std::vector<SiteData> sites(std::size_t count) {
  std::vector<SiteData> all;
  for (std::size_t i = 0; i < count; ++i) all.push_back(make_site(kNames[i], {1, 6}, {kRecords[i]}, 17 + i));
  return all;
}

StudyText study(const std::string& topology, const std::string& cuts, std::size_t count) {
  StudyText t;
  t.topology = topology;
  t.network = "zoo: mlp, hidden: [7, 6, 5], cuts: [" + cuts + "]";
  t.sites.assign(kNames.begin(), kNames.begin() + static_cast<std::ptrdiff_t>(count));
  t.record = {1, 6};
  t.micro_batches = 2;
  t.epochs = 3;
  return t;
}

std::int64_t records_of(const Member& m) {
  std::int64_t n = 0;
  for (const StepResult& r : m.results) n += r.records;
  return n;
}

class Lanes : public SplitRun, public ::testing::WithParamInterface<std::size_t> {};
INSTANTIATE_TEST_SUITE_P(Sites, Lanes, ::testing::Values(1, 2, 3));

TEST_P(Lanes, APartnerOfAllSitesEqualsTheStraightLine) {
  const StudyText text = study(kThreeParties, "act1, act2, act3", GetParam());
  const auto data = sites(GetParam());
  NetworkSpec spec;
  spec.zoo = "mlp";
  spec.options["hidden"] = std::vector<std::int64_t>{7, 6, 5};
  auto networks = build_network(spec, {1, 6}, 1).cut_after({"act1", "act2", "act3"});
  std::vector<OracleSegment> chain;
  for (std::size_t g = 0; g < 4; ++g)
    chain.push_back({std::move(networks[g]), g == 0 ? Copies::kPerSite : Copies::kOne, RoundEnd::kNothing});
  const OracleResult oracle = train_straight(std::move(chain), data, schedule_of(text));
  const Trained split = run(text, data);
  EXPECT_EQ(split.losses(), oracle.losses);
  for (std::size_t k = 0; k < GetParam(); ++k) EXPECT_EQ(difference(split.files.at(kNames[k] + "/a"), oracle.copies[0][k]), "");
  EXPECT_EQ(difference(split.files.at("server/b"), oracle.copies[1][0]), "");
  EXPECT_EQ(difference(split.files.at("partner/c"), oracle.copies[2][0]), "");
  EXPECT_EQ(difference(split.files.at("server/d"), oracle.copies[3][0]), "");
}

class Leaving : public SplitRun {
 protected:
  std::map<std::string, Member> work(const StudyText& text, const Fault& east, Decisions* decisions = nullptr,
                                     std::chrono::milliseconds silence = std::chrono::milliseconds(60000),
                                     std::int64_t stale = 0) {
    const auto data = sites(text.sites.size());
    Crew crew(folder() / "crew", text, data, [&](StudyConfig& s) { s.training.stale = stale; });
    crew.faults["east"] = east;
    crew.decisions = decisions;
    crew.silence = silence;
    return crew.work(crew.training(text.epochs));
  }
};

TEST_F(Leaving, ThePartnerOfALostSiteDoesNotWaitForIt) {
  const StudyText text = study(kThreeParties, "act1, act2, act3", 2);
  const auto sound = work(text, {});
  for (const auto& [name, m] : sound) EXPECT_EQ(m.error, "") << name;
  EXPECT_EQ(records_of(sound.at("partner")), 3 * (23 + 19));
  const auto lost = work(text, {Fault::Kind::kDies, 1});  // before its first message
  for (const std::string name : {"north", "server", "partner"}) EXPECT_EQ(lost.at(name).error, "") << name;
  EXPECT_EQ(records_of(lost.at("partner")), 3 * 23) << "the void parts do not count";
  EXPECT_EQ(records_of(lost.at("server")), 3 * 23);
  EXPECT_NE(difference(lost.at("partner"), sound.at("partner")), "");
  const auto later = work(text, {Fault::Kind::kDies, 14});
  for (const std::string name : {"north", "server", "partner"}) EXPECT_EQ(later.at(name).error, "") << name;
  EXPECT_GT(records_of(later.at("partner")), 3 * 23);
  EXPECT_LT(records_of(later.at("partner")), 3 * (23 + 19));
}

TEST_F(Leaving, WithStepsInFlightToo) {
  const StudyText text = study(kThreeParties, "act1, act2, act3", 3);
  const auto lost = work(text, {Fault::Kind::kDies, 14}, nullptr, std::chrono::milliseconds(60000), 2);
  for (const std::string name : {"north", "south", "server", "partner"}) {
    EXPECT_EQ(lost.at(name).error, "") << name;
    EXPECT_EQ(lost.at(name).results.size(), 3u * 7u) << name;
  }
}

TEST_F(Leaving, ASiteThatSendsNoTensorsIsDropped) {
  Decisions decisions;
  const auto members = work(study("vanilla", "act1", 2), {Fault::Kind::kEmpties, 5}, &decisions);
  EXPECT_EQ(members.at("server").error, "");
  ASSERT_EQ(decisions.all().size(), 1u);
  EXPECT_EQ(decisions.all()[0].code, Errc::kProtocol);
  EXPECT_THAT(decisions.all()[0].reason, HasSubstr("another number of tensors"));
}

TEST_F(Leaving, ALostPartnerEndsTheRun) {
  const StudyText text = study(kThreeParties, "act1, act2, act3", 2);
  const auto data = sites(2);
  Crew crew(folder() / "crew", text, data);
  crew.faults["partner"] = {Fault::Kind::kDies, 4 * 8 + 1};  // two messages a part, four parts a step: the fifth step
  const auto members = crew.work(crew.training(3));
  EXPECT_THAT(members.at("server").error, HasSubstr("'partner' is lost, and schedule.missing_party is abort: the peer is gone"));
  ASSERT_EQ(members.at("server").dropped.size(), 1u);
  EXPECT_TRUE(members.at("server").dropped[0].starts_with("partner: "));
  for (const std::string name : {"north", "east"}) EXPECT_NE(members.at(name).error, "") << name;
  // Nobody can stand in for it: sites hold whole records, and all of them need it.
  const auto other = [](StudyConfig& s) { s.schedule.missing_party = MissingParty::kDropStep; };
  EXPECT_THROW(Crew(folder() / "other", text, data, other), Error);
}

// ---- decisions repeated ----------------------------------------------------------------------------------------------------

class Repeated : public Leaving, public ::testing::WithParamInterface<std::tuple<std::string, int>> {};
INSTANTIATE_TEST_SUITE_P(Places, Repeated,
                         ::testing::Combine(::testing::Values("vanilla", "three"), ::testing::Values(1, 6, 11)));

TEST_P(Repeated, ARecordedDepartureGivesTheSameBits) {
  const auto& [topology, message] = GetParam();
  const StudyText text = topology == "vanilla" ? study("vanilla", "act1", 3) : study(kThreeParties, "act1, act2, act3", 3);
  const std::filesystem::path file = folder() / "decisions.jsonl";
  std::map<std::string, Member> original;
  {
    Decisions decisions(file);
    original = work(text, {Fault::Kind::kDies, message}, &decisions);
  }
  ASSERT_EQ(read_decisions(file).size(), 1u);
  Decisions again;
  again.repeat(file);
  const auto repeated = work(text, {}, &again);  // every site lives
  EXPECT_EQ(difference(repeated.at("server"), original.at("server")), "");
  EXPECT_EQ(difference(repeated.at("north"), original.at("north")), "");
  EXPECT_EQ(difference(repeated.at("south"), original.at("south")), "");
  EXPECT_EQ(repeated.at("server").dropped, original.at("server").dropped);
  EXPECT_NE(repeated.at("east").error, "") << "it was told";
  // Negative controls: nothing recorded, and the record with another part.
  EXPECT_NE(difference(work(text, {}).at("server"), original.at("server")), "");
  std::vector<Decision> changed = read_decisions(file);
  changed[0].step += 1;  // the same place one step later
  Decisions other;
  other.repeat(changed);
  EXPECT_NE(difference(work(text, {}, &other).at("server"), original.at("server")), "");
}

TEST_F(Leaving, AnotherPartOfTheStepGivesOtherBits) {
  const StudyText text = study("vanilla", "act1", 3);
  Decisions first;
  const auto original =
      work(text, {Fault::Kind::kDies, 5}, &first);  // two messages a part, two parts a step: the first part of the second step
  ASSERT_EQ(first.all().size(), 1u);
  std::vector<Decision> changed = first.all();
  changed[0].part += 1;
  Decisions other;
  other.repeat(changed);
  const auto repeated = work(text, {}, &other);
  EXPECT_EQ(repeated.at("server").dropped.size(), 1u) << "the changed record still names a part of this site";
  EXPECT_NE(difference(repeated.at("server"), original.at("server")), "");
}

TEST_F(Leaving, WhileDeparturesAreRepeatedSilenceDecidesNothing) {
  Decisions nothing;
  nothing.repeat(std::vector<Decision>{});
  const StudyText text = study("vanilla", "act1", 2);
  const auto data = sites(2);
  Crew crew(folder() / "crew", text, data);
  crew.silence = std::chrono::milliseconds(50);
  const auto slow = [](Executor& executor, Member& m) {
    if (m.self.name == "east") std::this_thread::sleep_for(std::chrono::milliseconds(300));
    train_epoch(executor, m, 0);
  };
  crew.decisions = &nothing;
  EXPECT_TRUE(crew.work(slow).at("server").dropped.empty());
  crew.decisions = nullptr;
  EXPECT_EQ(crew.work(slow).at("server").dropped.size(), 1u);
}

TEST(DecisionsFile, ATornLastLineIsLeftOutAndAForeignLineIsRefused) {
  const auto file = std::filesystem::temp_directory_path() / ("sutura_decisions_" + std::to_string(::getpid()) + ".jsonl");
  std::filesystem::remove(file);
  Decision d;
  d.event = "left";
  d.who = "north";
  d.step = (std::uint64_t{3} << 60) + 7;
  d.turn = 1;
  d.part = 2;
  d.instruction = 3;
  d.reason = "a \"reason\"\nin two lines";
  d.code = Errc::kProtocol;
  {
    Decisions log(file);
    log.add(d);
    log.add(d);
  }
  std::ofstream(file, std::ios::app) << "{\"event\": \"le";
  const auto read = read_decisions(file);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[1].step, d.step);
  EXPECT_EQ(read[1].reason, d.reason);
  EXPECT_EQ(read[1].code, Errc::kProtocol);
  EXPECT_EQ(read[1].instruction, 3);
  std::ofstream(file, std::ios::app) << "\n";
  EXPECT_THROW(read_decisions(file), Error);
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace sutura
