// Bytes and messages of a step and an epoch, counted by hand and against encoded messages; what each cut costs.
#include "runtime/topology/traffic.h"

#include "runtime/topology/cut_costs.h"
#include "tests/topology/plan_case.h"
#include "transport/codec.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::HasSubstr;

class TrafficCount : public PlanCase {
 protected:
  static Segments segments_of(const StudyConfig& s) { return build_segments(s, feature_rows(s, nullptr), 1); }
  static Traffic counted(const StudyConfig& s, std::int64_t records) {
    return count_traffic(compiled(s), s, segments_of(s), records);
  }
  static std::vector<CutCost> costs(const StudyConfig& s) { return cut_costs(compiled(s), s, segments_of(s)); }
};

/// As the wire writes it: a tensor of [records, width] and, for int8 rows, their scales.
std::int64_t encoded_bytes(DType dtype, std::int64_t records, std::int64_t width, bool scales = false) {
  Message m;
  m.tag = {0, Leg::kForward, 1, 0};
  m.tensors.push_back({dtype, {records, width}, Bytes(static_cast<std::size_t>(records * width) * size_bytes(dtype))});
  if (scales) m.tensors.push_back({DType::kFloat32, {records}, Bytes(static_cast<std::size_t>(records) * 4)});
  return static_cast<std::int64_t>(frame_bytes(m));
}

TEST_F(TrafficCount, OfAStepIsWhatItsMessagesWeigh) {
  StudyConfig s = shipped("vanilla");  // two sites, rows of 5
  s.training.batch_size = 32;
  const Traffic t = counted(s, 320);
  ASSERT_EQ(t.legs.size(), 3u);
  EXPECT_EQ(t.steps, 10);
  for (const LegTraffic& l : t.legs) EXPECT_EQ(l.messages_per_step, 2);
  EXPECT_EQ(t.legs[0].step_bytes, 2 * encoded_bytes(DType::kFloat32, 16, 5));
  EXPECT_EQ(t.legs[1].step_bytes, t.legs[0].step_bytes) << "a gradient for each activation";
  EXPECT_EQ(t.legs[2].step_bytes, 2 * encoded_bytes(DType::kInt32, 16, 1)) << "labels";
  for (const LegTraffic& l : t.legs) EXPECT_EQ(l.epoch_bytes, 10 * l.step_bytes);
}

TEST_F(TrafficCount, FollowsCodecsGuardsVisitsAndMicroBatches) {
  StudyConfig s = shipped("vanilla");
  s.training.batch_size = 32;
  s.wire = {Codec::kInt8, Codec::kBfloat16};
  s.training.micro_batches = 4;
  Traffic t = counted(s, 320);
  EXPECT_EQ(t.legs[0].wire, "int8, a scale per record");
  EXPECT_EQ(t.legs[0].step_bytes, 8 * encoded_bytes(DType::kInt8, 4, 5, true));
  EXPECT_EQ(t.legs[1].step_bytes, 8 * encoded_bytes(DType::kBfloat16, 4, 5));
  s.schedule.visit = Visit::kInTurn;
  t = counted(s, 96);  // 48 records a site: a full step and a half one
  EXPECT_EQ(t.steps, 4);
  EXPECT_EQ(t.legs[0].messages_per_step, 4);
  EXPECT_EQ(t.legs[0].step_bytes, 4 * encoded_bytes(DType::kInt8, 8, 5, true));
  EXPECT_EQ(t.legs[0].epoch_bytes, 2 * t.legs[0].step_bytes + 8 * encoded_bytes(DType::kInt8, 4, 5, true));
  s = shipped("vanilla", kMessageNoise);
  EXPECT_EQ(counted(s, 10).legs[0].wire, "int8 rows");
  EXPECT_EQ(counted(s, 10).legs[0].record_bytes, 5);
}

TEST_F(TrafficCount, ReleaseOnceSendsEachRecordOnce) {
  StudyConfig s = shipped("vanilla", kReleaseOnce);
  s.network.frozen = {"front"};
  s.topology.deliver = {{"tail", "hospital"}};
  s.control_permutations = 3;
  const Traffic t = counted(s, 100);
  ASSERT_EQ(t.legs.size(), 2u);
  EXPECT_EQ(t.legs[0].messages_per_step, 0);
  EXPECT_EQ(t.legs[0].epoch_bytes, 100 * 5);
  ASSERT_EQ(t.weights.size(), 1u);
  const std::int64_t tail = (5 * 4 + 4) + (4 * 1 + 1);
  EXPECT_EQ(t.weights[0].bytes, 2 * 4 * tail * (1 + 3)) << "two sites, the result and three controls";
}

