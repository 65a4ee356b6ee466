// The grid shows every instruction once, in an order that the messages allow, in lines of bounded width.
#include "runtime/topology/program_grid.h"

#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;

class ProgramGrid : public PlanCase {};

TEST_F(ProgramGrid, OfOneCutReadsAsWhoDoesWhatWhen) {
  const std::string text = grid_text(compiled(shipped("vanilla")));
  EXPECT_EQ(text.substr(0, text.find("evaluate")),
            "train\n"
            "  hospital                       server\n"
            "  LOAD x\n"
            "  LOAD y\n"
            "  FORWARD front\n"
            "  SEND front>tail\n"
            "  SEND y>loss                    RECEIVE front>tail\n"
            "                                 FORWARD tail\n"
            "                                 RECEIVE y>loss\n"
            "                                 LOSS loss\n"
            "                                 BACKWARD tail\n"
            "                                 SEND front>tail (gradient)\n"
            "  RECEIVE front>tail (gradient)\n"
            "  BACKWARD front\n");
}

TEST_F(ProgramGrid, HoldsEveryInstructionOnceAndNoMessageBeforeItWasSent) {
  for (const std::string& name : shipped_topologies()) {
    const Plan plan = compiled(shipped(name));
    for (const Purpose purpose : {Purpose::kTrain, Purpose::kEvaluate}) {
      std::vector<std::vector<std::string>> seen(plan.topology.parties.size()), programs = seen;
      std::map<std::pair<int, Leg>, std::size_t> sent_at;
      const auto grid = program_grid(plan, purpose);
      ASSERT_FALSE(grid.empty()) << name;
      for (std::size_t r = 0; r < grid.size(); ++r)
        for (std::size_t p = 0; p < seen.size(); ++p) {
          if (!grid[r][p]) continue;
          const Instruction& i = *grid[r][p];
          seen[p].push_back(instruction_text(plan, i));
          if (i.op == OpCode::kSend) sent_at[{i.edge, i.leg}] = r;
          if (i.op != OpCode::kReceive) continue;
          ASSERT_TRUE(sent_at.contains({i.edge, i.leg})) << name;
          EXPECT_LT((sent_at[{i.edge, i.leg}]), r) << name;
        }
      for (std::size_t p = 0; p < programs.size(); ++p)
        for (const auto& turn : plan.program(static_cast<int>(p), purpose).turns)
          for (const Instruction& i : turn) programs[p].push_back(instruction_text(plan, i));
      EXPECT_EQ(seen, programs) << name;
    }
  }
}

TEST_F(ProgramGrid, LinesFitAndLongNamesGoOnInTheNextLine) {
  StudyConfig s = shipped("vertical_three");
  const std::string longer = "front_of_the_" + std::string(60, 'z');
  node_named(s, "front_clinic").name = longer;
  for (RouteConfig& r : s.topology.routes)
    for (std::string* end : {&r.from, &r.to})
      if (*end == "front_clinic") *end = longer;
  const Plan plan = compiled(s);
  for (const std::size_t width : {60u, 100u, 160u}) {
    std::istringstream text(grid_text(plan, width));
    std::string line, letters;
    std::size_t widest = 0;
    while (std::getline(text, line)) {
      widest = std::max(widest, line.size());
      letters += line;
    }
    EXPECT_LE(widest, width);
    EXPECT_EQ(std::ranges::count(letters, 'z') % 60, 0) << "no letter of the long name is lost";
    EXPECT_GT(std::ranges::count(letters, 'z'), 0);
  }
}

}  // namespace
}  // namespace sutura
