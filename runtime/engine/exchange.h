#pragma once
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

/// Index of a weights edge in messages.
std::uint16_t weights_tag(const Plan& plan, const WeightsEdge& edge);

}  // namespace sutura