TEST_F(TrafficCount, WeightsOfARoundAreThoseOfEverySite) {
  const std::int64_t front = 6 * 5 + 5;
  StudyConfig s = shipped("vanilla");
  s.schedule.average = {"front"};
  Traffic t = counted(s, 10);
  ASSERT_EQ(t.weights.size(), 2u);
  EXPECT_EQ(t.weights[0].bytes, 2 * 4 * front);
  s.schedule = {.visit = Visit::kInTurn, .hand_on = {"front"}};
  for (const auto& [kind, momentum, moments] :
       {std::tuple{OptimizerKind::kAdamW, 0.9, 2}, {OptimizerKind::kSgd, 0.9, 1}, {OptimizerKind::kSgd, 0.0, 0}}) {
    s.training.optimizer = kind;
    s.training.momentum = momentum;
    t = counted(s, 10);
    ASSERT_EQ(t.weights.size(), 1u);
    EXPECT_EQ(t.weights[0].bytes, 2 * 4 * front * (1 + moments));
  }
}

// ---- what each cut costs ---------------------------------------------------------------------------------------------------

TEST_F(TrafficCount, CutsOfASmallNetworkByHand) {
  const auto all = costs(shipped("vanilla"));  // 6 -> 5 -> 4 -> 1: fc1, act1, fc2, act2, out
  ASSERT_EQ(all.size(), 4u);
  const char* names[] = {"fc1", "act1", "fc2", "act2"};
  const double forward[] = {60, 65, 105, 109};
  const std::int64_t weights[] = {35, 35, 59, 59};
  const std::int64_t kept[] = {6, 6 + 5, 6 + 5 + 5, 6 + 5 + 5 + 4};  // each layer keeps its input
  const std::int64_t width[] = {5, 5, 4, 4};
  for (std::size_t c = 0; c < 4; ++c) {
    EXPECT_EQ(all[c].party, "hospital");
    EXPECT_EQ(all[c].after, names[c]);
    EXPECT_EQ(all[c].study, c == 1);
    EXPECT_EQ(all[c].forward_flops, forward[c]);
    EXPECT_EQ(all[c].backward_flops, 2 * forward[c]);
    EXPECT_EQ(all[c].parameter_bytes, 4 * weights[c]);
    EXPECT_EQ(all[c].kept_bytes, 4 * kept[c]);
    EXPECT_EQ(all[c].up_bytes, 4 * width[c] + 4) << "and the label";
    EXPECT_EQ(all[c].down_bytes, 4 * width[c]);
  }
}

TEST_F(TrafficCount, AFrozenFrontHasNoBackwardAndGetsNothingBack) {
  StudyConfig s = shipped("vanilla");
  s.network.frozen = {"front"};
  for (const CutCost& c : costs(s)) {
    EXPECT_GT(c.forward_flops, 0.0);
    EXPECT_EQ(c.backward_flops, 0.0);
    EXPECT_EQ(c.kept_bytes, 0);
    EXPECT_EQ(c.down_bytes, 0);
  }
}

TEST_F(TrafficCount, TheStudysOwnCutCostsWhatItsPlanSends) {
  for (const std::string& name : shipped_topologies()) {
    if (name == "local" || name == "federated") continue;
    for (const char* privacy : {kNoPrivacy, kMessageNoise}) {
      const StudyConfig s = shipped(name, privacy);
      const Plan plan = compiled(s);
      int own = 0;
      for (const CutCost& c : cut_costs(plan, s, segments_of(s))) {
        if (!c.study) continue;
        ++own;
        std::int64_t up = 0, down = 0;
        for (const LegTraffic& l : count_traffic(plan, s, segments_of(s), 10).legs) {
          const Edge& e = plan.edges[static_cast<std::size_t>(l.edge)];
          const int from = l.leg == Leg::kForward ? e.from_party : e.to_party, to = l.leg == Leg::kForward ? e.to_party : e.from_party;
          const int party = plan.party_index(c.party);
          up += from == party ? l.record_bytes : 0;
          down += to == party ? l.record_bytes : 0;
        }
        EXPECT_EQ(c.up_bytes, up) << name << " " << c.party;
        EXPECT_EQ(c.down_bytes, down) << name << " " << c.party;
      }
      EXPECT_EQ(own, name == "vertical_three" ? 3 : name.starts_with("vertical") ? 2 : 1) << name;
    }
  }
}

TEST_F(TrafficCount, AStudyWithoutACutIsToldSo) {
  for (const char* name : {"local", "federated"}) {
    try {
      costs(shipped(name));
      ADD_FAILURE() << name;
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("there is no cut to choose"));
    }
  }
}

}  // namespace
}  // namespace sutura
