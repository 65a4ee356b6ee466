// Studies whose party with the loss computes on a device and ends in a pool and a linear layer: these run with the loss, and the
// study goes as on the reference backend.
#include <algorithm>
#include <atomic>
#include <cmath>

#include "tests/engine/crew.h"
#include "tests/simt/counted_heads.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using namespace sutura::testing;

const std::string kFront =
    "front: {layers: [{name: conv1, type: conv2d, filters: 4, kernel: 3, pad: 1}, {name: act1, type: relu}]}";
/// Segments of a line, the last of which ends in a pool, `between` and a linear layer.
std::string ends(const std::string& between) {
  return "{name: conv2, type: conv2d, filters: 6, kernel: 3, pad: 1}, {name: norm2, type: group_norm}, {name: act2, type: relu}, "
         "{name: pool, type: global_avg_pool}, " +
         between + "{name: out, type: linear, outputs: -1}";
}
std::string pictures(const std::string& between = "") {
  return "segments: {" + kFront + ", tail: {layers: [" + ends(between) + "]}}";
}

struct Case {
  std::string name;
  std::string loss_party;  ///< the process that computes on a device
  std::function<void(StudyText&)> change;
  std::function<void(StudyConfig&)> set = [](StudyConfig&) {};
  Recording recorded = Recording::kOn;
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

const std::string kVerticalFronts =
    "front_clinic: {layers: [{name: clinic_conv, type: conv2d, filters: 3, kernel: 3, pad: 1}, {name: clinic_act, type: gelu}]}, "
    "front_laboratory: {layers: [{name: laboratory_conv, type: conv2d, filters: 3, kernel: 5, pad: 2}, {name: laboratory_act, "
    "type: relu}]}";

const Case kCases[] = {
    {"vanilla", "server", [](StudyText&) {}},
    {"micro_batches", "server", [](StudyText& t) { t.micro_batches = 2; }},
    {"two_sites_one_tail", "server",
     [](StudyText& t) {
       t.sites = {"north", "south"};
     }},
    {"tail_of_each_site", "server",
     [](StudyText& t) {
       t.sites = {"north", "south"};
       t.schedule = "{visit: together, tail: per_client, average: [front]}";
     }},
    {"frozen_tail", "server", [](StudyText& t) { t.network += ", frozen: [tail]"; }},
    {"class_weights", "server", [](StudyText& t) { t.training_more = ", class_weights: [1, 3]"; }},
    {"cross_entropy", "server", [](StudyText&) {},
     [](StudyConfig& s) {
       s.training.loss = LossKind::kCrossEntropy;
       s.training.class_weights = {0.5, 2.0};
     }},
    {"resnet18", "server",
     [](StudyText& t) {
       t.network = "zoo: resnet18, width: 4, cuts: [stage1.1]";
       t.record = {1, 8, 8, 1};
     }},
    {"ecg_cnn1d", "server",
     [](StudyText& t) {
       t.network = "zoo: ecg_cnn1d, width: 4, kernel: 5, dropout: 0, cuts: [act1]";
       t.record = {1, 1, 16, 1};
     }},
    // The head is a segment of its own, at the hospital.
    {"u_shaped", "north",
     [](StudyText& t) {
       t.topology = "u_shaped";
       t.network = "zoo: xray_cnn, width: 4, dropout: 0, cuts: [act1, act5]";
       t.record = {1, 8, 8, 1};
     }},
    {"federated", "north",
     [](StudyText& t) {
       t.topology = kFederated;
       t.network = "segments: {whole: {layers: [" + ends("") + "]}}";
       t.schedule = "{visit: together, average: [whole]}";
     }},
    // Both parties look at the same pictures: tables of columns have none.
    {"vertical", "server",
     [](StudyText& t) {
       t.topology = "vertical";
       t.sites = {"cohort"};
       t.network = "segments: {" + kVerticalFronts + ", tail: {layers: [" + ends("") + "]}}";
     }},
    // A step's weights are stashed, and its gradients with them: a part of them that went elsewhere would be lost.
    {"stale_u_shaped", "north",
     [](StudyText& t) {
       t.topology = "u_shaped";
       t.network = "zoo: xray_cnn, width: 4, dropout: 0, cuts: [act1, act4]";
       t.record = {1, 8, 8, 1};
     },
     [](StudyConfig& s) { s.training.stale = 2; }, Recording::kOff},
    {"stale_chain", "server",
     [](StudyText& t) {
       t.topology = chain_topology("server");
       t.network = "zoo: xray_cnn, width: 4, dropout: 0, cuts: [act1, act2, act4]";
       t.record = {1, 8, 8, 1};
     },
     [](StudyConfig& s) { s.training.stale = 1; }, Recording::kOff},
};

class DeviceHeadBase : public SplitRun {
 protected:
  using Contexts = std::function<Context(const Instance&)>;
  static Context on_cpu(const Instance&) { return Context(Backend::kReference); }
  static Contexts at(const std::string& party, DType compute = DType::kFloat32) {
    return [=](const Instance& i) {
      return i.name == party ? Context(Backend::kNative, simt::counted_heads(), compute) : on_cpu(i);
    };
  }
  static StudyText study() {
    StudyText t;
    t.topology = "vanilla";
    t.network = pictures();
    t.sites = {"north"};
    t.record = {1, 6, 6, 1};
    t.batch_size = 4;
    t.epochs = 3;
    t.optimizer = "{name: sgd, learning_rate: 0.05, momentum: 0.9}";
    return t;
  }
  static std::vector<SiteData> sites(const StudyText& t) {
    std::vector<SiteData> all;
    for (std::size_t i = 0; i < t.sites.size(); ++i)
      all.push_back(make_site(t.sites[i], t.record, {15 + 4 * static_cast<std::int64_t>(i)}, 17 + i));
    return all;
  }
  std::map<std::string, Member> work(const StudyText& t, const std::vector<SiteData>& data, const Contexts& context,
                                     Recording recording, const Crew::Job& job,
                                     const std::function<void(StudyConfig&)>& set = {}) {
    Crew crew(folder() / "crew", t, data, set);
    crew.context = context;
    crew.recording = recording;
    return crew.work(job);
  }
  /// Three epochs and a pass of evaluation after each.
  static void train(Executor& executor, Member& member) {
    for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
      train_epoch(executor, member, epoch);
      for (const StepResult& r : executor.finish()) member.results.push_back(r);
      for (const Step& s : executor.setup().planner.pass(Purpose::kEvaluate, Split::kValidation, epoch)) executor.run(s);
    }
  }
  static std::vector<double> losses(const Member& m) {
    std::vector<double> all;
    for (const StepResult& r : m.results) all.push_back(r.loss);
    return all;
  }
  static double furthest(std::span<const float> a, std::span<const float> b) {
    double most = a.size() == b.size() ? 0.0 : INFINITY;
    for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
      most = std::max(most, std::abs(static_cast<double>(a[i]) - b[i]));
    return most;
  }
  /// Parts of training steps that run at this process.
  static int parts_of(const std::map<std::string, Member>& members, const std::string& party, const StudyText& t) {
    const bool own = std::ranges::find(t.sites, party) != t.sites.end();
    return static_cast<int>(members.at(party).results.size() * static_cast<std::size_t>(t.micro_batches) *
                            (own ? 1 : t.sites.size()));
  }
};
class DeviceHead : public DeviceHeadBase, public ::testing::WithParamInterface<Case> {};
INSTANTIATE_TEST_SUITE_P(Ways, DeviceHead, ::testing::ValuesIn(kCases), [](const auto& info) { return info.param.name; });

