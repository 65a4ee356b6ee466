#pragma once
#include "runtime/engine/selection.h"
#include "runtime/engine/trainer.h"

namespace sutura {

/// After each epoch: a server that holds the loss tells the clients its metrics, and where the study selects, everybody
/// learns whether these are the best weights and whether training ends. Where clients hold the loss they send the server
/// their validation figure first; several are joined as their mean, weighted by records. All of it is on the egress list.
/// Errors: kData if the study selects and nobody has a figure; kNetwork, kProtocol.
Verdict exchange_epoch(Executor& executor, Selection& selection, EpochRecord& r);

/// At the end: a server that holds the loss tells the test figures, to everybody the pooled ones, to each site its own.
/// Errors: kNetwork, kProtocol.
void exchange_test(Executor& executor, PartyResult& result);

}  // namespace sutura
