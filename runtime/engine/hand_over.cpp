#include "runtime/engine/hand_over.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/engine/exchange.h"
#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"
#include "transport/codec.h"

namespace sutura {
namespace {

constexpr std::string_view kPurpose = "sutura hand-over v1";

void append(Bytes& to, const void* from, std::size_t bytes) {
  const std::size_t at = to.size();
  to.resize(at + bytes);
  if (bytes > 0) std::memcpy(to.data() + at, from, bytes);
}

void append(Bytes& to, std::uint64_t value) { append(to, &value, sizeof value); }

/// Weights, statistics and optimizer state: u64 steps, then all values, then each state tensor, float32.
Bytes pack(SegmentCopy& copy) {
  Bytes out;
  append(out, static_cast<std::uint64_t>(copy.optimizer->steps()));
  append(out, copy.params.values().data(), copy.params.values().bytes_size());
  for (const auto& [name, tensor] : copy.optimizer->state()) append(out, tensor->data(), tensor->bytes_size());
  return out;
}

/// The optimizer stays bound to this copy's own parameters: values change in place.
void unpack(SegmentCopy& copy, ByteSpan bytes) {
  std::size_t expected = sizeof(std::uint64_t) + copy.params.values().bytes_size();
  for (const auto& [name, tensor] : copy.optimizer->state()) expected += tensor->bytes_size();
  require(bytes.size() == expected, Errc::kProtocol, "a handed-on segment has another size");
  std::uint64_t steps = 0;
  std::size_t at = 0;
  const auto read = [&](void* to, std::size_t count) {
    std::memcpy(to, bytes.data() + at, count);
    at += count;
  };
  read(&steps, sizeof steps);
  std::vector<float> numbers((bytes.size() - sizeof steps) / sizeof(float));
  std::memcpy(numbers.data(), bytes.data() + sizeof steps, numbers.size() * sizeof(float));
  require(steps < (std::uint64_t{1} << 53) && std::ranges::all_of(numbers, [](float v) { return std::isfinite(v); }), Errc::kProtocol,
          "a handed-on segment holds NaN, infinity or an impossible number of steps");
  copy.optimizer->set_steps(static_cast<std::int64_t>(steps));
  read(copy.params.values().data(), copy.params.values().bytes_size());
  for (const auto& [name, tensor] : copy.optimizer->state()) read(tensor->data(), tensor->bytes_size());
}

WireTensor block(Bytes&& bytes) {
  const auto n = static_cast<std::int64_t>(bytes.size());
  return {DType::kUint8, Shape{n}, std::move(bytes)};
}

Message receive(Executor& executor, int party, std::uint32_t lane, const Tag& tag) {
  auto answer = executor.channel(party, lane).receive(tag, executor.patience());
  if (const auto* outcome = std::get_if<Outcome>(&answer))
    throw PeerLost(*outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork,
                   outcome_text(*outcome) + " while waiting for a segment to be handed on");
  return std::get<Message>(std::move(answer));
}

template <class Each>
void each_edge(const Plan& plan, Each each) {
  for (const WeightsEdge& w : plan.weights)
    if (w.when == WeightsEdge::When::kHandOver) each(w);
}

}  // namespace

std::int64_t largest_hand_over_bytes(std::int64_t parameters, std::size_t sites) {
  constexpr std::int64_t kLargestState = 2;  // tensors of an optimizer, each as long as the parameters
  return static_cast<std::int64_t>(sealed_overhead(sites) + sizeof(std::uint64_t)) + parameters * (1 + kLargestState) * 4;
}

bool HandOver::needed() const {
  const Plan& plan = executor_.setup().plan;
  const bool mine = at_server() || executor_.setup().self.party == plan.many_party;
  return mine && std::ranges::any_of(plan.weights, [](const WeightsEdge& w) { return w.when == WeightsEdge::When::kHandOver; });
}

bool HandOver::at_server() const {
  const auto& parties = executor_.setup().plan.topology.parties;
  return parties[static_cast<std::size_t>(executor_.setup().self.party)].role == Role::kServer;
}

Tag HandOver::tag(const WeightsEdge& edge, std::int64_t turn, Phase phase) const {
  return {weights_tag(executor_.setup().plan, edge), Leg::kWeights,
          static_cast<std::uint64_t>(turn) << 2 | static_cast<std::uint64_t>(phase), 0};
}

/// Bound into the seal, so that the server cannot pass one run's, segment's or turn's weights off as another's.
Bytes HandOver::header(const WeightsEdge& edge, std::int64_t turn, std::int64_t lane) const {
  Bytes h;
  append(h, kPurpose.data(), kPurpose.size());
  append(h, run_);
  append(h, static_cast<std::uint64_t>(turn));
  append(h, static_cast<std::uint64_t>(lane));
  append(h, edge.segment.data(), edge.segment.size());
  return h;
}

void HandOver::give_and_take(std::uint32_t lane, std::int64_t turn, Phase phase) {
  each_edge(executor_.setup().plan, [&](const WeightsEdge& w) {
    if (at_server() && executor_.active(lane)) {
      try {
        executor_.between_steps(phase == Phase::kBegin ? Between::kTurnStart : Between::kSpread, w.from_party, lane, edge_index(executor_.setup().plan, w));
        give(w, lane, tag(w, turn, phase));
      } catch (const PeerLost& lost) {
        executor_.drop(lane, lost);
      }
    }
    if (executor_.setup().self.lane == static_cast<int>(lane)) take(w, tag(w, turn, phase));
  });
}

void HandOver::give(const WeightsEdge& edge, std::uint32_t lane, const Tag& tag) {
  const Version& last = committed_[edge.segment];
  Message m;
  m.tag = tag;
  const std::int32_t place[] = {static_cast<std::int32_t>(last.turn), static_cast<std::int32_t>(last.lane)};
  WireTensor where{DType::kInt32, Shape{2}, {}};
  append(where.data, place, sizeof place);
  m.tensors.push_back(std::move(where));
  const auto held = held_.find({edge.segment, lane});
  if ((held == held_.end() ? -1 : held->second) != last.turn) m.tensors.push_back(block(Bytes(last.sealed)));
  send_or_lose(executor_.channel(edge.from_party, lane), std::move(m), executor_.patience(), "a segment that is handed on");
  held_[{edge.segment, lane}] = last.turn;
}

void HandOver::take(const WeightsEdge& edge, const Tag& tag) {
  const PartySetup& setup = executor_.setup();
  const auto own = static_cast<std::uint32_t>(setup.self.lane);
  Message m = receive(executor_, server_party(setup.plan), own, tag);
  require(m.tensors.size() == 1 || m.tensors.size() == 2, Errc::kProtocol, "a handed-on segment has another number of parts");
  expect(m.tensors[0], DType::kInt32, {2});
  std::int32_t place[2];
  std::memcpy(place, m.tensors[0].data.data(), sizeof place);
  const auto held = held_.find({edge.segment, own});
  const std::int64_t mine = held == held_.end() ? -1 : held->second;
  if (m.tensors.size() == 1) {
    require(place[0] == mine, Errc::kProtocol, "the server says that this site holds a version that it does not hold");
    return;
  }
  // Versions only go forward: a server cannot bring back what a site has already gone beyond.
  require(place[0] > mine && place[1] >= 0 && static_cast<std::size_t>(place[1]) < setup.plan.lanes.size(), Errc::kProtocol,
          "the server hands on an older version, or one of nobody");
  require(m.tensors[1].dtype == DType::kUint8, Errc::kProtocol, "a handed-on segment is not a block of bytes");
  const std::string& sender = setup.plan.lanes[static_cast<std::size_t>(place[1])];
  const PublicKey key = sender == setup.self.name ? keys_->self.open_key() : key_of(keys_->peers, sender);
  try {
    unpack(executor_.copies(edge.segment)[0], open_sealed(m.tensors[1].data, header(edge, place[0], place[1]), keys_->self, key));
  } catch (Error& e) {
    throw e.in("segment " + edge.segment + " as handed on by " + sender);
  }
  held_[{edge.segment, own}] = place[0];
}

void HandOver::end_turn(std::uint32_t lane, std::int64_t turn) {
  const PartySetup& setup = executor_.setup();
  each_edge(setup.plan, [&](const WeightsEdge& w) {
    if (at_server() && executor_.active(lane)) {
      try {
        executor_.between_steps(Between::kTurnEnd, w.from_party, lane, edge_index(executor_.setup().plan, w));
        Message m = receive(executor_, w.from_party, lane, tag(w, turn, Phase::kEnd));
        const auto& network = setup.segments.networks[setup.segments.index(w.segment)];
        const auto most = largest_hand_over_bytes(network.parameter_count(), setup.plan.lanes.size());
        if (m.tensors.size() != 1 || m.tensors[0].dtype != DType::kUint8 || static_cast<std::int64_t>(m.tensors[0].data.size()) > most)
          throw PeerLost(Errc::kProtocol, "a handed-on segment is not one block of bytes, or too large");
        committed_[w.segment] = {turn, lane, std::move(m.tensors[0].data)};
        held_[{w.segment, lane}] = turn;
      } catch (const PeerLost& lost) {
        executor_.drop(lane, lost);  // its lease ends; the committed version stays
      }
    }
    if (setup.self.lane != static_cast<int>(lane)) return;
    std::vector<PublicKey> sites;
    for (const std::string& name : setup.plan.lanes)
      sites.push_back(name == setup.self.name ? keys_->self.open_key() : key_of(keys_->peers, name));
    Message m;
    m.tag = tag(w, turn, Phase::kEnd);
    m.tensors.push_back(block(seal(pack(executor_.copies(w.segment)[0]), header(w, turn, lane), keys_->self, sites)));
    send_or_lose(executor_.channel(server_party(setup.plan), lane), std::move(m), executor_.patience(), "a segment that is handed on");
    held_[{w.segment, lane}] = turn;
  });
}

void HandOver::spread(std::int64_t turn) {
  for (std::uint32_t l = 0; l < executor_.setup().plan.lanes.size(); ++l) give_and_take(l, turn, Phase::kSpread);
}

void HandOver::forget(std::uint32_t lane) {
  std::erase_if(held_, [&](const auto& entry) { return entry.first.second == lane; });
}

}  // namespace sutura