TEST_P(DeviceHead, TrainsAsTheReferenceDoes) {
  const Case& c = GetParam();
  StudyText t = study();
  c.change(t);
  const auto data = sites(t);
  const auto reference = work(t, data, on_cpu, Recording::kOff, train, c.set);
  simt::heads = 0;
  const auto device = work(t, data, at(c.loss_party), Recording::kOff, train, c.set);
  for (const auto& [who, m] : device) EXPECT_EQ(m.error, "") << who;
  EXPECT_EQ(simt::heads, parts_of(device, c.loss_party, t)) << "once for each part of a training step, never in evaluation";
  EXPECT_GT(simt::heads, 0);
  // Sums in another order: at most 1e3 terms of a product round to about sqrt(1e3) 2^-24 = 2e-6 of their size in each of up to
  // twenty layers; twelve steps.
  const std::vector<double> want = losses(reference.at(c.loss_party)), got = losses(device.at(c.loss_party));
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-4 * want[i]) << "step " << i;
  for (const auto& [who, m] : reference)
    for (const auto& [segment, weights] : m.weights)
      EXPECT_LE(furthest(device.at(who).weights.at(segment).f32(), weights.f32()), 2e-4) << who << " " << segment;
  for (const auto& [key, scores] : reference.at(c.loss_party).scores)
    EXPECT_LE(furthest(device.at(c.loss_party).scores.at(key).values, scores.values), 2e-4);

  const auto recorded = work(t, data, at(c.loss_party), Recording::kOn, train, c.set);
  for (const auto& [who, m] : recorded)
    for (const auto& [segment, weights] : m.weights)
      EXPECT_TRUE(std::ranges::equal(weights.bytes(), device.at(who).weights.at(segment).bytes())) << who << " " << segment;
  EXPECT_EQ(losses(recorded.at(c.loss_party)), got);
  EXPECT_EQ(recorded.at(c.loss_party).replays > 0, c.recorded == Recording::kOn);
}

