// What ends a part or a run on a device: a loss that is not finite, memory that runs out, a device that fails; and steps that overlap.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "tests/engine/crew.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using namespace sutura::testing;

Context on_device(const Instance&) { return Context(Backend::kNative, simt::table()); }

class DeviceLoss : public SplitRun {
 protected:
  DeviceLoss() { provide_device(Backend::kNative, simt::table()); }
  ~DeviceLoss() override {
    simt::set_memory_limit(~std::size_t{0});
    simt::plant_kernel_failure(-1);
  }
  static StudyText study(const std::string& server = "native") {
    StudyText t;
    t.topology = "vanilla";
    t.network = "zoo: mlp, hidden: [7, 6], cuts: [act1]";
    t.sites = {"north", "south"};
    t.record = {1, 6};
    t.optimizer = "{name: sgd, learning_rate: 0.1, momentum: 0.5}";
    t.backend = "reference, threads: 1}, server: {backend: " + server;
    return t;
  }
  static std::vector<SiteData> sites() {
    std::vector<SiteData> all;
    all.push_back(make_site("north", {1, 6}, {16}));
    all.push_back(make_site("south", {1, 6}, {16}, 18));
    return all;
  }
  /// How the server's run ended, by its own summary.
  static std::string failed(const std::filesystem::path& output) {
    std::ifstream file(output / "server" / "summary.json");
    const auto summary = nlohmann::json::parse(file, nullptr, false);
    return summary.is_object() && summary.at("failed").is_string() ? summary.at("failed").get<std::string>() : "no failure";
  }
  /// Runs a study that must fail, and then a sound one in the same process.
  void expect_end(Errc code, const std::string& written) {
    const auto data = sites();
    std::filesystem::path output;
    try {
      run(study(), data);
      ADD_FAILURE() << "the run came to its end";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code) << e.what();
    }
    EXPECT_EQ(failed(folder() / "0" / "out"), written);
    simt::set_memory_limit(~std::size_t{0});
    simt::plant_kernel_failure(-1);
    const Trained after = run(study(), data), reference = run(study("reference"), data);
    for (std::size_t e = 0; e < reference.losses().size(); ++e)
      EXPECT_NEAR(after.losses()[e], reference.losses()[e], 1e-4 * reference.losses()[e]);
  }
  /// Two sites with tails of their own or one for both; before the third step north's weights at the server grow beyond float32.
  std::map<std::string, Member> with_infinite_north(const std::string& tail,
                                                    const std::function<Context(const Instance&)>& context) {
    StudyText t = study();
    t.schedule = "{visit: together, tail: " + tail + ", average: [front]}";  // at the ends of rounds, which a crew has not
    const auto data = sites();
    Crew crew(folder() / "crew", t, data);
    crew.context = context;
    return crew.work([](Executor& executor, Member& member) {
      int step = 0;
      for (std::int64_t epoch = 0; epoch < 2; ++epoch)
        for (const Step& s : executor.setup().planner.training(epoch)) {
          if (++step == 3 && member.self.name == "server")
            for (float& v : executor.copies("tail")[0].params.values().f32()) v *= 1e30f;
          member.results.push_back(executor.run(s));
          if (member.self.name == "server")
            member.weights["tail of south"] = executor.copies("tail").back().params.values().clone();
        }
    });
  }
};

TEST_F(DeviceLoss, OfOnePartThatIsNotFiniteEndsItsLane) {
  const auto device = with_infinite_north("per_client", on_device);
  const auto reference = with_infinite_north("per_client", [](const Instance&) { return Context(Backend::kReference); });
  for (const auto* run : {&device, &reference}) {
    EXPECT_EQ(run->at("server").dropped.size(), 1u);
    EXPECT_EQ(run->at("south").error, "");
    EXPECT_NE(run->at("north").error, "");
  }
  const auto tail = device.at("server").weights.at("tail of south").f32(),
             want = reference.at("server").weights.at("tail of south").f32();
  ASSERT_EQ(tail.size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_NEAR(tail[i], want[i], 1e-4) << i;
}

// The gradients of a part are among the sums of a tail for all sites before its loss is seen: that step's update is left out.
TEST_F(DeviceLoss, OfOnePartThatIsNotFiniteCancelsTheUpdateOfASharedTail) {
  StudyText t = study();
  t.schedule = "{visit: together, tail: shared, average: [front]}";
  const auto data = sites();
  Crew crew(folder() / "crew", t, data);
  crew.context = on_device;
  const auto members = crew.work([](Executor& executor, Member& member) {
    const auto steps = executor.setup().planner.training(0);
    for (std::size_t s = 0; s < 3; ++s) {
      if (s == 2 && member.self.name == "north")
        for (float& v : executor.copies("front")[0].params.values().f32()) v *= 1e5f;
      if (s == 2 && member.self.name == "server") {  // 1e5 times 1e36 is beyond float32, 1 times 1e36 is not (south refuses its gradient)
        ParamStore& tail = executor.copies("tail")[0].params;
        for (const ParamEntry& e : tail.entries())
          if (e.name == "out.weight")
            for (float& v : Tensor::part(tail.values(), e.offset, e.shape).f32()) v *= 1e36f;
        member.weights["before"] = tail.values().clone();
      }
      member.results.push_back(executor.run(steps[s]));
    }
  });
  const Member& server = members.at("server");
  ASSERT_EQ(server.dropped.size(), 1u);
  EXPECT_TRUE(server.dropped[0].starts_with("north")) << server.dropped[0];
  EXPECT_EQ(server.error, "");
  EXPECT_TRUE(std::ranges::equal(server.weights.at("tail").f32(), server.weights.at("before").f32()));
}

TEST_F(DeviceLoss, StaleStepsAreNotRecordedAndTrainAsTheReferenceDoes) {
  const auto work = [&](const std::function<Context(const Instance&)>& context) {
    StudyText t = study();
    t.sites = {"north"};
    t.epochs = 3;
    std::vector<SiteData> data;
    data.push_back(make_site("north", t.record, {16}));
    Crew crew(folder() / "crew", t, data, [](StudyConfig& s) { s.training.stale = 1; });
    crew.context = context;
    return crew.work(crew.training(3));
  };
  const auto device = work(on_device), reference = work([](const Instance&) { return Context(Backend::kReference); });
  ASSERT_EQ(device.at("server").results.size(), reference.at("server").results.size());
  for (std::size_t i = 0; i < reference.at("server").results.size(); ++i) {
    const double want = reference.at("server").results[i].loss;
    EXPECT_NEAR(device.at("server").results[i].loss, want, 1e-4 * want) << "step " << i;
  }
  EXPECT_EQ(device.at("north").replays, 0);  // two turns: its steps overlap
}

TEST_F(DeviceLoss, OfMemoryEndsTheRunAndNotTheProcess) {
  simt::set_memory_limit(simt::device_bytes() + 2048);  // the tail's parameters fit, a step does not
  expect_end(Errc::kResources, "resources");
}

TEST_F(DeviceLoss, OfTheDeviceEndsTheRunAndNotTheProcess) {
  simt::plant_kernel_failure(40);
  expect_end(Errc::kDevice, "device");
}

}  // namespace
}  // namespace sutura
