#include <map>
#include <set>
#include <tuple>

#include "core/error.h"
#include "runtime/topology/plan.h"

namespace sutura {
namespace {

struct Part {
  int lane;
  int micro_batch;
};

/// One turn of one step.
struct Beat {
  std::int64_t step;
  std::size_t turn;
};

/// One process of the rehearsal: a cursor over beats, parts and instructions.
struct Actor {
  int party;
  std::vector<Part> parts;
  const Program* program;
  std::vector<Beat> beats;
  std::size_t beat = 0, part = 0, instruction = 0;

  bool done() const { return beat >= beats.size() || parts.empty(); }
  const Instruction& current() const { return program->turns[beats[beat].turn][instruction]; }
  std::int64_t step() const { return beats[beat].step; }
  void advance() {
    if (++instruction < program->turns[beats[beat].turn].size()) return;
    instruction = 0;
    if (++part < parts.size()) return;
    part = 0;
    ++beat;
  }
};

/// The order in which a process with so many turns goes through `steps` steps.
std::vector<Beat> beats_of(std::size_t turns, std::int64_t steps, std::int64_t stale) {
  std::vector<Beat> beats;
  for (std::int64_t now = 0; now < steps + stale; ++now)
    for (std::size_t j = 0; j < turns; ++j) {
      const std::int64_t step = now - lag_of_turn(j, turns, stale);
      if (step >= 0 && step < steps) beats.push_back({step, j});
    }
  return beats;
}

void rehearse_purpose(const Plan& plan, Purpose purpose, std::int64_t stale) {
  constexpr int kLanes = 2;
  constexpr int kMicroBatches = 2;
  const std::int64_t steps = stale + 2;
  const int lanes = plan.many_party >= 0 ? kLanes : 1;
  std::vector<Actor> actors;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    const Program& program = plan.program(static_cast<int>(p), purpose);
    const bool many = static_cast<int>(p) == plan.many_party;
    for (int replica = 0; replica < (many ? lanes : 1); ++replica) {
      Actor a{static_cast<int>(p), {}, &program, beats_of(program.turns.size(), steps, stale)};
      for (int lane = many ? replica : 0; lane < (many ? replica + 1 : lanes); ++lane)
        for (int m = 0; m < kMicroBatches; ++m) a.parts.push_back({lane, m});
      actors.push_back(std::move(a));
    }
  }
  std::set<std::tuple<int, int, std::int64_t, int, int>> in_flight;  // edge, leg, step, lane, micro-batch
  bool progress = true;
  while (progress) {
    progress = false;
    for (Actor& a : actors)
      while (!a.done()) {
        const Instruction& i = a.current();
        const Part part = a.parts[a.part];
        const std::tuple key{i.edge, static_cast<int>(i.leg), a.step(), part.lane, part.micro_batch};
        if (i.op == OpCode::kReceive && in_flight.erase(key) == 0) break;
        if (i.op == OpCode::kSend) in_flight.insert(key);
        a.advance();
        progress = true;
      }
  }
  for (const Actor& a : actors)
    require(a.done(), Errc::kConfig,
            a.done() ? "" : "topology: party '" + plan.topology.parties[static_cast<std::size_t>(a.party)].name +
                "' waits for ever for " + plan.edges[static_cast<std::size_t>(a.current().edge)].text);
  require(in_flight.empty(), Errc::kConfig,
          in_flight.empty() ? "" : "topology: nobody takes the message of " +
              plan.edges[static_cast<std::size_t>(std::get<0>(*in_flight.begin()))].text);
}

}  // namespace

std::int64_t lag_of_turn(std::size_t turn, std::size_t turns, std::int64_t stale) {
  if (turns < 2) return 0;
  const auto last = static_cast<std::int64_t>(turns) - 1;
  return (static_cast<std::int64_t>(turn) * stale + last - 1) / last;
}

void rehearse(const Plan& plan, std::int64_t stale) {
  rehearse_purpose(plan, Purpose::kTrain, stale);
  rehearse_purpose(plan, Purpose::kEvaluate, 0);
  rehearse_purpose(plan, Purpose::kUpload, 0);
}

}  // namespace sutura
