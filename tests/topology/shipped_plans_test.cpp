// Every study that ships compiles at a party without data; those on the shipped table train.
#include <cmath>
#include <cstdlib>

#include "runtime/data/load.h"
#include "runtime/topology/program_grid.h"
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
  // Where there is nobody else nothing leaves; where only weights are averaged there are no edges, but weights leave.
  EXPECT_EQ(prepared.plan.edges.empty() && prepared.plan.weights.empty() && prepared.plan.topology.parties.size() == 1,
            prepared.egress.empty());
  if (prepared.study().privacy.mechanism == Mechanism::kRows) {
    ASSERT_TRUE(prepared.guard.has_value());
    EXPECT_LE(prepared.guard->epsilon, prepared.study().privacy.epsilon * (1 + 1e-9));
    EXPECT_THAT(egress_text(prepared.egress), HasSubstr("rows: norm"));
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