using DeviceHeadStep = DeviceHeadBase;

// A layer that only gives the pooled values their own shape keeps pool and product apart: the same study without the head.
TEST_F(DeviceHeadStep, TakesFewerKernelsThanLayersAndLoss) {
  StudyText t = study(), apart = study();
  apart.network = pictures("{name: flat, type: flatten}, ");
  const auto data = sites(t);
  const auto launched = [&](const StudyText& text, std::map<std::string, Member>& members) {
    const std::int64_t before = simt::launches();
    members = work(text, data, at("server"), Recording::kOn, train);
    return simt::launches() - before;
  };
  simt::heads = 0;
  std::map<std::string, Member> plain, with_loss;
  const std::int64_t more = launched(apart, plain);
  EXPECT_EQ(simt::heads, 0);
  const std::int64_t fewer = launched(t, with_loss);
  EXPECT_GT(simt::heads, 0);
  // Two kernels instead of at least six, in each of twelve steps.
  EXPECT_LE(fewer + 4 * static_cast<std::int64_t>(with_loss.at("server").results.size()), more);
  const std::vector<double> want = losses(plain.at("server")), got = losses(with_loss.at("server"));
  ASSERT_EQ(want.size(), 12u);
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(got.at(i), want[i], 2e-4 * want[i]) << "step " << i;
}

TEST_F(DeviceHeadStep, InBfloat16GivesTheReferencesLosses) {
  const StudyText t = study();
  const auto data = sites(t);
  const std::vector<double> want = losses(work(t, data, on_cpu, Recording::kOff, train).at("server"));
  const auto half = work(t, data, at("server", DType::kBfloat16), Recording::kOn, train);
  EXPECT_GT(half.at("server").replays, 0);
  const std::vector<double> got = losses(half.at("server"));
  ASSERT_EQ(got.size(), want.size());
  // Four activations are rounded on the way through the tail, 2^-9 each: (1 + step) 4 sqrt(4) 2^-9, as in step_graph_test.cpp.
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(got[i], want[i], static_cast<double>(1 + i) * 8.0 / 512.0) << "step " << i;
}

// The server checks labels when they come in; a party that holds labels and loss learns of a wrong one from the loss. Nothing of
// that step reaches the weights.
TEST_F(DeviceHeadStep, RefusesALabelOutsideTheClasses) {
  StudyText t = study();
  t.topology = "u_shaped";
  t.network = "zoo: xray_cnn, width: 4, dropout: 0, cuts: [act1, act4]";
  t.record = {1, 8, 8, 1};
  for (const Recording recording : {Recording::kOff, Recording::kOn}) {
    auto data = sites(t);
    std::map<std::string, Tensor> before;
    const auto members = work(t, data, at("north"), recording, [&](Executor& executor, Member& member) {
      const bool here = member.self.name == "north";
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        if (epoch == 2 && here) std::ranges::fill(data[0].train.labels.as<std::int32_t>(), 2);  // the party's view shares it
        for (const Step& s : executor.setup().planner.training(epoch)) {
          if (here) before = executor.snapshot();
          member.results.push_back(executor.run(s));
        }
      }
    });
    const Member& north = members.at("north");
    EXPECT_EQ(north.error, "a label lies outside the study's classes");
    EXPECT_EQ(north.results.size(), 8u) << "two epochs of four steps";
    ASSERT_EQ(north.weights.size(), 2u);
    for (const auto& [segment, weights] : north.weights)
      EXPECT_TRUE(std::ranges::equal(weights.f32(), before.at(segment).f32())) << segment;
  }
}

