// The programs are those of architecture section 3: forward, loss, backward toward what trains, one turn for each wait.
#include "runtime/topology/program_grid.h"
#include "tests/topology/plan_case.h"

namespace sutura {
namespace {

using namespace sutura::testing;

/// The program of one party, a line for each turn.
std::string program_of(const Plan& plan, Purpose purpose, const std::string& party) {
  std::string text;
  for (const auto& turn : plan.program(plan.party_index(party), purpose).turns) {
    for (const Instruction& i : turn) text += instruction_text(plan, i) + "; ";
    text += "\n";
  }
  return text;
}

class Programs : public PlanCase {};

TEST_F(Programs, Vanilla) {
  const Plan plan = compiled(study("vanilla", std::string(kMlp) + ", cuts: [act1]", kNoPrivacy));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"),
            "LOAD x; LOAD y; FORWARD front; SEND front>tail; SEND y>loss; \n"
            "RECEIVE front>tail (gradient); BACKWARD front; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"),
            "RECEIVE front>tail; FORWARD tail; RECEIVE y>loss; LOSS loss; BACKWARD tail; SEND front>tail (gradient); \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "hospital"), "LOAD x; LOAD y; FORWARD front; SEND front>tail; SEND y>loss; \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "server"), "RECEIVE front>tail; FORWARD tail; RECEIVE y>loss; LOSS loss; \n");
  EXPECT_EQ(program_of(plan, Purpose::kUpload, "hospital"), "");
  EXPECT_EQ(program_of(plan, Purpose::kLocalEvaluate, "hospital"), "");
  EXPECT_EQ(plan.lanes, (std::vector<std::string>{"north", "south"}));
  EXPECT_EQ(plan.instances(0), plan.lanes);
  EXPECT_EQ(plan.instances(1), std::vector<std::string>{"server"});
  EXPECT_EQ(plan.edges[0].row, (Shape{1, 5}));
}

TEST_F(Programs, AGuardedRouteReleasesBeforeItSends) {
  const Plan plan = compiled(study("vanilla", std::string(kMlp) + ", cuts: [act1]", kMessageNoise));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"),
            "LOAD x; LOAD y; FORWARD front; RELEASE front>tail; SEND front>tail; SEND y>loss; \n"
            "RECEIVE front>tail (gradient); BACKWARD front; \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "hospital"),
            "LOAD x; LOAD y; FORWARD front; RELEASE front>tail; SEND front>tail; SEND y>loss; \n");
}

TEST_F(Programs, UShapedGuardsTheGradientToo) {
  const Plan plan = compiled(study("u_shaped", std::string(kMlp) + ", cuts: [act1, act2]", kMessageNoise));
  EXPECT_EQ(
      program_of(plan, Purpose::kTrain, "hospital"),
      "LOAD x; LOAD y; FORWARD front; RELEASE front>body; SEND front>body; \n"
      "RECEIVE body>head; FORWARD head; LOSS loss; BACKWARD head; RELEASE body>head (gradient); SEND body>head (gradient); \n"
      "RECEIVE front>body (gradient); BACKWARD front; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"),
            "RECEIVE front>body; FORWARD body; SEND body>head; \n"
            "RECEIVE body>head (gradient); BACKWARD body; SEND front>body (gradient); \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "server"), "RECEIVE front>body; FORWARD body; SEND body>head; \n");
}

TEST_F(Programs, Vertical) {
  const Plan plan = compiled(study("vertical", kVerticalSegments, kNoPrivacy, "[cohort]"));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "clinic"),
            "LOAD x_clinic; LOAD y; FORWARD front_clinic; SEND front_clinic>join; SEND y>loss; \n"
            "RECEIVE front_clinic>join (gradient); BACKWARD front_clinic; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "laboratory"),
            "LOAD x_laboratory; FORWARD front_laboratory; SEND front_laboratory>join; \n"
            "RECEIVE front_laboratory>join (gradient); BACKWARD front_laboratory; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"),
            "RECEIVE front_clinic>join; RECEIVE front_laboratory>join; JOIN join; FORWARD tail; RECEIVE y>loss; LOSS loss; "
            "BACKWARD tail; SPLIT join; SEND front_clinic>join (gradient); SEND front_laboratory>join (gradient); \n");
  EXPECT_EQ(plan.row_shapes[5], (Shape{1, 5})) << "3 columns of the clinic and 2 of the laboratory";
}

