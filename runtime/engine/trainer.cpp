#include "runtime/engine/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "runtime/engine/averaging.h"
#include "runtime/engine/best_weights.h"
#include "runtime/engine/exchange.h"
#include "runtime/engine/figures.h"
#include "runtime/engine/hand_over.h"
#include "runtime/engine/rounds.h"
#include "runtime/engine/selection.h"
#include "runtime/engine/session.h"

namespace sutura {
namespace {

/// The run of one party, phase by phase.
class Run {
 public:
  Run(Executor& executor, const RunHooks& hooks, const RunPeers& peers)
      : executor_(executor), hooks_(hooks), setup_(executor.setup()), plan_(setup_.plan),
        holds_loss_(plan_.party_of(plan_.loss_node) == setup_.self.party), rounds_(executor, peers.reception, hooks.stop_requested),
        hand_over_(executor, peers.keys, peers.run), averaging_(executor), selection_(setup_.study.training) {
    rounds_.on_joined = [this](std::optional<std::uint32_t> lane, std::int64_t round) {
      if (lane) hand_over_.forget(*lane);
      if (lane) averaging_.admit(*lane, round);
      selection_.forget_best();
    };
  }

  PartyResult go() {
    try {
      if (plan_.release_once)
        release_once();
      else
        epochs();
      for (const WeightsEdge& w : plan_.weights)
        if (w.when == WeightsEdge::When::kRunEnd) hand_over(w);
      if (!plan_.program(setup_.self.party, Purpose::kLocalEvaluate).empty()) evaluate_locally();
    } catch (const Error& e) {
      tell_peers(e);
      result_.interrupted = e.code() == Errc::kInterrupted;
      if (!result_.interrupted) result_.failure = e;
      keep_best();
    }
    if (result_.scores.empty()) result_.scores = executor_.scores();
    return std::move(result_);
  }

 private:
  using ScoreMap = std::map<std::pair<std::uint32_t, Split>, Scores>;

  /// After a failure: a device that failed for good does not give its memory back, not even to be written over.
  void keep_best() {
    try {
      best_.put_back(executor_);
    } catch (const Error&) {
      if (!result_.failure || result_.failure->code() != Errc::kDevice) throw;
    }
  }

  /// Whoever still waits for this party learns that it ends, and why in a few words; details stay on this machine.
  void tell_peers(const Error& e) {
    const Errc code = e.code();
    const bool by_rule = dynamic_cast<const RunEnded*>(&e) != nullptr;
    const Error reason(code, by_rule                       ? std::string(e.what())
                             : code == Errc::kInterrupted     ? "the other side was stopped"
                             : code == Errc::kPrivacyBudget ? "its privacy budget does not allow another release"
                                                            : "the other side ended: " + std::string(name(code)));
    const auto& parties = plan_.topology.parties;
    const Role own = parties[static_cast<std::size_t>(setup_.self.party)].role;
    for (std::size_t p = 0; p < parties.size(); ++p) {
      if (parties[p].role == own || !setup_.peer) continue;
      const bool lanes = static_cast<int>(p) == plan_.many_party;
      for (std::uint32_t l = 0; l < (lanes ? plan_.lanes.size() : 1); ++l) {
        Channel* peer = setup_.peer(static_cast<int>(p), lanes ? static_cast<int>(l) : std::max(0, setup_.self.lane));
        if (peer != nullptr && (!lanes || executor_.active(l))) send_reject(*peer, reason);
      }
    }
  }

  void step(const Step& s) {
    if (hooks_.stop_requested && hooks_.stop_requested()) throw Error(Errc::kInterrupted, "stopped by a signal");
    const StepResult r = executor_.run(s);
    if (s.purpose == Purpose::kTrain) count(r);
    if (hooks_.on_step) hooks_.on_step(s, r);
    rounds_.after_step();
  }

  /// Books a training step that came to its end: with training.stale an earlier one, or none yet.
  void count(const StepResult& r) {
    if (!r.ended()) return;
    loss_ += r.loss * static_cast<double>(r.step_records);
    records_ += r.records;
  }

  void finish_steps() {
    for (const StepResult& r : executor_.finish()) count(r);
  }

  void pass(Purpose purpose, Split split, std::int64_t epoch) {
    for (const Step& s : setup_.planner.pass(purpose, split, epoch)) step(s);
  }

