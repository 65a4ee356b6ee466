// `sutura plan` as researchers run it: no data, no keys, nothing written.
#include <nlohmann/json.hpp>

#include "tests/integration/start/refused_start.h"

namespace sutura::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using nlohmann::json;

class PlanProgram : public RefusedStart {
 protected:
  std::string planned(std::vector<std::string> more) const {
    const auto before = files();
    std::vector<std::string> arguments{"plan", study.string(), "data.table.path=/nowhere.csv"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const auto process = start("sutura", arguments);
    expect_exit(*process, 0);
    EXPECT_EQ(files(), before) << "a plan is only printed";
    return process->out();
  }
};

TEST_F(PlanProgram, PrintsWhoDoesWhatWhatTravelsAndWhatLeaves) {
  const std::string text = planned({});
  for (const char* part : {"who does what when", "RELEASE front>tail", "bytes/epoch", "an epoch of 1000 records in 32 steps",
                           "weights front, hospital -> server, each round", "what leaves", "UNPROTECTED", "privacy\n"})
    EXPECT_THAT(text, HasSubstr(part));
}

TEST_F(PlanProgram, GivesPartsNotTextsAsJson) {
  const json plan = json::parse(planned({"--json", "--records", "427"}));
  EXPECT_EQ(plan.at("study"), "wdbc_vanilla");
  const json& train = plan.at("programs").at(0);
  EXPECT_EQ(train.at("purpose"), "train");
  EXPECT_EQ(train.at("rows").at(0), json::parse(R"({"hospital": {"op": "LOAD", "node": "x"}})"));
  bool together = false;
  for (const json& row : train.at("rows")) together = together || row.size() == 2;
  EXPECT_TRUE(together) << "hospital and server work at the same time somewhere";
  const json& traffic = plan.at("traffic");
  EXPECT_EQ(traffic.at("records"), 427);
  EXPECT_EQ(traffic.at("steps"), 14);
  ASSERT_EQ(traffic.at("legs").size(), 3u);
  const json& rows = traffic.at("legs").at(0);
  EXPECT_EQ(rows.at("wire"), "int8 rows");
  EXPECT_EQ(rows.at("bytes_per_record"), 8);
  EXPECT_EQ(rows.at("messages_per_step"), 2);
  EXPECT_EQ(rows.at("bytes_per_step"), 32 * 8 + 2 * (64 + 32)) << "values, and two frames' headers";
  ASSERT_EQ(traffic.at("weights").size(), 2u);
  EXPECT_EQ(traffic.at("weights").at(0).at("bytes"), 2 * 4 * (30 * 8 + 8)) << "two hospitals";
  EXPECT_EQ(plan.at("egress").at(0).at("to"), "server");
  EXPECT_THAT(plan.at("statement").get<std::string>(), HasSubstr("epsilon"));
}

TEST_F(PlanProgram, PrintsWhatEachCutCosts) {
  const json cuts = json::parse(planned({"--cuts", "--json"})).at("cuts");
  std::vector<std::string> after, own;
  for (const json& c : cuts) {
    after.push_back(c.at("after"));
    if (c.at("study").get<bool>()) own.push_back(c.at("after"));
  }
  EXPECT_THAT(after, ElementsAre("fc1", "act1", "fc2", "act2"));
  EXPECT_THAT(own, ElementsAre("act1"));
  EXPECT_EQ(cuts.at(1).at("up_bytes"), 8 + 4) << "eight guarded integers and the label";
  EXPECT_EQ(cuts.at(1).at("down_bytes"), 4 * 8) << "the gradient is not guarded";
  EXPECT_EQ(cuts.at(1).at("forward_flops"), 2 * 30 * 8 + 8);
  EXPECT_EQ(cuts.at(1).at("kept_bytes"), 4 * (30 + 8));
  EXPECT_THAT(planned({"--cuts"}), HasSubstr("<- this study"));
}

}  // namespace
}  // namespace sutura::testing
