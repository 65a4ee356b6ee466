#pragma once
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "runtime/engine/executor.h"

namespace sutura {

/// Round end: averages what the schedule says, weighted by training records (McMahan et al. 2017; statistics of
/// normalisation layers included), summed in lane order. Replicas send their copy to the server and take the mean back;
/// copies held in one place are averaged in place. A lane that fails here is dropped.
void average_round(Executor& executor, std::int64_t epoch);

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

/// Index of a weights edge in messages.
std::uint16_t weights_tag(const Plan& plan, const WeightsEdge& edge);

}  // namespace sutura