TEST_F(Programs, Local) {
  const Plan plan = compiled(study("local", kMlp, kNoPrivacy, "[pooled]"));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"), "LOAD x; LOAD y; FORWARD whole; LOSS loss; BACKWARD whole; \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "hospital"), "LOAD x; LOAD y; FORWARD whole; LOSS loss; \n");
  EXPECT_TRUE(plan.edges.empty());
}

TEST_F(Programs, ThreeCutsWithTheLossBehindTheLast) {
  const Plan plan = compiled(study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", kNoPrivacy));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"),
            "LOAD x; LOAD y; FORWARD a; SEND a>b; \n"
            "RECEIVE b>c; FORWARD c; SEND c>d; \n"
            "RECEIVE d>loss; LOSS loss; SEND d>loss (gradient); \n"
            "RECEIVE c>d (gradient); BACKWARD c; SEND b>c (gradient); \n"
            "RECEIVE a>b (gradient); BACKWARD a; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"),
            "RECEIVE a>b; FORWARD b; SEND b>c; \n"
            "RECEIVE c>d; FORWARD d; SEND d>loss; \n"
            "RECEIVE d>loss (gradient); BACKWARD d; SEND c>d (gradient); \n"
            "RECEIVE b>c (gradient); BACKWARD b; SEND a>b (gradient); \n");
}

TEST_F(Programs, BackwardGoesOnlyTowardWhatTrains) {
  const Plan plan = compiled(study("vanilla", std::string(kMlp) + ", cuts: [act1], frozen: [front]", kNoPrivacy));
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"), "LOAD x; LOAD y; FORWARD front; SEND front>tail; SEND y>loss; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"),
            "RECEIVE front>tail; FORWARD tail; RECEIVE y>loss; LOSS loss; BACKWARD tail; \n");
  EXPECT_FALSE(plan.edges[0].gradient);
}

TEST_F(Programs, ReleaseOnceUploadsThenTrainsFromTheStore) {
  std::string topology = "vanilla";
  StudyConfig s = study(topology, std::string(kMlp) + ", cuts: [act1], frozen: [front]", kReleaseOnce);
  s.topology.deliver = {{"tail", "hospital"}};
  const Plan plan = compiled(s);
  EXPECT_TRUE(plan.release_once);
  EXPECT_EQ(program_of(plan, Purpose::kUpload, "hospital"),
            "LOAD x; LOAD y; FORWARD front; RELEASE front>tail; SEND front>tail; SEND y>loss; \n");
  EXPECT_EQ(program_of(plan, Purpose::kUpload, "server"), "RECEIVE front>tail; STORE front>tail; RECEIVE y>loss; STORE y>loss; \n");
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "hospital"), "") << "nothing of the hospital takes part in later epochs";
  EXPECT_EQ(program_of(plan, Purpose::kTrain, "server"), "FETCH front>tail; FORWARD tail; FETCH y>loss; LOSS loss; BACKWARD tail; \n");
  EXPECT_EQ(program_of(plan, Purpose::kEvaluate, "hospital"), "") << "records of the test split are never released";
  EXPECT_EQ(program_of(plan, Purpose::kLocalEvaluate, "hospital"),
            "LOAD x; LOAD y; FORWARD front; FIT front>tail; FORWARD tail; LOSS loss; \n");
}

TEST_F(Programs, AreAPureFunctionOfTheStudy) {
  const StudyConfig s = study(kChain, std::string(kMlp) + ", cuts: [act1, fc2, act2]", kNoPrivacy);
  EXPECT_EQ(grid_text(compiled(s)), grid_text(compiled(s)));
}

}  // namespace
}  // namespace sutura
