// What a part takes in while an earlier part is computed on a device: the same bits, however late copies and kernels are done, and
// peers are lost at the same places.
#include <gmock/gmock.h>

#include <condition_variable>
#include <mutex>

#include "core/error.h"
#include "runtime/engine/step_graph.h"
#include "tests/engine/crew.h"
#include "tests/engine/vertical_case.h"
#include "tests/simt/executor.h"

namespace sutura {
namespace {

using namespace sutura::testing;
using ::testing::HasSubstr;

Context on_device(const Instance&) { return Context(Backend::kNative, simt::table()); }
Context on_host(const Instance&) { return Context(Backend::kReference); }

class Overlap : public SplitRun {
 protected:
  void TearDown() override { simt::work_late(0); }
  static StudyText study(std::int64_t micro_batches = 3) {
    StudyText t;
    t.topology = "vanilla";
    t.network = "zoo: mlp, hidden: [7, 6], cuts: [act1]";
    t.sites = {"north", "south"};
    t.record = {1, 6};
    t.micro_batches = micro_batches;
    t.epochs = 4;
    return t;
  }
  static std::vector<SiteData> sites() {
    std::vector<SiteData> all;
    all.push_back(make_site("north", {1, 6}, {23}));
    all.push_back(make_site("south", {1, 6}, {19}, 18));
    return all;
  }
  std::map<std::string, Member> work(const std::function<Context(const Instance&)>& context, Recording recording,
                                     const Fault& south = {}, Decisions* decisions = nullptr) {
    const auto data = sites();
    Crew crew(folder() / "crew", study(), data);
    crew.context = context;
    crew.recording = recording;
    crew.decisions = decisions;
    if (south.kind != Fault::Kind::kNone) crew.faults["south"] = south;
    return crew.work(crew.training(study().epochs));
  }
  /// The laboratory leaves where the second part of a step takes its row.
  static Decision departure(const Executor& executor, const Step& step) {
    const Plan& plan = executor.setup().plan;
    Decision d;
    d.event = "missing";
    d.who = "laboratory";
    d.step = step.id;
    d.turn = 0;
    d.part = 1;
    d.reason = "gone";
    const auto& turn = plan.program(executor.setup().self.party, Purpose::kTrain).turns.at(0);
    for (std::size_t n = 0; n < turn.size(); ++n) {
      if (turn[n].op != OpCode::kReceive) continue;
      const Edge& edge = plan.edges[static_cast<std::size_t>(turn[n].edge)];
      if (plan.topology.parties[static_cast<std::size_t>(edge.from_party)].name == d.who) d.instruction = static_cast<int>(n);
    }
    return d;
  }
  static void expect_close(const Member& a, const Member& b) {
    ASSERT_EQ(a.results.size(), b.results.size());
    for (std::size_t i = 0; i < a.results.size(); ++i) EXPECT_NEAR(a.results[i].loss, b.results[i].loss, 1e-4) << "step " << i;
  }
};

TEST_F(Overlap, LateCopiesAndKernelsChangeNothing) {
  const auto plain = work(on_device, Recording::kOff);
  for (std::uint32_t seed = 1; seed <= 9; ++seed) {
    SCOPED_TRACE(seed);
    simt::work_late(seed);
    const auto late = work(on_device, Recording::kOn);
    simt::work_late(0);
    for (const char* who : {"north", "south", "server"}) {
      EXPECT_EQ(late.at(who).error, "") << who;
      EXPECT_EQ(difference(plain.at(who), late.at(who)), "") << who;
      EXPECT_GT(late.at(who).replays, 0) << who;
      for (std::size_t i = 0; i < plain.at(who).results.size(); ++i)
        EXPECT_EQ(late.at(who).results.at(i).loss, plain.at(who).results[i].loss) << who << ", step " << i;
    }
  }
}

TEST_F(Overlap, WhatIsThereIsTakenInWhileAnEarlierPartIsComputed) {
  const auto data = sites();
  Crew crew(folder() / "crew", study(), data);
  crew.context = on_device;
  std::mutex mutex;
  std::condition_variable changed;
  std::size_t sent = 0, due = 0;
  crew.sent = [&](const std::string&) {
    const std::scoped_lock lock(mutex);
    ++sent;
    changed.notify_all();
  };
  std::int64_t steps = 0, parts = 0;
  const auto members = crew.work([&](Executor& executor, Member& member) {
    for (const Step& s : executor.setup().planner.training(0)) {
      if (member.self.name == "server") {  // begins when everything of the step is there: a row and a label message a part
        due += 2 * s.parts.size();
        std::unique_lock lock(mutex);
        EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(60), [&] { return sent >= due; }));
        ++steps;
        parts += static_cast<std::int64_t>(s.parts.size());
      }
      member.results.push_back(executor.run(s));
    }
  });
  EXPECT_EQ(members.at("server").error, "");
  EXPECT_EQ(members.at("server").taken_ahead, parts - steps);  // all but the first part of each step
  EXPECT_GE(members.at("north").taken_ahead, 2 * steps);       // records need nobody; a gradient may be there as well
}