/// Two sites; before the third step north's copy of the tail grows beyond float32.
TEST_F(DeviceHeadStep, WithALossThatIsNotFiniteEndsItsLaneAlone) {
  StudyText t = study();
  t.sites = {"north", "south"};
  t.schedule = "{visit: together, tail: per_client, average: [front]}";
  const auto data = sites(t);
  const auto spoil = [](Executor& executor, Member& member) {
    int step = 0;
    for (std::int64_t epoch = 0; epoch < 2; ++epoch)
      for (const Step& s : executor.setup().planner.training(epoch)) {
        if (++step == 3 && member.self.name == "server")
          for (float& v : executor.copies("tail")[0].params.values().f32()) v = std::copysign(1e30f, v);
        member.results.push_back(executor.run(s));
        if (member.self.name == "server")
          member.weights["tail of south"] = executor.copies("tail").back().params.values().clone();
      }
  };
  simt::heads = 0;
  const auto device = work(t, data, at("server"), Recording::kOn, spoil);
  EXPECT_GT(simt::heads, 0);
  const auto reference = work(t, data, on_cpu, Recording::kOff, spoil);
  for (const auto* run : {&device, &reference}) {
    ASSERT_EQ(run->at("server").dropped.size(), 1u);
    EXPECT_TRUE(run->at("server").dropped[0].starts_with("north: the loss of a micro-batch is not finite"))
        << run->at("server").dropped[0];
    EXPECT_EQ(run->at("south").error, "");
    EXPECT_NE(run->at("north").error, "");
  }
  EXPECT_LE(
      furthest(device.at("server").weights.at("tail of south").f32(), reference.at("server").weights.at("tail of south").f32()),
      2e-4);
}

// The gradients of a part, the head's too, are among the sums before its loss is seen: that step's update is left out.
TEST_F(DeviceHeadStep, WithALossThatIsNotFiniteCancelsTheUpdateOfASharedTail) {
  StudyText t = study();
  t.sites = {"north", "south"};
  // No norm in the tail: what is large stays large. 1e5 times 1e36 is beyond float32, 1 times 1e36 is not (south refuses its gradient).
  t.network = "segments: {" + kFront +
              ", tail: {layers: [{name: conv2, type: conv2d, filters: 6, kernel: 3, pad: 1}, "
              "{name: pool, type: global_avg_pool}, {name: out, type: linear, outputs: -1}]}}";
  const auto data = sites(t);
  simt::heads = 0;
  const auto members = work(t, data, at("server"), Recording::kOn, [](Executor& executor, Member& member) {
    const auto steps = executor.setup().planner.training(0);
    for (std::size_t s = 0; s < 3; ++s) {
      if (s == 2 && member.self.name == "north")
        for (float& v : executor.copies("front")[0].params.values().f32()) v *= 1e5f;
      if (s == 2 && member.self.name == "server") {
        ParamStore& tail = executor.copies("tail")[0].params;
        for (const ParamEntry& e : tail.entries())
          if (e.name == "conv2.weight")
            for (float& v : Tensor::part(tail.values(), e.offset, e.shape).f32()) v *= 1e36f;
        member.weights["before"] = tail.values().clone();
      }
      member.results.push_back(executor.run(steps[s]));
    }
  });
  EXPECT_EQ(simt::heads, 6) << "three steps of two parts";
  const Member& server = members.at("server");
  ASSERT_EQ(server.dropped.size(), 1u);
  EXPECT_TRUE(server.dropped[0].starts_with("north: the loss of a micro-batch is not finite")) << server.dropped[0];
  EXPECT_EQ(server.error, "");
  EXPECT_EQ(server.results.size(), 3u);
  EXPECT_TRUE(std::ranges::equal(server.weights.at("tail").f32(), server.weights.at("before").f32()));
}

}  // namespace
}  // namespace sutura