  /// The steps of a round. Where sites take turns with a segment that is handed on, each turn begins and ends with that.
  void train_steps(std::int64_t epoch) {
    const auto lanes = static_cast<std::int64_t>(plan_.lanes.size());
    const bool hands_on = hand_over_.needed();
    std::int64_t turn = epoch * lanes - 1;
    std::int64_t lane = -1;
    const auto end_turn = [&] {
      if (lane < 0) return;
      finish_steps();
      hand_over_.end_turn(static_cast<std::uint32_t>(lane), turn);
    };
    for (const Step& s : setup_.planner.training(epoch)) {
      if (hands_on && static_cast<std::int64_t>(s.parts.at(0).lane) != lane) {
        end_turn();
        lane = s.parts[0].lane;
        hand_over_.begin_turn(static_cast<std::uint32_t>(lane), ++turn);
      }
      step(s);
    }
    end_turn();
    finish_steps();
    if (hands_on) hand_over_.spread(epoch);
  }

  EpochRecord train_epoch(std::int64_t epoch) {
    loss_ = 0.0;
    records_ = 0;
    const auto start = std::chrono::steady_clock::now();
    train_steps(epoch);
    averaging_.end_round(epoch);
    rounds_.after_step();
    EpochRecord r;
    r.epoch = epoch;
    r.seconds = seconds_since(start);
    r.records = records_;
    if (holds_loss_ && records_ > 0) r.train_loss = loss_ / static_cast<double>(records_);  // over the records that ran here
    result_.seconds += r.seconds;
    result_.records += records_;
    return r;
  }

  void close_epoch(EpochRecord r) {
    if (hooks_.traffic) r.traffic = hooks_.traffic();
    if (hooks_.epsilon) r.epsilon = hooks_.epsilon();
    if (hooks_.on_epoch) hooks_.on_epoch(r);
    result_.epochs.push_back(std::move(r));
  }

  void epochs() {
    const std::int64_t count = setup_.study.training.epochs;
    std::int64_t epoch = 0;
    while ((epoch = rounds_.begin(epoch)) < count) {
      EpochRecord r = train_epoch(epoch);
      const bool validates = evaluates_after(setup_.study.training, epoch);
      if (validates) {
        executor_.clear_scores();
        pass(Purpose::kEvaluate, Split::kValidation, epoch);
        rounds_.after_step();
        const Scores validation = pooled(executor_.scores(), Split::kValidation);
        if (holds_loss_ && !validation.labels.empty()) r.validation = evaluate(validation, nullptr, setup_.study.training.loss);
      }
      const Verdict verdict = exchange_epoch(executor_, selection_, r);
      const bool keeps_best = setup_.study.training.keep == Keep::kBest;
      if (validates && (verdict.best || !keeps_best)) result_.scores = executor_.scores();
      if (verdict.best && keeps_best) {
        best_.take(executor_);
        result_.best_epoch = epoch;
      }
      close_epoch(std::move(r));
      result_.stopped_early = verdict.stop && epoch + 1 < count;
      if (verdict.stop || ++epoch == count) break;
    }
    test(std::min(epoch, count - 1));
  }

  /// The test records, once, with the weights that the run ends with.
  void test(std::int64_t epoch) {
    best_.put_back(executor_);
    executor_.clear_scores();
    pass(Purpose::kEvaluate, Split::kTest, epoch);
    for (const auto& [key, s] : executor_.scores()) result_.scores[key] = s;
    if (holds_loss_) judge_test(result_.scores);
    exchange_test(executor_, result_);
  }

  /// Test figures, pooled and of each site by itself. The threshold comes from all validation records that were scored here.
  void judge_test(const ScoreMap& scores) {
    const LossKind loss = setup_.study.training.loss;
    const Scores validation = pooled(scores, Split::kValidation);
    const Scores tested = pooled(scores, Split::kTest);
    if (tested.labels.empty()) return;
    result_.test = evaluate(tested, &validation, loss);
    for (const auto& [key, s] : scores)
      if (key.second == Split::kTest && !s.labels.empty())
        result_.sites.emplace_back(plan_.lanes[key.first], evaluate(s, &validation, loss));
  }

  static Scores pooled(const ScoreMap& scores, Split split) {
    Scores all;
    for (const auto& [key, s] : scores)
      if (key.second == split) {
        all.values.insert(all.values.end(), s.values.begin(), s.values.end());
        all.labels.insert(all.labels.end(), s.labels.begin(), s.labels.end());
      }
    return all;
  }

  // ---- release-once ------------------------------------------------------------------------------------------------

