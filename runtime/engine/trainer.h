#pragma once
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/engine/evaluation.h"
#include "runtime/engine/executor.h"

namespace sutura {

class Reception;
struct SealKeys;

/// Bytes of all frames that this process has sent toward the server side and back; the server counts from the other end.
struct TrafficBytes {
  std::uint64_t up_bytes = 0;    ///< data holders -> server
  std::uint64_t down_bytes = 0;  ///< server -> data holders
};

/// One line of the run's history.
struct EpochRecord {
  std::int64_t epoch = 0;  ///< from 0
  std::optional<double> train_loss;
  std::optional<Evaluation> validation;
  double seconds = 0.0;  ///< of this epoch's training steps
  std::int64_t records = 0;
  TrafficBytes traffic;        ///< since the start of the run
  double epsilon = 0.0;   ///< spent so far by the most-released record; 0 without a ledger
};

/// Controls printed beside a private result (baselines: on easy data the choice of features alone looks like learning).
struct Controls {
  std::optional<double> no_data_auc;     ///< the public rule that saw no record
  std::vector<double> permuted_auc;      ///< same training on permuted labels, one value per permutation
};

struct PartyResult {
  std::vector<EpochRecord> epochs;
  std::optional<Evaluation> test;  ///< where this process holds the loss, or evaluates locally
  std::vector<std::pair<std::string, Evaluation>> sites;  ///< the same of each site by itself
  std::int64_t best_epoch = -1;  ///< training.keep: best: whose weights the run ended with
  bool stopped_early = false;
  Controls controls;
  bool local_evaluation = false;  ///< test was computed at the data holder with clean rows
  bool interrupted = false;
  std::optional<Error> failure;        ///< what ended the run early; what was learned until then is in the executor
  double epsilon_spent = 0.0;          ///< by the most-released record in this party's ledger, at the end
  double epsilon_before = 0.0;         ///< the same when the run began: earlier runs on the same records
  std::string backend;                 ///< what computed it: "onednn 2.6.3, 2 threads, ..."
  std::vector<std::string> dropped;    ///< clients that were lost on the way, with the reason
  double seconds = 0.0;           ///< training steps only
  double waiting_seconds = 0.0;   ///< blocked in receive, over the whole run
  std::int64_t records = 0;       ///< trained, over all epochs
  std::map<std::pair<std::uint32_t, Split>, Scores> scores;  ///< of the final passes
  std::vector<std::vector<float>> control_scores;            ///< permuted controls on the test records
  std::vector<float> rule_scores;                            ///< no-data rule on the test records
};

struct RunHooks {
  std::function<bool()> stop_requested;                ///< polled between steps
  std::function<void(const EpochRecord&)> on_epoch;
  std::function<void(const Step&, const StepResult&)> on_step;
  std::function<void(const Decision&)> on_decision;    ///< of the party that decides: who joined, left, was waited for
  std::function<TrafficBytes()> traffic;
  std::function<double()> epsilon;                     ///< spent so far
};

/// Whom a party reaches beside its channels.
struct RunPeers {
  Reception* reception = nullptr;  ///< server: lets sites join between rounds
  const SealKeys* keys = nullptr;  ///< sites that hand segments on
  std::uint64_t run = 0;
};

/// One party's whole run after the session has begun: uploads or epochs, round ends, evaluations, delivery.
/// Errors: whatever ends the run early is reported in the result (interrupted, failure), so that what was learned is saved.
PartyResult run_party(Executor& executor, const RunHooks& hooks, const RunPeers& peers = {});

}  // namespace sutura
