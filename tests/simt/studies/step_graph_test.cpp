// Steps on a device, recorded and replayed: the same bits as the same steps kernel by kernel, and nearly those of the reference.
#include <cmath>

#include "tests/engine/crew.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using namespace sutura::testing;

Context on_device(DType compute = DType::kFloat32) { return Context(Backend::kNative, simt::table(), compute); }

/// A network at a small width, its record and cuts.
struct Case {
  std::string name, network;
  Shape record;
  double roundings;  ///< of an activation on its way through the tail
};
std::ostream& operator<<(std::ostream& out, const Case& c) { return out << c.name; }

// bfloat16 stores every activation with a relative error of at most u = 2^-9. L independent roundings on the way through the tail
// (one for each convolution, norm, activation and sum) move a logit by about sqrt(L) u times the size of its terms, here at most 4,
// and the loss of one logit, whose slope is below 1, by no more. A gradient's relative error is of the same kind, so that each
// update adds about as much again: (1 + step) 4 sqrt(L) 2^-9 in all.
double half_tolerance(double roundings, std::size_t step) {
  return static_cast<double>(1 + step) * 4.0 * std::sqrt(roundings) / 512.0;
}

const Case kCases[] = {
    {"mlp", "zoo: mlp, hidden: [12, 9], dropout: 0.25, cuts: [act1]", {1, 7}, 3},
    {"xray_cnn", "zoo: xray_cnn, width: 8, cuts: [act1]", {1, 8, 8, 1}, 12},
    {"ecg_cnn1d", "zoo: ecg_cnn1d, width: 8, kernel: 5, cuts: [act1]", {1, 1, 16, 1}, 11},
    {"resnet18", "zoo: resnet18, width: 8, cuts: [stage1.1]", {1, 8, 8, 1}, 40},
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
  // Nine steps in two kinds, of which each is first done and then recorded: five replayed steps, and seven updates of nine. One
  // evaluation of three. At the client a step is two spans, forward and backward; at the server one: what comes in is taken before.
  EXPECT_EQ(recorded.at("server").replays, 5 + 7 + 1);
  EXPECT_EQ(recorded.at("north").replays, 2 * 5 + 7 + 1);
}

TEST_P(StepGraph, LossesAreTheReferences) {
  const auto reference = work([](const Instance&) { return Context(Backend::kReference); }, Recording::kOff);
  const auto exact =
      work([](const Instance& i) { return i.name == "server" ? on_device() : Context(Backend::kReference); }, Recording::kOn);
  // Sums in another order: at most 1e3 terms of a product round to about sqrt(1e3) 2^-24 = 2e-6 of their size in each of up to
  // twenty layers; nine steps.
  const std::vector<double> want = losses(reference), got = losses(exact);
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 2e-4 * want[i]) << "step " << i;
  const auto half =
      work([](const Instance& i) { return i.name == "server" ? on_device(DType::kBfloat16) : Context(Backend::kReference); },
           Recording::kOn);
  const std::vector<double> rounded = losses(half);
  ASSERT_GE(rounded.size(), 5u);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_NEAR(rounded[i], want[i], half_tolerance(GetParam().roundings, i)) << "step " << i;
  EXPECT_GT(half.at("server").replays, 0);
}

}  // namespace
}  // namespace sutura
