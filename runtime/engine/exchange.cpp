#include "runtime/engine/exchange.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"
#include "transport/codec.h"

namespace sutura {
namespace {

constexpr std::uint64_t kRunEnd = 0xffffffff;

nlohmann::json receive_report(Executor& executor, int party, std::uint32_t lane, const std::string& what) {
  auto answer = executor.channel(party, lane).receive(kControlTag, executor.patience());
  if (const auto* outcome = std::get_if<Outcome>(&answer))
    throw PeerLost(*outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork, outcome_text(*outcome) + " while waiting for " + what);
  const Message& m = std::get<Message>(answer);
  if (m.type == MessageType::kReject) throw refusal(from_message<Reject>(m));
  auto j = nlohmann::json::parse(from_message<Report>(m).json, nullptr, false);
  require(j.is_object(), Errc::kProtocol, "a report is not a JSON object, where " + what + " was due");
  return j;
}

}  // namespace

int server_party(const Plan& plan) {
  const auto& parties = plan.topology.parties;
  const auto server = std::ranges::find_if(parties, [](const PartyConfig& p) { return p.role == Role::kServer; });
  return server == parties.end() ? -1 : static_cast<int>(server - parties.begin());
}

void report_to_clients(Executor& executor, const std::function<nlohmann::json(int party, std::uint32_t lane)>& make,
                       const std::string& what, Between point) {
  const Plan& plan = executor.setup().plan;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    if (plan.topology.parties[p].role != Role::kClient) continue;
    const auto party = static_cast<int>(p);
    const bool many = party == plan.many_party;
    for (std::uint32_t l = 0; l < (many ? plan.lanes.size() : 1); ++l) {
      if (many ? !executor.active(l) : !executor.present(party)) continue;
      try {
        executor.between_steps(point, party, l);
        send_or_lose(executor.channel(party, l), to_message(Report{make(party, l).dump()}), executor.patience(), what);
      } catch (const PeerLost& lost) {
        if (many)
          executor.drop(l, lost);
        else
          executor.lose_party(party, lost);
      }
    }
  }
}

nlohmann::json report_of_server(Executor& executor, const std::string& what) {
  const auto lane = static_cast<std::uint32_t>(std::max(0, executor.setup().self.lane));
  return receive_report(executor, server_party(executor.setup().plan), lane, what);
}

void report_to_server(Executor& executor, const nlohmann::json& report, const std::string& what) {
  const auto lane = static_cast<std::uint32_t>(std::max(0, executor.setup().self.lane));
  send_or_lose(executor.channel(server_party(executor.setup().plan), lane), to_message(Report{report.dump()}), executor.patience(), what);
}

nlohmann::json report_of_client(Executor& executor, int party, std::uint32_t lane, const std::string& what) {
  try {
    executor.between_steps(Between::kFigure, party, lane);
    return receive_report(executor, party, lane, what);
  } catch (const PeerLost&) {
    throw;
  } catch (const Error& e) {
    throw PeerLost(e.code(), e.what());
  }
}

std::uint16_t weights_tag(const Plan& plan, const WeightsEdge& edge) {
  return static_cast<std::uint16_t>(0x8000 + edge_index(plan, edge));
}

int edge_index(const Plan& plan, const WeightsEdge& edge) { return static_cast<int>(&edge - plan.weights.data()); }

void send_weights(Executor& executor, int party, std::uint32_t lane, const Tag& tag, const Tensor& rows) {
  Message m;
  m.tag = tag;
  m.tensors.push_back({DType::kFloat32, rows.shape(), Bytes(rows.bytes().begin(), rows.bytes().end())});
  send_or_lose(executor.channel(party, lane), std::move(m), executor.patience(), "weights");
}

Tensor receive_weights(Executor& executor, int party, std::uint32_t lane, const Tag& tag, const Shape& shape) {
  try {
    auto answer = executor.channel(party, lane).receive(tag, executor.patience());
    if (const auto* outcome = std::get_if<Outcome>(&answer))
      throw PeerLost(*outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork,
                     outcome_text(*outcome) + " while waiting for weights");
    const Message& m = std::get<Message>(answer);
    require(m.tensors.size() == 1, Errc::kProtocol, "a weights message has another number of tensors");
    expect(m.tensors[0], DType::kFloat32, shape);
    require(all_finite(m.tensors[0]), Errc::kProtocol, "a weights message holds NaN or infinity");
    Tensor t(shape);
    if (t.bytes_size() > 0) std::memcpy(t.data(), m.tensors[0].data.data(), t.bytes_size());
    return t;
  } catch (const PeerLost&) {
    throw;
  } catch (const Error& e) {
    throw PeerLost(e.code(), e.what());
  }
}

void deliver(Executor& executor, const WeightsEdge& edge, const Tensor& rows) {
  const Plan& plan = executor.setup().plan;
  const Tag tag{weights_tag(plan, edge), Leg::kWeights, kRunEnd, 0};
  if (edge.to_party != plan.many_party) return send_weights(executor, edge.to_party, 0, tag, rows);
  for (std::uint32_t l = 0; l < plan.lanes.size(); ++l) {
    if (!executor.active(l)) continue;
    try {
      executor.between_steps(Between::kDelivery, edge.to_party, l, edge_index(plan, edge));
      send_weights(executor, edge.to_party, l, tag, rows);
    } catch (const PeerLost& lost) {
      executor.drop(l, lost);
    }
  }
}

Tensor await_delivery(Executor& executor, const WeightsEdge& edge, std::int64_t count) {
  const Segments& segments = executor.setup().segments;
  const std::int64_t total = segments.networks[segments.index(edge.segment)].parameter_count();
  const auto lane = static_cast<std::uint32_t>(std::max(0, executor.setup().self.lane));
  return receive_weights(executor, edge.from_party, lane, {weights_tag(executor.setup().plan, edge), Leg::kWeights, kRunEnd, 0},
                      {count, total});
}

}  // namespace sutura
