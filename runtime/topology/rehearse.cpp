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

/// One process of the rehearsal: a cursor over turns, parts and instructions.
struct Actor {
  int party;
  std::vector<Part> parts;
  const Program* program;
  std::size_t turn = 0, part = 0, instruction = 0;

  bool done() const { return turn >= program->turns.size() || parts.empty(); }
  const Instruction& current() const { return program->turns[turn][instruction]; }
  void advance() {
    if (++instruction < program->turns[turn].size()) return;
    instruction = 0;
    if (++part < parts.size()) return;
    part = 0;
    ++turn;
  }
};

void rehearse_purpose(const Plan& plan, Purpose purpose) {
  constexpr int kLanes = 2;
  constexpr int kMicroBatches = 2;
  const int lanes = plan.many_party >= 0 ? kLanes : 1;
  std::vector<Actor> actors;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    const Program& program = plan.program(static_cast<int>(p), purpose);
    const bool many = static_cast<int>(p) == plan.many_party;
    for (int replica = 0; replica < (many ? lanes : 1); ++replica) {
      Actor a{static_cast<int>(p), {}, &program};
      for (int lane = many ? replica : 0; lane < (many ? replica + 1 : lanes); ++lane)
        for (int m = 0; m < kMicroBatches; ++m) a.parts.push_back({lane, m});
      actors.push_back(std::move(a));
    }
  }
  std::set<std::tuple<int, int, int, int>> in_flight;  // edge, leg, lane, micro-batch
  bool progress = true;
  while (progress) {
    progress = false;
    for (Actor& a : actors)
      while (!a.done()) {
        const Instruction& i = a.current();
        const Part part = a.parts[a.part];
        const std::tuple key{i.edge, static_cast<int>(i.leg), part.lane, part.micro_batch};
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

void rehearse(const Plan& plan) {
  for (const Purpose p : {Purpose::kTrain, Purpose::kEvaluate, Purpose::kUpload}) rehearse_purpose(plan, p);
}

}  // namespace sutura
