#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/engine/executor.h"

namespace sutura {

/// Run end, sending side: rows [k, total] of a segment's weights to every process of the receiving party.
void deliver(Executor& executor, const WeightsEdge& edge, const Tensor& rows);
/// Run end, receiving side: `count` rows of the segment's weights. Errors: kNetwork, kProtocol.
Tensor await_delivery(Executor& executor, const WeightsEdge& edge, std::int64_t count);

/// Index of the plan's server party, or -1.
int server_party(const Plan& plan);
/// Server: sends a report to every client process that is there; `make` gives its JSON, by party and lane. A replica that cannot
/// be reached is dropped; another party's loss is treated as the study's missing_party says.
void report_to_clients(Executor& executor, const std::function<nlohmann::json(int party, std::uint32_t lane)>& make,
                       const std::string& what, Between point = Between::kReport);
/// Client: the server's next report. Errors: kNetwork, kProtocol, what the server's refusal says.
nlohmann::json report_of_server(Executor& executor, const std::string& what);
/// Client: sends the server a report.
void report_to_server(Executor& executor, const nlohmann::json& report, const std::string& what);
/// Server: the next report of (party, lane). Errors: as report_of_server; the caller decides what a lost peer means.
nlohmann::json report_of_client(Executor& executor, int party, std::uint32_t lane, const std::string& what);

/// Index of a weights edge in Plan::weights, and the number that stands for it in messages.
int edge_index(const Plan& plan, const WeightsEdge& edge);
std::uint16_t weights_tag(const Plan& plan, const WeightsEdge& edge);
/// Weights as they are, float32, to a peer. Errors: PeerLost.
void send_weights(Executor& executor, int party, std::uint32_t lane, const Tag& tag, const Tensor& rows);
/// Weights of this shape from a peer. Errors: PeerLost.
Tensor receive_weights(Executor& executor, int party, std::uint32_t lane, const Tag& tag, const Shape& shape);

}  // namespace sutura
