#include <algorithm>

#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"

// Peers that are lost: void parts, missing parties, and what is recorded of them.
namespace sutura {

std::size_t Executor::active_lanes() const { return static_cast<std::size_t>(std::ranges::count(active_, true)); }

Deadline Executor::patience() const {
  constexpr std::chrono::hours kAsLongAsThePeerLives{24 * 365};
  // Only the server decides who is lost, and not while it repeats what was decided before.
  const bool goes_on_without = setup_.plan.many_party >= 0 || setup_.study.schedule.missing_party != MissingParty::kAbort;
  const bool repeats = setup_.decisions != nullptr && setup_.decisions->repeating();
  const bool decides = role_of(setup_.self.party) == Role::kServer && goes_on_without && !repeats;
  return decides ? deadline_in(setup_.silence) : deadline_in(kAsLongAsThePeerLives);
}

std::string Executor::name_of(int party, std::uint32_t lane) const {
  return party == setup_.plan.many_party ? setup_.plan.lanes[lane]
                                         : setup_.plan.topology.parties[static_cast<std::size_t>(party)].name;
}

void Executor::record(const std::string& event, const std::string& who, const Error& reason) {
  dropped_.push_back(who + ": " + reason.what());
  if (setup_.decisions == nullptr) return;
  Decision d = place_;
  d.event = event;
  d.who = who;
  d.reason = reason.what();
  d.code = reason.code();
  setup_.decisions->add(d);
}

void Executor::drop(std::uint32_t lane, const Error& reason) {
  if (!active_[lane]) return;
  active_[lane] = false;
  for (const auto& flight : in_flight_)
    for (std::size_t p = 0; p < flight->step.parts.size(); ++p)
      if (flight->step.parts[p].lane == lane) {
        Work w{*flight, p};
        make_void(w);
      }
  record("left", setup_.plan.lanes[lane], reason);
  send_reject(channel(setup_.plan.many_party, lane), reason);
  require(active_lanes() > 0, reason.code(), "every client is gone; the last one: " + dropped_.back());
}

void Executor::admit_lane(std::uint32_t lane) {
  require(in_flight_.empty(), Errc::kInternal, "a lane was admitted in the middle of a step");
  std::erase_if(residuals_, [&](const auto& kept) { return kept.first.second == lane; });  // of the session that ended
  active_[lane] = true;
}

void Executor::admit(int party) {
  require(in_flight_.empty(), Errc::kInternal, "a party was admitted in the middle of a step");
  missing_[static_cast<std::size_t>(party)] = false;
}

bool Executor::reachable(const Edge& edge, std::uint32_t lane) const {
  const int peer = peer_party(edge);
  return peer == setup_.plan.many_party ? active_[lane] : present(peer);
}

/// True if all that the party gives is inputs of joins here, and it needs nothing to make them.
bool Executor::replaceable(int party) const {
  return std::ranges::all_of(setup_.plan.edges, [&](const Edge& e) {
    if (e.to_party == party) return false;
    if (e.from_party != party) return true;
    return e.to_party == setup_.self.party && !e.labels &&
           setup_.plan.topology.nodes[static_cast<std::size_t>(e.to)].kind == NodeKind::kJoin;
  });
}

/// A recorded departure that lies exactly here happens again.
void Executor::repeat_departure(const Instruction& i, const Work& w) const {
  if (setup_.decisions == nullptr || !setup_.decisions->repeating()) return;
  const bool to_peer = i.op == OpCode::kSend || i.op == OpCode::kReceive;
  const int peer = to_peer ? peer_party(edge_of(i)) : setup_.plan.many_party;
  if (peer < 0) return;
  const auto due = setup_.decisions->due(name_of(peer, w.part().lane), place_.step, place_.turn, place_.part, place_.instruction);
  if (due) throw PeerLost(due->code, due->reason);
}

/// Called while `lost` is being handled. A message's peer is whose message it was; anything else that ends a part (a loss
/// that is not finite) came from its lane.
void Executor::lose(const Instruction& i, Work& w, const PeerLost& lost) {
  const Plan& plan = setup_.plan;
  const bool to_peer = i.op == OpCode::kSend || i.op == OpCode::kReceive;
  const int peer = to_peer ? peer_party(edge_of(i)) : plan.many_party;
  if (i.op == OpCode::kLoss && ctx_.on_device()) w.flight.spoiled[w.index] = true;  // its backward came before the loss was seen
  // Clients have one peer and need it.
  if (peer < 0 || role_of(setup_.self.party) != Role::kServer) throw;
  if (peer == plan.many_party) {
    make_void(w);
    return drop(w.part().lane, lost);
  }
  lose_party(peer, lost);
  go_without(i, w);
}

void Executor::lose_party(int party, const Error& lost) {
  const MissingParty policy = setup_.study.schedule.missing_party;
  record("missing", name_of(party, 0), lost);
  if (policy == MissingParty::kAbort)
    throw RunEnded(lost.code(), "'" + name_of(party, 0) + "' is lost, and schedule.missing_party is abort: " + lost.what());
  if (policy != MissingParty::kDropStep && !replaceable(party))
    throw RunEnded(lost.code(), "'" + name_of(party, 0) +
                                    "' is lost and cannot be replaced, it gives more than inputs of a join: " + lost.what());
  missing_[static_cast<std::size_t>(party)] = true;
  send_reject(channel(party, 0), lost);
  bool anybody = false;
  for (std::size_t p = 0; p < missing_.size(); ++p)
    anybody = anybody || (setup_.plan.topology.parties[p].role == Role::kClient && !missing_[p]);
  require(anybody, lost.code(), "every client is gone; the last one: " + dropped_.back());
}

void Executor::between_steps(Between point, int party, std::uint32_t lane, int edge) {
  place_.turn = -1;
  place_.part = edge;
  place_.instruction = static_cast<int>(point);
  if (setup_.decisions == nullptr || !setup_.decisions->repeating()) return;
  const auto due = setup_.decisions->due(name_of(party, lane), place_.step, -1, edge, place_.instruction);
  if (due) throw PeerLost(due->code, due->reason);
}

/// An instruction whose peer is gone: nothing is sent, and what would have come is replaced where the study says so.
void Executor::go_without(const Instruction& i, Work& w) {
  if (i.op != OpCode::kReceive || w.is_void()) return;
  const Edge& edge = edge_of(i);
  const MissingParty policy = setup_.study.schedule.missing_party;
  const bool lane = peer_party(edge) == setup_.plan.many_party;
  if (lane || policy == MissingParty::kAbort || policy == MissingParty::kDropStep) {
    make_void(w);
    w.flight.dropped = w.flight.dropped || !lane;
    return;
  }
  const Shape shape = edge.row.with_batch(w.part().count);
  w.slots().raw.erase({i.edge, i.leg});  // what came ahead of its time is of a party that has left since
  w.slots().received[i.edge] = policy == MissingParty::kRunningMean ? means_[i.edge].rows(shape) : Tensor::zeros(shape);
}

void Executor::make_void(Work& w) {
  w.flight.voided[w.index] = true;
  w.slots() = Slots{};
}

/// Tells a peer that is left that nothing follows for this part, in the place of the message that it waits for.
void Executor::send_void(const Instruction& i, Work& w) {
  const Edge& edge = edge_of(i);
  Message m;
  m.tag = w.tag(i.edge, i.leg);
  send_or_lose(channel(peer_party(edge), w.part().lane), std::move(m), patience(), edge.text);
}

void Executor::discard(const Instruction& i, Work& w) { take(edge_of(i), i.leg, w); }

}  // namespace sutura
