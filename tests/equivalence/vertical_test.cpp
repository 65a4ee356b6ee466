// Two parties hold different columns of the same records: equal to one network with both fronts side by side.
#include "tests/equivalence/straight_line.h"

namespace sutura {
namespace {

using namespace sutura::testing;

constexpr const char* kSegments =
    "segments: {front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 5}, {name: clinic_act, type: gelu}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 3}, {name: laboratory_act, type: relu}]}, "
    "tail: {layers: [{name: fc, type: linear, outputs: 6}, {name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}";
constexpr const char* kColumns =
    ", party_columns: {clinic: [c0, c1, c2, c3], laboratory: [c4, c5]}, party_shapes: {clinic: [4], laboratory: [2]}";

StudyText study(std::int64_t micro_batches) {
  StudyText t;
  t.topology = "vertical";
  t.network = kSegments;
  t.sites = {"cohort"};
  t.record = {1, 6};
  t.micro_batches = micro_batches;
  t.epochs = 3;
  t.data_more = kColumns;
  return t;
}

std::vector<SiteData> cohort() {
  std::vector<SiteData> sites;
  sites.push_back(make_site("cohort", {1, 6}, {29}));
  return sites;
}

Network linear_then(const std::string& prefix, std::int64_t outputs, const std::string& activation, std::int64_t inputs) {
  NetworkSpec spec;
  spec.layers = {{prefix + "fc", "linear", {{"outputs", outputs}}}, {prefix + "act", activation, {}}};
  return build_network(spec, {1, inputs}, 1);
}

Network tail() {
  NetworkSpec spec;
  spec.layers = {
      {"fc", "linear", {{"outputs", std::int64_t{6}}}}, {"act", "relu", {}}, {"out", "linear", {{"outputs", std::int64_t{-1}}}}};
  return build_network(spec, {1, 8}, 1);
}

OracleResult oracle(const StudyText& text, const SiteData& site) {
  std::vector<OracleHolder> holders;
  holders.push_back({linear_then("clinic_", 5, "gelu", 4), 4});
  holders.push_back({linear_then("laboratory_", 3, "relu", 2), 2});
  std::vector<Network> chain;
  chain.push_back(tail());
  return train_vertical(std::move(holders), JoinKind::kConcat, std::move(chain), site, schedule_of(text));
}

class Vertical : public SplitRun, public ::testing::WithParamInterface<std::int64_t> {};
INSTANTIATE_TEST_SUITE_P(MicroBatches, Vertical, ::testing::Values(1, 3));

TEST_P(Vertical, EqualsBothFrontsSideBySide) {
  const auto sites = cohort();
  const StudyText text = study(GetParam());
  const Trained split = run(text, sites);
  const OracleResult whole = oracle(text, sites[0]);
  EXPECT_EQ(split.losses(), whole.losses);
  EXPECT_LT(whole.losses.back(), whole.losses.front());
  EXPECT_EQ(difference(split.files.at("clinic/front_clinic"), whole.copies[0][0]), "");
  EXPECT_EQ(difference(split.files.at("laboratory/front_laboratory"), whole.copies[1][0]), "");
  EXPECT_EQ(difference(split.files.at("server/tail"), whole.copies[2][0]), "");
  ASSERT_TRUE(split.result.test.has_value());
  EXPECT_EQ(split.result.test->records, 5);
}

TEST_P(Vertical, ASwappedColumnIsSeen) {
  const auto sites = cohort();
  StudyText text = study(GetParam());
  text.data_more.replace(text.data_more.find("c0, c1"), 6, "c1, c0");
  const OracleResult whole = oracle(text, sites[0]);
  EXPECT_NE(difference(run(text, sites).files.at("server/tail"), whole.copies[2][0]), "");
}

}  // namespace
}  // namespace sutura