  void release_once() {
    rounds_.begin(0);
    pass(Purpose::kUpload, Split::kTrain, 0);  // records for validation and test never leave
    const bool trains_here = !plan_.program(setup_.self.party, Purpose::kTrain).empty();
    if (!trains_here) {
      EpochRecord r;  // the upload is this party's whole part
      r.records = setup_.self.lane >= 0 ? setup_.planner.sizes()[static_cast<std::size_t>(setup_.self.lane)].train
                                        : setup_.planner.total(Split::kTrain);
      result_.records = r.records * setup_.study.training.epochs;
      close_epoch(std::move(r));
      return;
    }
    for (std::int64_t e = 0; e < setup_.study.training.epochs; ++e) close_epoch(train_epoch(e));
    trained_ = executor_.snapshot();
    try {
      train_controls();
    } catch (const Error&) {
      executor_.restore(trained_);  // what is saved is what was learned, not a half-trained control
      throw;
    }
    executor_.restore(trained_);
  }

  /// The same training on stored rows whose labels are permuted within each site: post-processing, no new release.
  void train_controls() {
    const bool delivered = std::ranges::any_of(plan_.weights, [](const WeightsEdge& w) { return w.when == WeightsEdge::When::kRunEnd; });
    if (!delivered) return;  // nobody could test them
    const double seconds = result_.seconds;
    const std::int64_t records = result_.records;
    for (std::int64_t k = 0; k < setup_.study.control_permutations; ++k) {
      executor_.restart(static_cast<std::uint64_t>(k));
      executor_.permute_stored_labels(static_cast<std::uint64_t>(k));
      for (std::int64_t e = 0; e < setup_.study.training.epochs; ++e) train_epoch(e);
      control_weights_.push_back(executor_.snapshot());
    }
    result_.seconds = seconds;
    result_.records = records;
  }

  void hand_over(const WeightsEdge& w) {
    const std::int64_t rows = 1 + (plan_.release_once ? setup_.study.control_permutations : 0);
    if (setup_.self.party == w.from_party) {
      if (!plan_.release_once) trained_ = executor_.snapshot();
      const Tensor& values = trained_.at(w.segment);
      Tensor all({rows, values.elements()});
      std::memcpy(all.data(), values.data(), values.bytes_size());
      for (std::size_t k = 0; k < control_weights_.size(); ++k)
        std::memcpy(all.rows(static_cast<std::int64_t>(k) + 1, 1).data(), control_weights_[k].at(w.segment).data(), values.bytes_size());
      deliver(executor_, w, all);
      executor_.adopt(w.segment, values);
    }
    if (setup_.self.party == w.to_party) delivered_[w.segment] = await_delivery(executor_, w, rows);
  }

  void adopt_delivered(std::int64_t row) {
    for (const auto& [segment, rows] : delivered_) executor_.adopt(segment, rows.rows(row, 1));
  }

  /// Clean rows, the delivered tail, this site's own records: nothing leaves.
  void evaluate_locally() {
    std::int64_t rows = 1;
    for (const auto& [segment, values] : delivered_) rows = values.shape()[0];
    for (std::int64_t k = rows - 1; k >= 0; --k) {  // the trained tail last, so that its scores stay
      adopt_delivered(k);
      executor_.clear_scores();
      if (k == 0) pass(Purpose::kLocalEvaluate, Split::kValidation, 0);
      pass(Purpose::kLocalEvaluate, Split::kTest, 0);
      if (k > 0) result_.control_scores.push_back(pooled(executor_.scores(), Split::kTest).values);
    }
    result_.local_evaluation = true;
    result_.rule_scores = executor_.rule_scores();
    judge_test(executor_.scores());
    if (!result_.test) return;
    result_.controls = controls_of(pooled(executor_.scores(), Split::kTest).labels, result_.rule_scores, result_.control_scores);
  }

  Executor& executor_;
  const RunHooks& hooks_;
  const PartySetup& setup_;
  const Plan& plan_;
  const bool holds_loss_;
  PartyResult result_;
  double loss_ = 0.0;
  std::int64_t records_ = 0;
  std::map<std::string, Tensor> trained_;
  std::vector<std::map<std::string, Tensor>> control_weights_;
  std::map<std::string, Tensor> delivered_;
  Rounds rounds_;
  HandOver hand_over_;
  Averaging averaging_;
  Selection selection_;
  BestWeights best_;  ///< training.keep: best
};

}  // namespace

PartyResult run_party(Executor& executor, const RunHooks& hooks, const RunPeers& peers) { return Run(executor, hooks, peers).go(); }

}  // namespace sutura
