// Every study that ships compiles at a party without data; those on the shipped table train.
#include <cmath>
#include <cstdlib>
#include <set>

#include "runtime/data/load.h"
#include "runtime/topology/program_grid.h"
#include "runtime/topology/site_policy.h"
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using ::testing::HasSubstr;
namespace fs = std::filesystem;

const fs::path kConfigs = fs::path(SUTURA_SOURCE_DIR) / "configs";

std::string file_text(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<fs::path> shipped_studies() {
  std::vector<fs::path> studies;
  for (const auto& entry : fs::directory_iterator(kConfigs))
    if (entry.path().extension() == ".yaml" && file_text(entry.path()).find("\nstudy:") != std::string::npos)
      studies.push_back(entry.path());
  std::ranges::sort(studies);
  return studies;
}

class ShippedPlans : public ::testing::TestWithParam<fs::path> {
 protected:
  static void SetUpTestSuite() { ::setenv("SUTURA_DATA", "/nowhere", 0); }  // paths are only expanded
};
INSTANTIATE_TEST_SUITE_P(Configs, ShippedPlans, ::testing::ValuesIn(shipped_studies()),
                         [](const auto& info) { return info.param.stem().string(); });

TEST_P(ShippedPlans, CompileWithoutData) {
  const LoadedStudy study = load_study(GetParam());
  const Prepared prepared = prepare(study, feature_rows(study.config, nullptr));
  EXPECT_EQ(prepared.study().study, GetParam().stem().string());
  EXPECT_EQ(prepared.segments.names.size(), prepared.segments.networks.size());
  EXPECT_FALSE(grid_text(prepared.plan).empty());
  EXPECT_EQ(prepared.plan.topology.parties.size() == 1, prepared.egress.empty()) << "weights and numbers leave without any edge";
  if (prepared.study().privacy.mechanism == Mechanism::kRows) {
    ASSERT_TRUE(prepared.guard.has_value());
    EXPECT_LE(prepared.guard->epsilon, prepared.study().privacy.epsilon * (1 + 1e-9));
    EXPECT_THAT(egress_text(prepared.egress), HasSubstr("rows: norm"));
  }
}

/// Kinds of the egress list that leave a party, in the words of a policy.
std::set<std::string> listed_kinds(const Prepared& prepared, const std::string& party) {
  const std::map<std::string, std::string> words{
      {"numbers", "counts"}, {"validation", "metrics"}, {"identifiers", "alignment"}, {"split", "alignment"}};
  std::set<std::string> kinds;
  for (const EgressLine& l : prepared.egress) {
    if (l.from != party && l.from != "every party") continue;
    const std::string word = l.what.substr(0, l.what.find(' '));
    kinds.insert(words.contains(word) ? words.at(word) : word);
  }
  return kinds;
}

/// Kinds that a policy which allows nothing refuses to the study.
std::set<std::string> demanded_kinds(const Prepared& prepared, int party) {
  std::set<std::string> kinds;
  try {
    enforce(SitePolicy{}, prepared.plan, prepared.study(), party);
  } catch (const Error& e) {
    std::istringstream lines(e.what());
    std::string line;
    std::getline(lines, line);  // who refuses
    while (std::getline(lines, line)) kinds.insert(line.substr(2, line.find_first_of(" :", 2) - 2));
  }
  return kinds;
}

TEST_P(ShippedPlans, AskAPolicyForExactlyWhatTheyListAsLeaving) {
  for (const std::vector<std::string>& more : {std::vector<std::string>{}, {"training.early_stopping={patience: 3}"}}) {
    std::optional<LoadedStudy> study;  // `prepared` refers to it
    std::optional<Prepared> prepared;
    try {
      study.emplace(load_study(GetParam(), more));
      prepared.emplace(prepare(*study, feature_rows(study->config, nullptr)));
    } catch (const Error&) {
      ASSERT_FALSE(more.empty());
      continue;  // early stopping needs validation records and epochs: not all studies have them
    }
    const auto& parties = prepared->plan.topology.parties;
    for (int p = 0; p < static_cast<int>(parties.size()); ++p) {
      const PartyConfig& party = parties[static_cast<std::size_t>(p)];
      if (party.role != Role::kClient) continue;
      const std::set<std::string> demanded = demanded_kinds(*prepared, p);
      EXPECT_EQ(demanded, listed_kinds(*prepared, party.name)) << party.name;
      if (prepared->study().study == "wdbc_u_shaped") { EXPECT_EQ(demanded.contains("metrics"), !more.empty()); }
      if (prepared->study().study == "wdbc_vertical") { EXPECT_TRUE(demanded.contains("alignment")); }
    }
  }
}

class WdbcRuns : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Configs, WdbcRuns, ::testing::Values("wdbc_vanilla", "wdbc_release_once"),
                         [](const auto& info) { return info.param; });

TEST_P(WdbcRuns, OneEpochInOneProcess) {
  const LoadedStudy study = load_study(kConfigs / (GetParam() + ".yaml"), {"training.epochs=1", "control_permutations=1"});
  const std::vector<SiteData> sites = load_sites(study.config.data, study.config.seed);
  const Prepared prepared = prepare(study, feature_rows(study.config, &sites.at(0)));
  const fs::path folder = fs::temp_directory_path() / ("sutura_wdbc_" + std::to_string(::getpid()) + "_" + GetParam());
  const PartyResult result = simulate(prepared, sites, folder, {});
  ASSERT_EQ(result.epochs.size(), 1u);
  ASSERT_TRUE(result.epochs[0].train_loss.has_value());
  EXPECT_TRUE(std::isfinite(*result.epochs[0].train_loss));
  ASSERT_TRUE(result.test.has_value());
  std::int64_t records = 0;
  for (const SiteData& s : sites) records += s.test.size();
  EXPECT_EQ(result.test->records, records);
  EXPECT_GT(result.epochs[0].epsilon, 0.0);
  EXPECT_LE(result.epochs[0].epsilon, study.config.privacy.epsilon);
  EXPECT_TRUE(fs::exists(folder / "summary.json"));
  EXPECT_TRUE(fs::exists(folder / "server" / "weights" / "tail.safetensors"));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace sutura
