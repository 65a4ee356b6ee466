#include "runtime/engine/trainer.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/random/philox.h"
#include "runtime/engine/exchange.h"
#include "runtime/engine/executor_slots.h"
#include "runtime/engine/session.h"

namespace sutura {
namespace {

const Tag kControlTag{0xffff, Leg::kControl, 0, 0};

/// The run of one party, phase by phase.
class Run {
 public:
  Run(Executor& executor, const RunHooks& hooks)
      : executor_(executor), hooks_(hooks), setup_(executor.setup()), plan_(setup_.plan),
        holds_loss_(plan_.party_of(plan_.loss_node) == setup_.self.party) {}

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
      tell_peers(e.code());
      result_.interrupted = e.code() == Errc::kInterrupted;
      if (!result_.interrupted) result_.failure = e;
    }
    result_.scores = executor_.scores();
    return std::move(result_);
  }

 private:
  /// Whoever still waits for this party learns that it ends, and why in a few words; details stay on this machine.
  void tell_peers(Errc code) {
    const Error reason(code, code == Errc::kInterrupted     ? "the other side was stopped"
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
    if (s.purpose == Purpose::kTrain) {
      loss_ += r.loss * static_cast<double>(s.records);
      records_ += r.records;
    }
    if (hooks_.on_step) hooks_.on_step(s, r);
  }

  void pass(Purpose purpose, Split split, std::int64_t epoch) {
    for (const Step& s : setup_.planner.pass(purpose, split, epoch)) step(s);
  }

  EpochRecord train_epoch(std::int64_t epoch) {
    loss_ = 0.0;
    records_ = 0;
    const auto start = std::chrono::steady_clock::now();
    for (const Step& s : setup_.planner.training(epoch)) step(s);
    average_round(executor_, epoch);
    EpochRecord r;
    r.epoch = epoch;
    r.seconds = seconds_since(start);
    r.records = records_;
    if (holds_loss_) r.train_loss = loss_ / static_cast<double>(std::max<std::int64_t>(1, records_));  // over the records that ran here
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
    for (std::int64_t e = 0; e < setup_.study.training.epochs; ++e) {
      EpochRecord r = train_epoch(e);
      const bool last = e + 1 == setup_.study.training.epochs;
      if (evaluates_after(setup_.study.training, e)) {
        executor_.clear_scores();
        pass(Purpose::kEvaluate, Split::kValidation, e);
        if (last) pass(Purpose::kEvaluate, Split::kTest, e);
      }
      if (holds_loss_) {
        const Scores validation = pooled(Split::kValidation);
        if (!validation.labels.empty() && evaluates_after(setup_.study.training, e))
          r.validation = evaluate(validation, nullptr, setup_.study.training.loss);
        const Scores test = pooled(Split::kTest);
        if (last && !test.labels.empty()) result_.test = evaluate(test, &validation, setup_.study.training.loss);
      }
      exchange_report(r, last);
      close_epoch(std::move(r));
    }
  }

  Scores pooled(Split split) const {
    Scores all;
    for (const auto& [key, s] : executor_.scores())
      if (key.second == split) {
        all.values.insert(all.values.end(), s.values.begin(), s.values.end());
        all.labels.insert(all.labels.end(), s.labels.begin(), s.labels.end());
      }
    return all;
  }

  /// A server that holds the loss tells the clients each epoch's metrics; they are on the egress list.
  void exchange_report(EpochRecord& r, bool last) {
    const bool server_holds_loss =
        plan_.topology.parties[static_cast<std::size_t>(plan_.party_of(plan_.loss_node))].role == Role::kServer;
    if (!server_holds_loss) return;
    if (holds_loss_) {
      nlohmann::json j{{"epoch", r.epoch}, {"train_loss", *r.train_loss}};
      if (r.validation) j["validation"] = to_json(*r.validation);
      if (last && result_.test) j["test"] = to_json(*result_.test);
      for (std::size_t p = 0; p < plan_.topology.parties.size(); ++p) {
        if (plan_.topology.parties[p].role != Role::kClient) continue;
        const bool many = static_cast<int>(p) == plan_.many_party;
        for (std::uint32_t l = 0; l < (many ? plan_.lanes.size() : 1); ++l) {
          if (!executor_.active(l)) continue;
          try {
            send_or_lose(executor_.channel(static_cast<int>(p), l), to_message(Report{j.dump()}), executor_.patience(), "a report");
          } catch (const PeerLost& lost) {
            if (!many) throw;
            executor_.drop(l, lost);
          }
        }
      }
      return;
    }
    Channel& server = executor_.channel(plan_.party_of(plan_.loss_node), static_cast<std::uint32_t>(std::max(0, setup_.self.lane)));
    auto answer = server.receive(kControlTag, executor_.patience());
    if (const auto* outcome = std::get_if<Outcome>(&answer))
      throw PeerLost(*outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork,
                     outcome_text(*outcome) + " while waiting for the epoch's report");
    const Message& m = std::get<Message>(answer);
    if (m.type == MessageType::kReject) throw refusal(from_message<Reject>(m));
    const auto j = nlohmann::json::parse(from_message<Report>(m).json, nullptr, false);
    require(j.is_object() && j.contains("epoch") && j["epoch"] == r.epoch && j.contains("train_loss") && j["train_loss"].is_number(),
            Errc::kProtocol, "the server's report is not one of this epoch");
    r.train_loss = j["train_loss"].get<double>();
    if (j.contains("validation")) r.validation = evaluation_from_json(j["validation"]);
    if (j.contains("test")) result_.test = evaluation_from_json(j["test"]);
  }

  // ---- release-once ------------------------------------------------------------------------------------------------

  void release_once() {
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
      if (k > 0) result_.control_scores.push_back(pooled(Split::kTest).values);
    }
    result_.local_evaluation = true;
    result_.rule_scores = executor_.rule_scores();
    const Scores validation = pooled(Split::kValidation);
    const Scores test = pooled(Split::kTest);
    if (test.labels.empty()) return;
    result_.test = evaluate(test, &validation, setup_.study.training.loss);
    result_.controls = controls_of(test.labels, result_.rule_scores, result_.control_scores);
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
};

}  // namespace

PartyResult run_party(Executor& executor, const RunHooks& hooks) { return Run(executor, hooks).go(); }

}  // namespace sutura
