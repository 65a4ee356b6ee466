#pragma once
#include <map>
#include <set>
#include <vector>

#include "core/error.h"
#include "runtime/engine/executor.h"
#include "runtime/engine/step_graph.h"

namespace sutura {

/// A peer went away, stopped or broke the protocol: ends its lane, not the process.
class PeerLost : public Error {
 public:
  using Error::Error;
};

/// Sends, or throws PeerLost: for whatever reason this peer cannot be reached, it is that peer's end alone.
void send_or_lose(Channel& channel, Message&& message, Deadline deadline, const std::string& what);

/// Values of one micro-batch, by node. What loads and messages bring lies on the host until computation takes it; what is
/// computed lies where the context computes.
struct Executor::Slots {
  /// A message's tensors: as they came, then on the device.
  struct Raw {
    std::vector<WireTensor> wire;
    std::vector<Tensor> tensors;
  };
  std::map<int, Tensor> values;    // of nodes that ran here
  std::map<int, Tensor> received;  // by edge: a node may reach this party on several edges, each with its own noise
  /// By (node, consumer): each route carries its own gradient, and where a node has several consumers, theirs are summed in
  /// node order, wherever they lie.
  std::map<std::pair<int, int>, Tensor> grads;
  std::map<int, Saved> saved;
  std::map<int, Tensor> winners;                   // max joins: index of the winning input
  std::map<std::pair<int, Leg>, Tensor> released;  // guarded wire values, by edge and leg
  // At a party that computes on a device:
  std::map<std::pair<int, Leg>, Raw> raw;                      // checked messages whose values are not decoded yet
  std::map<std::pair<int, Leg>, std::vector<Tensor>> encoded;  // pinned: what SEND takes, made with the values
  Tensor labels;                                               // of the loss, on the host
  Tensor loss, outputs;                                        // pinned: what the loss left for the host

  Tensor& value(int node) {
    const auto it = values.find(node);
    require(it != values.end() && it->second.defined(), Errc::kInternal, "a value was used before it was made");
    return it->second;
  }
  Tensor& gradient(int node, int consumer) {
    const auto it = grads.find({node, consumer});
    require(it != grads.end() && it->second.defined(), Errc::kInternal, "a gradient was used before it was made");
    return it->second;
  }
};

/// What a party that computes on a device took in for a part before it was that part's time: also of a part that is void since.
struct Executor::Ahead {
  std::set<std::pair<std::size_t, std::size_t>> done;  // (turn, instruction)
  std::map<std::pair<int, Leg>, Message> for_receive;  // arrived, but wrong or void
};

/// A step between its first turn and its update.
struct Executor::InFlight {
  InFlight(const Step& s, std::int64_t at)
      : step(s),
        begun(at),
        slots(s.parts.size()),
        ahead(s.parts.size()),
        voided(s.parts.size(), false),
        spoiled(s.parts.size(), false) {}
  Step step;
  std::int64_t begun;         // Executor::now_ when it began
  std::vector<Slots> slots;   // per part
  std::vector<Ahead> ahead;   // per part
  std::vector<bool> voided;   // per part: a peer of it was lost
  std::vector<bool> spoiled;  // per part: its loss, on a device, was not finite; its gradients are among the sums already
  bool dropped = false;       // schedule.missing_party: drop_step, and a party is missing: no update
  std::map<std::pair<std::string, std::size_t>, ParamStore> stashed;  // by segment and copy: weights of this step's forward
  double loss = 0.0;
  StepGraphs::Kind* kind = nullptr;  // at a party that records its steps
  StepGraphs::Manner manner = StepGraphs::Manner::kEager;
  std::vector<bool> active_at_start;  // per part
  std::vector<Tensor> ports;          // on a device: kept until the step ends
};

/// One part of a step in flight: what an instruction works on.
struct Executor::Work {
  InFlight& flight;
  std::size_t index;           // of the part in the step; the tag of its messages
  DrawWords* draws = nullptr;  // of the span that runs, on a device
  const Step& step() const { return flight.step; }
  const Part& part() const { return flight.step.parts[index]; }
  Slots& slots() { return flight.slots[index]; }
  Ahead& ahead() { return flight.ahead[index]; }
  bool is_void() const { return flight.voided[index]; }
  /// Of this part's message on an edge. The index of the part, not its micro-batch: two parties that serve all lanes share one
  /// channel for them.
  Tag tag(int edge, Leg leg) const {
    return {static_cast<std::uint16_t>(edge), leg, step().id, static_cast<std::uint16_t>(index)};
  }
};

inline bool is_computed(OpCode op) {
  return op == OpCode::kForward || op == OpCode::kJoin || op == OpCode::kLoss || op == OpCode::kBackward || op == OpCode::kSplit;
}
/// Where a span ends that begins at instruction `begin` or at what it takes in: behind the last instruction that computes before
/// the party sends, releases or keeps something; `begin` if none does.
std::size_t span_end(const std::vector<Instruction>& instructions, std::size_t begin);

/// Joins of equal-batch rows and their exact backward. `winners` holds, for max, the index of the input that won each
/// element (ties to the lowest index).
Tensor join_forward(Context& ctx, JoinKind kind, const std::vector<Tensor>& xs, Tensor& winners);
std::vector<Tensor> join_backward(Context& ctx, JoinKind kind, const Tensor& grad, const std::vector<Shape>& shapes,
                                  const Tensor& winners);

}  // namespace sutura
