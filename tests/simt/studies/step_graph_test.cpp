// Steps on a device, recorded and replayed: the same bits as the same steps kernel by kernel, and nearly those of the reference.
#include <cmath>

#include "tests/simt/executor.h"
#include "tests/engine/crew.h"

namespace sutura {
namespace {

using namespace sutura::testing;

Context on_device(DType compute = DType::kFloat32) { return Context(Backend::kNative, simt::table(), compute); }

/// A network at a small width, its record and cuts.
struct Case {
  std::string name, network;
  Shape record;
  double half_tolerance;  ///< of losses in bfloat16, relative
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

// bfloat16 stores every activation with a relative error of at most u = 2^-9, so L layers move a logit by about sqrt(L) u of the
// size of its terms (independent roundings), and a loss of one logit moves by at most as much as the logit (its slope is below 1,
// its size about 0.7). The same holds for gradients; five steps of these rates add less than one forward's share. With terms of
// size up to 4: 4 sqrt(L) 2^-9 / 0.7, L = 3, 11, 17 and 40 (each convolution, norm and sum rounds once).
const Case kCases[] = {
    {"mlp", "zoo: mlp, hidden: [12, 9], dropout: 0.25, cuts: [act1]", {1, 7}, 0.02},
    {"xray_cnn", "zoo: xray_cnn, width: 8, cuts: [act1]", {1, 8, 8, 1}, 0.04},
    {"ecg_cnn1d", "zoo: ecg_cnn1d, width: 8, kernel: 5, cuts: [act1]", {1, 1, 16, 1}, 0.05},
    {"resnet18", "zoo: resnet18, width: 8, cuts: [stage1.1]", {1, 8, 8, 1}, 0.075},
};

class StepGraph : public SplitRun, public ::testing::WithParamInterface<Case> {
 protected:
  StudyText study() const {
    StudyText t;
    t.topology = "vanilla";
    t.network = GetParam().network;
    t.sites = {"north"};
    t.record = GetParam().record;
    t.batch_size = 4;
    t.epochs = 3;
    t.optimizer = "{name: sgd, learning_rate: 0.05, momentum: 0.9}";
    t.rate = "{schedule: cosine, warmup_fraction: 0.2}";
    return t;
  }
  /// Two batches of four and one of three, an evaluation after each epoch, and between epochs weights that change on the host.
  std::map<std::string, Member> work(const std::function<Context(const Instance&)>& context, Recording recording) {
    std::vector<SiteData> sites;
    sites.push_back(make_site("north", GetParam().record, {11, 5, 5}));
    Crew crew(folder() / "crew", study(), sites);
    crew.context = context;
    crew.recording = recording;
    return crew.work([](Executor& executor, Member& member) {
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        train_epoch(executor, member, epoch);
        for (const Step& s : executor.setup().planner.pass(Purpose::kEvaluate, Split::kValidation, epoch)) executor.run(s);
        for (const std::string& segment : executor.setup().segments.names)
          if (executor.holds(segment))
            for (float& v : executor.copies(segment)[0].params.values().f32()) v *= 0.875f;
      }
    });
  }
  static std::vector<double> losses(const std::map<std::string, Member>& members) {
    std::vector<double> all;
    for (const StepResult& r : members.at("server").results) all.push_back(r.loss);
    return all;
  }
  static void expect_near(const std::vector<double>& got, const std::vector<double>& want, double tolerance) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], tolerance * std::abs(want[i])) << "step " << i;
  }
};
INSTANTIATE_TEST_SUITE_P(Networks, StepGraph, ::testing::ValuesIn(kCases), [](const auto& info) { return info.param.name; });

TEST_P(StepGraph, ReplaysAreTheSameBits) {
  const auto everywhere = [](const Instance&) { return on_device(); };
  const auto plain = work(everywhere, Recording::kOff);
  const auto recorded = work(everywhere, Recording::kOn);
  for (const char* who : {"north", "server"}) {
    SCOPED_TRACE(who);
    EXPECT_EQ(plain.at(who).error, "");
    EXPECT_EQ(recorded.at(who).error, "");
    EXPECT_EQ(difference(plain.at(who), recorded.at(who)), "");
    EXPECT_EQ(plain.at(who).replays, 0);
  }
  EXPECT_EQ(losses(plain), losses(recorded));
  EXPECT_EQ(plain.at("server").scores.begin()->second.values, recorded.at("server").scores.begin()->second.values);
  // Nine steps in two kinds, of which each is first done and then recorded; one span each, and seven replayed updates; then one
  // evaluation that is replayed. At the client a step is two spans, and an evaluation one.
  EXPECT_EQ(recorded.at("server").replays, 4 + 1 + 7 + 1);
  EXPECT_EQ(recorded.at("north").replays, 2 * (4 + 1) + 7 + 1);
}

TEST_P(StepGraph, LossesAreTheReferences) {
  const auto reference = work([](const Instance&) { return Context(Backend::kReference); }, Recording::kOff);
  const auto exact = work([](const Instance& i) { return i.name == "server" ? on_device() : Context(Backend::kReference); }, Recording::kOn);
  // Sums in another order: at most 1e3 terms of a product round to about sqrt(1e3) 2^-24 = 2e-6 of their size in each of up to
  // twenty layers; nine steps.
  expect_near(losses(exact), losses(reference), 2e-4);
  const auto half = work([](const Instance& i) { return i.name == "server" ? on_device(DType::kBfloat16) : Context(Backend::kReference); },
                         Recording::kOn);
  auto first_five = losses(half), reference_five = losses(reference);
  first_five.resize(5);
  reference_five.resize(5);
  expect_near(first_five, reference_five, GetParam().half_tolerance);
  EXPECT_GT(half.at("server").replays, 0);
}

}  // namespace
}  // namespace sutura