TEST_F(Overlap, TheRingWaitsForACopyBeforeItsMemoryTakesAnother) {
  for (std::uint32_t seed = 1; seed <= 9; ++seed) {
    SCOPED_TRACE(seed);
    simt::work_late(seed);
    Context ctx = on_device({});
    Staging staging(ctx);
    std::vector<Tensor> ahead, in_order;
    staging.begin_step();
    for (int value = 0; value < 30; ++value) {
      const std::vector<float> values(5, static_cast<float>(value));
      staging.copy_ahead(std::as_bytes(std::span(values)), ahead.emplace_back(ctx.tensor({5}, DType::kFloat32)));
      staging.copy(std::as_bytes(std::span(values)), in_order.emplace_back(ctx.tensor({5}, DType::kFloat32)));
    }
    staging.join();
    for (std::size_t i = 0; i < 30; ++i) {
      EXPECT_EQ(ctx.host(std::move(ahead[i])).f32()[4], static_cast<float>(i));
      EXPECT_EQ(ctx.host(std::move(in_order[i])).f32()[4], static_cast<float>(i));
    }
  }
}

// A message that is refused ends the lane where its own time would have been, with the same record.
TEST_F(Overlap, ARefusedMessageEndsItsLaneAtItsOwnPlace) {
  for (const int message : {5, 14, 27, 28}) {
    SCOPED_TRACE(message);
    Decisions there, here;
    const auto device = work(on_device, Recording::kOn, {Fault::Kind::kEmpties, message}, &there);
    const auto host = work(on_host, Recording::kOff, {Fault::Kind::kEmpties, message}, &here);
    ASSERT_EQ(there.all().size(), 1u);
    ASSERT_EQ(here.all().size(), 1u);
    EXPECT_EQ(there.all()[0].step, here.all()[0].step);
    EXPECT_EQ(there.all()[0].turn, here.all()[0].turn);
    EXPECT_EQ(there.all()[0].part, here.all()[0].part);
    EXPECT_EQ(there.all()[0].instruction, here.all()[0].instruction);
    EXPECT_EQ(there.all()[0].reason, here.all()[0].reason);
    EXPECT_EQ(device.at("server").error, "");
    EXPECT_EQ(device.at("north").error, "");
    expect_close(device.at("server"), host.at("server"));
  }
}

// The steps of three parts a lane are recorded in step 2 and replayed from step 3 on: a lane that is lost before, in and after them.
TEST_F(Overlap, ALaneLostInARecordedOrReplayedStepLeavesTheOther) {
  for (const int message : {8, 10, 16, 27, 40}) {
    SCOPED_TRACE(message);
    Decisions lost;
    const auto device = work(on_device, Recording::kOn, {Fault::Kind::kDies, message}, &lost);
    EXPECT_EQ(device.at("server").error, "");
    EXPECT_EQ(device.at("north").error, "");
    EXPECT_THAT(device.at("south").error, HasSubstr("the test ends this process"));
    ASSERT_EQ(lost.all().size(), 1u);
    EXPECT_EQ(lost.all()[0].who, "south");
    EXPECT_GT(device.at("server").replays, 0);
    // The same departure at the same place, on the host.
    Decisions again;
    again.repeat(lost.all());
    const auto host = work(on_host, Recording::kOff, {}, &again);
    EXPECT_EQ(host.at("server").error, "");
    expect_close(device.at("server"), host.at("server"));
  }
}

// The departure lies in the second part's own time, when its row is there already: the replacement counts.
TEST_F(Overlap, APartyThatIsReplacedIsReplacedAlsoWhereItsRowCameAhead) {
  const auto work = [&](const std::function<Context(const Instance&)>& context) {
    StudyText text = vertical_study();
    text.micro_batches = 3;
    const auto data = vertical_cohort();
    Crew crew(folder() / "crew", text, data, [](StudyConfig& s) { s.schedule.missing_party = MissingParty::kZero; });
    crew.context = context;
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, std::size_t> sent, due;
    crew.sent = [&](const std::string& who) {
      const std::scoped_lock lock(mutex);
      ++sent[who];
      changed.notify_all();
    };
    Decisions decisions;
    crew.decisions = &decisions;
    return crew.work([&](Executor& executor, Member& member) {
      const std::vector<Step> steps = executor.setup().planner.training(0);
      if (member.self.name == "server") decisions.repeat({departure(executor, steps.at(2))});
      for (const Step& s : steps) {
        if (member.self.name == "server") {  // begins when everything of the step is there
          due["clinic"] += 2 * s.parts.size();
          if (executor.dropped().empty()) due["laboratory"] += s.parts.size();
          std::unique_lock lock(mutex);
          EXPECT_TRUE(changed.wait_for(lock, std::chrono::seconds(60), [&] {
            return sent["clinic"] >= due["clinic"] && sent["laboratory"] >= due["laboratory"];
          }));
        }
        member.results.push_back(executor.run(s));
      }
    });
  };
  const auto host = work(on_host), device = work(on_device);
  for (const auto* run : {&host, &device}) {
    EXPECT_EQ(run->at("server").error, "");
    EXPECT_EQ(run->at("server").dropped.size(), 1u);
  }
  EXPECT_GT(device.at("server").taken_ahead, 0);
  expect_close(device.at("server"), host.at("server"));
}

}  // namespace
}  // namespace sutura
