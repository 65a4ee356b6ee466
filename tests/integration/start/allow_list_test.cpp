// What a hospital lets leave is decided at the hospital: without a list, or with one that the study asks more than, its client
// ends before it reads a record or dials anybody.
#include <stdlib.h>

#include "tests/integration/start/refused_start.h"

namespace sutura::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr int kConfig = 3;
constexpr int kData = 7;

/// Lists exactly what leaves a hospital of the shipped vanilla study.
constexpr char kExact[] = R"(site_policy:
  name: exactly this study
  allow:
    - {what: activation, edge: "front>tail", guard: rows}
    - {what: labels, edge: "y>loss"}
    - {what: weights, segment: front, protection: clear}
    - {what: counts}
  maximum_epsilon: 250
  maximum_delta: 1e-5
  allowed_cuts: [act1]
)";

class AllowList : public RefusedStart {
 protected:
  AllowList() { make_keys(); }

  /// A client with keys, whose records are not where the study says: whoever reads them first ends with kData.
  std::string client(int status, const Overrides& own = {}, const std::filesystem::path& egress = {}) const {
    Overrides overrides{"data.table.path=/nowhere/records.csv", "connection.endpoint=tcp://127.0.0.1:1"};
    overrides.insert(overrides.end(), own.begin(), own.end());
    std::vector<std::string> first{"--site", kHospitalA};
    if (!egress.empty()) first.insert(first.end(), {"--egress", egress.string()});
    return refused("sutura-client", with(study, client_overrides(overrides), first), status);
  }
};

TEST_F(AllowList, WithoutOneNothingMayLeave) {
  if (std::filesystem::exists("/etc/sutura/egress.yaml")) GTEST_SKIP() << "this machine has an allow-list of its own";
  ::unsetenv("SUTURA_EGRESS");
  const std::string said = client(kConfig);
  for (const char* part : {"no allow-list", "--egress FILE", "SUTURA_EGRESS", "/etc/sutura/egress.yaml", "configs/egress"})
    EXPECT_THAT(said, HasSubstr(part));
  EXPECT_THAT(said, Not(HasSubstr("/nowhere")));
  ::setenv("SUTURA_EGRESS", "", 1);
  EXPECT_THAT(client(kConfig), HasSubstr("no allow-list"));
}

TEST_F(AllowList, OneThatListsWhatLeavesLetsTheRecordsBeRead) {
  EXPECT_THAT(client(kData, {}, write("exact.yaml", kExact)), HasSubstr("/nowhere/records.csv"));
}

TEST_F(AllowList, TheCommandLineComesBeforeTheEnvironment) {
  const auto exact = write("exact.yaml", kExact);
  const auto nothing = write("nothing.yaml", "site_policy: {name: nothing, allow: []}\n");
  ::setenv("SUTURA_EGRESS", nothing.c_str(), 1);
  client(kConfig);
  client(kData, {}, exact);
  ::setenv("SUTURA_EGRESS", exact.c_str(), 1);
  client(kData);
  client(kConfig, {}, nothing);
}

TEST_F(AllowList, EverythingThatIsNotListedIsNamedAtOnce) {
  const std::string said = client(kConfig, {}, write("nothing.yaml", "site_policy: {name: nothing, allow: []}\n"));
  for (const char* leaves : {"'nothing' does not let this study leave hospital", "activation front>tail to server, guarded rows",
                             "labels y>loss to server, in clear", "weights front to server, in clear", "counts: numbers of records"})
    EXPECT_THAT(said, HasSubstr(leaves));
}

TEST_F(AllowList, AnUnusableOneIsReportedLikeAStudy) {
  const auto broken = write("broken.yaml", replaced(kExact, "maximum_delta", "maximum_dleta"));
  EXPECT_THAT(client(kConfig, {}, broken),
              AllOf(HasSubstr("broken.yaml:9:3: error: unknown key site_policy.maximum_dleta"), HasSubstr("did you mean maximum_delta?")));
  EXPECT_THAT(client(kConfig, {}, folder() / "none.yaml"), HasSubstr("none.yaml: error: "));
}

TEST_F(AllowList, TheStudyCannotNameOrWeakenIt) {
  for (const char* key : {"site_policy.name=weak", "connection.egress=weak.yaml", "privacy.site_policy=none", "egress=weak.yaml"})
    EXPECT_THAT(client(kConfig, {key}), HasSubstr("unknown key")) << key;
  const std::string text = content_of(study);
  study = write_study("study.yaml", text + "\n" + kExact);
  EXPECT_THAT(client(kConfig, {}, write("nothing.yaml", "site_policy: {name: nothing, allow: []}\n")),
              HasSubstr("unknown key site_policy"));
}

TEST_F(AllowList, AStudyThatDoesNotSayItsShapesIsRefusedBeforeItsRecordsAreRead) {
  study = write_study("shapeless.yaml", replaced(content_of(study), "  record_shape: [30]\n", ""));
  EXPECT_THAT(client(kConfig), AllOf(HasSubstr("data.record_shape"), Not(HasSubstr("/nowhere"))));
}

struct Lack {
  const char* name;
  const char* from;  ///< of the list ...
  const char* to;
  Overrides study;   ///< ... or what the study asks beyond it
  const char* says;  ///< POLICY stands for the file
};
void PrintTo(const Lack& l, std::ostream* out) { *out << l.name; }

class Lacking : public AllowList, public ::testing::WithParamInterface<Lack> {};

TEST_P(Lacking, IsRefusedWithWhatWouldLeaveAndTheLineAgainstIt) {
  const Lack& lack = GetParam();
  const auto file = write("policy.yaml", *lack.from == '\0' ? std::string(kExact) : replaced(kExact, lack.from, lack.to));
  std::string expected = lack.says;
  for (std::size_t at; (at = expected.find("POLICY")) != std::string::npos;) expected.replace(at, 6, file.string());
  const std::string said = client(kConfig, lack.study, file);
  EXPECT_THAT(said, AllOf(HasSubstr("the site policy 'exactly this study' does not let this study leave hospital:\n  " + expected),
                          Not(HasSubstr("/nowhere"))));
}

INSTANTIATE_TEST_SUITE_P(
    List, Lacking,
    ::testing::Values(
        Lack{"TheEdge", "front>tail", "front>other", {}, "activation front>tail to server, guarded rows: no line of POLICY allows it"},
        Lack{"TheLabels", "    - {what: labels, edge: \"y>loss\"}\n", "", {}, "labels y>loss to server, in clear: no line of POLICY"},
        Lack{"TheWeightsInClear", "protection: clear", "protection: sealed", {},
             "weights front to server, in clear: POLICY:6:7 asks for protection: sealed"},
        Lack{"TheCounts", "    - {what: counts}\n", "", {}, "counts: numbers of records per split, backend, version, in clear: no line"},
        Lack{"TheBudget", "maximum_epsilon: 250", "maximum_epsilon: 249.5", {},
             "privacy.epsilon 250: POLICY:8:3 accepts at most 249.5"},
        Lack{"TheChanceOutsideTheBudget", "", "", {"privacy.delta=1e-4"}, "privacy.delta 1e-04: POLICY:9:3 accepts at most 1e-05"},
        Lack{"TheCut", "allowed_cuts: [act1]", "allowed_cuts: [act2]", {},
             "activation front>tail, cut after layer act1: POLICY:10:3 does not list it"},
        Lack{"RowsWithoutAGuard", "", "", {"privacy.mechanism=none", "privacy.because=test"},
             "activation front>tail to server, unguarded: POLICY:4:7 asks for guard: rows"}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace sutura::testing
