#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/shape.h"
#include "models/network.h"
#include "runtime/config/study.h"
#include "transport/message.h"

namespace sutura {

/// What a program is for. The same graph compiles to a program per party and purpose.
enum class Purpose : std::uint8_t {
  kTrain,          ///< forward, loss, backward over one micro-batch
  kEvaluate,       ///< forward and scores; releases are charged like any other
  kUpload,         ///< release-once: rows and labels travel once and are stored
  kLocalEvaluate,  ///< all nodes at one data holder, after weights were delivered: nothing leaves
};

/// Instructions of a straight-line program. Slots are node outputs; a received value has the slot of its edge.
enum class OpCode : std::uint8_t {
  kLoad,      ///< node: a source of this party -> slot
  kReceive,   ///< edge, leg: message -> slot (forward) or gradient slot (backward)
  kStore,     ///< edge: append the received rows to the store (release-once)
  kFetch,     ///< edge: rows of the store -> slot
  kForward,   ///< node: segment
  kFit,       ///< edge: the guard's clip without its noise: what a clean row looks like to the tail (local evaluation)
  kJoin,      ///< node: join of its inputs
  kRelease,   ///< edge, leg: guard, journal, charge; replaces what SEND sends
  kSend,      ///< edge, leg
  kLoss,      ///< node: loss (and its gradient when training), scores when evaluating
  kBackward,  ///< node: segment
  kSplit,     ///< node: backward of a join
};

struct Instruction {
  OpCode op;
  int node = -1;
  int edge = -1;
  Leg leg = Leg::kForward;
};

/// A route whose ends sit on different parties: one message per micro-batch and leg.
struct Edge {
  int route = -1;
  int from = -1;  ///< node
  int to = -1;    ///< node
  int from_party = -1;
  int to_party = -1;
  bool labels = false;
  bool gradient = false;  ///< a backward leg exists
  GuardKind activation_guard = GuardKind::kNone;
  GuardKind gradient_guard = GuardKind::kNone;
  Shape row;  ///< [1, ...]: shape of one record's value
  std::string text;  ///< "front>tail"
};

/// Inputs of a node, by route order.
struct Wiring {
  std::vector<int> inputs;  ///< nodes
  std::vector<int> routes;
  int labels = -1;          ///< loss: the label source
  int label_route = -1;
};

/// One program; turns are separated where a party must wait for another, so that all micro-batches of a step can be in
/// flight: turn by turn, micro-batch by micro-batch.
struct Program {
  std::vector<std::vector<Instruction>> turns;
  bool empty() const { return turns.empty(); }
};

/// A weights transfer between parties outside of steps.
struct WeightsEdge {
  enum class When {
    kRoundEnd,  ///< averaged: to the server, and back
    kHandOver,  ///< from one replica of the many-party to the next one, with the optimizer's state; from_party == to_party
    kRunEnd,    ///< delivered when training ends
  };
  std::string segment;
  int from_party = -1;
  int to_party = -1;
  When when = When::kRoundEnd;
};

/// The compiled study: plain data, the same at every party.
struct Plan {
  TopologyConfig topology;
  std::vector<Wiring> wiring;        // per node
  std::vector<Shape> row_shapes;     // per node, [1, ...]
  std::vector<bool> trains;          // per node: segment with trained parameters that is not frozen
  std::vector<bool> needs_gradient;  // per node: its output's gradient is wanted
  std::vector<Edge> edges;
  std::vector<WeightsEdge> weights;  // averages as pairs, then hand-overs, then deliveries
  std::vector<std::vector<Program>> programs;  // [party][purpose]
  std::vector<std::string> lanes;              // replica names of the many-party, or one entry
  int many_party = -1;                         // index, or -1
  int loss_node = -1;
  bool release_once = false;
  /// Messages that a channel must hold: all that one party sends another in a step, so that no two wait to send at once.
  std::uint16_t window = 64;

  int party_index(const std::string& name) const;
  const Program& program(int party, Purpose purpose) const {
    return programs[static_cast<std::size_t>(party)][static_cast<std::size_t>(purpose)];
  }
  int party_of(int node) const;
  /// Names of the processes of a party: the sites for the many-party, else the party's own name.
  std::vector<std::string> instances(int party) const;
};

/// Segments of the study's network, one Network each, in node order.
struct Segments {
  std::vector<std::string> names;
  std::vector<Network> networks;
  std::size_t index(const std::string& name) const;
};

/// Checks the graph and compiles it: a pure function of the study and of the shape of one record ([1, ...]) at each
/// feature source. Errors: kConfig naming the node, route or segment (cycle, unreachable loss, missing labels, a guard
/// that the regime needs, a coupling layer before a private cut, a layer without a backward on a gradient's way, a privacy
/// setting that would claim too much, a program that cannot progress).
Plan compile(const StudyConfig& study, const Segments& segments, const std::vector<Shape>& feature_rows);

/// Guarded messages through which one record passes at its holder in one pass over the data: activation guards leaving a
/// party plus gradient guards leaving it, the largest number over parties; 0 where nothing is guarded. Releases of one
/// record are this number times the passes that release (epochs, or 1 with release-once).
std::int64_t releases_per_record(const Plan& plan);
/// Client parties that release rows. Replicas of a party hold different records and count as one; more
/// than one means that each releases its part of the same record.
int releasing_parties(const Plan& plan);

/// Builds the segments: cuts the whole network or builds each one, following shapes through the graph.
Segments build_segments(const StudyConfig& study, const std::vector<Shape>& feature_rows, std::int64_t outputs);

/// Runs the programs of all parties with one symbolic message per edge. Errors: kConfig naming the instruction at which a
/// program cannot go on, or the message that nobody takes.
void rehearse(const Plan& plan);

/// One line of what leaves a data holder, or reaches it from others' data.
struct EgressLine {
  std::string from, to, what, protection;
};
std::vector<EgressLine> egress_list(const Plan& plan, const StudyConfig& study, const std::string& guard_text);
/// Aligned text of the egress list.
std::string egress_text(const std::vector<EgressLine>& lines);

}  // namespace sutura
