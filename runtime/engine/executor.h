#pragma once
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "kernels/ops/release_rows/release_rows.h"
#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"
#include "runtime/data/dataset.h"
#include "runtime/engine/decisions.h"
#include "runtime/engine/running_mean.h"
#include "runtime/engine/steps.h"
#include "runtime/engine/wire_values.h"
#include "runtime/privacy/guard.h"
#include "runtime/topology/plan.h"
#include "transport/channel.h"

namespace sutura {

/// Which process this is: a party, and for a replica of the many-party the lane it serves.
struct Instance {
  int party = 0;
  int lane = -1;  ///< -1: all lanes
  std::string name;
};

class PeerLost;
class StepGraphs;
class Staging;
struct Span;
struct SlotName;

/// The run ends for everybody by a rule of the study. The text names the rule and the party, and every party may read it.
class RunEnded : public Error {
 public:
  using Error::Error;
};

/// One copy of a segment: parameters and the optimizer bound to them.
struct SegmentCopy {
  ParamStore params;
  std::unique_ptr<Optimizer> optimizer;
};

/// Scores of one lane and split at the party that holds the loss, in record order of the pass.
struct Scores {
  std::vector<float> values;  // [N * outputs]
  std::vector<float> labels;  // [N]
};

/// What a step that has ended left at this party.
struct StepResult {
  double loss = 0.0;              ///< mean over the step's records, summed over this party's parts; 0 where the loss is elsewhere
  std::int64_t records = 0;       ///< of the parts that ran here
  std::int64_t index = -1;        ///< Step::index of the step that ended; -1: none did (training.stale: the first ones)
  std::int64_t step_records = 0;  ///< Step::records of that step: what `loss` was divided by
  bool ended() const { return index >= 0; }
};

/// Whether a party that computes on a device records its steps and replays them (StepGraphs), or launches every kernel every time.
enum class Recording { kOn, kOff };

/// Where between steps parties exchange messages.
enum class Between {
  kRoundStart,
  kTurnStart,
  kTurnEnd,
  kSpread,
  kAverageIn,
  kAverageOut,
  kFigure,
  kReport,
  kDelivery,
  kAdmission
};

/// Everything a party needs to run programs.
struct PartySetup {
  const StudyConfig& study;
  const Plan& plan;
  const Segments& segments;
  StepPlanner& planner;
  Instance self;
  const SiteData* data = nullptr;  ///< data holders
  Guard* guard = nullptr;          ///< parties that release guarded rows
  RowSettings rows{};              ///< of the study's guard, where it has one: decoding needs no key
  std::int64_t classes = 0;        ///< 0: regression
  std::function<Channel*(int party, int lane)> peer;
  /// Longest wait for one message of a lane, at the party that serves all lanes: a silent site is dropped and the others go
  /// on. Everybody else waits as long as the link says that the peer lives.
  std::chrono::milliseconds silence{600000};
  Decisions* decisions = nullptr;  ///< where departures are recorded, or repeated from
  Recording recording = Recording::kOn;
};

/// Runs a party's straight-line programs, one step at a time: turn by turn, and inside a turn micro-batch by micro-batch
/// in (lane, micro-batch) order, so that sums of gradients have one order everywhere.
///
/// With `training.stale: s` a party with T turns runs turn j of step t - ceil(j s / (T - 1)) at its call number t: it begins
/// up to s steps before the update of an earlier one. A step's backward uses the weights of its own forward, which are
/// stashed (PipeDream, Narayanan et al. 2019, arXiv 1806.03377); updates come in step order.
///
/// A part of a step whose peer is lost or breaks the protocol is void: nothing more is computed for it, and the peers that
/// are left exchange messages without tensors in its place, so that nobody waits. At the server a lost lane is dropped and
/// the others go on; a lost single party is missing as `schedule.missing_party` says. A lost server ends the run.
/// Threads: one.
class Executor {
 public:
  Executor(const PartySetup& setup, Context& ctx);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Runs one step of any purpose; training steps end with the optimizers' update. The result is that of the step which
  /// ended with this call: an earlier one, or none, with `training.stale`.
  StepResult run(const Step& step);
  /// Ends the training steps that are in flight, in order; nothing to do without `training.stale`. Before anything else
  /// than a training step: a round's end, an evaluation, a hand-over.
  std::vector<StepResult> finish();
  /// Forgets the steps in flight and their gradients: for a party that lost the run in the middle of a step and joins again.
  void abandon();

  /// Copies of a segment held here: one, or one per lane (schedule.tail: per_client).
  std::vector<SegmentCopy>& copies(const std::string& segment);
  bool holds(const std::string& segment) const { return copies_.contains(segment); }
  /// Fresh weights and optimizers, as at the start of another run (permuted-label controls of release-once).
  void restart(std::uint64_t variant);
  /// Permutes the stored training labels of every lane (release-once).
  void permute_stored_labels(std::uint64_t variant);
  /// Adds a segment delivered from elsewhere, for local evaluation.
  void adopt(const std::string& segment, const Tensor& values);

  const std::map<std::pair<std::uint32_t, Split>, Scores>& scores() const { return scores_; }
  void clear_scores() {
    scores_.clear();
    rule_scores_.clear();
  }
  bool active(std::uint32_t lane) const { return active_[lane]; }
  std::size_t active_lanes() const;
  /// Ends a lane's part in the run, records that and tells its peer why.
  void drop(std::uint32_t lane, const Error& reason);
  /// The lane takes part again, on a new channel; between steps, with nothing in flight.
  void admit_lane(std::uint32_t lane);
  /// False for a single party that was lost under a policy that goes on without it.
  bool present(int party) const { return !missing_[static_cast<std::size_t>(party)]; }
  /// The party takes part again, on a new channel; between steps, with nothing in flight.
  void admit(int party);
  /// A site that is not there when the run begins: as if lost, but it never had a part.
  void leave_out(std::uint32_t lane) { active_[lane] = false; }
  /// A single party is lost: missing from now on, or the end of the run, as the study says. Called while `lost` is handled.
  void lose_party(int party, const Error& lost);
  /// A round begins: departures before its first step are recorded under its number.
  void begin_round(std::int64_t round) { place_.round = round; }
  /// Names where between steps a message is exchanged with (party, lane), for the record of departures; a recorded departure
  /// that lies exactly there happens again. `edge`: index in Plan::weights, where several of them are served at one point.
  /// Errors: that departure.
  void between_steps(Between point, int party, std::uint32_t lane, int edge = -1);
  const std::vector<std::string>& dropped() const { return dropped_; }
  /// Seconds spent waiting for peers' messages in steps.
  double waiting_seconds() const { return waited_.count(); }

  /// Rows received once and kept (release-once): by edge and split.
  Tensor& stored_rows(int edge, std::uint32_t lane, Split split) { return store_[{edge, lane, split}]; }
  Channel& channel(int party, std::uint32_t lane) const;
  /// Until when this party waits for a peer's next message; without end while recorded departures are repeated.
  Deadline patience() const;
  /// Puts back weights that snapshot() took.
  void restore(const std::map<std::string, Tensor>& weights);
  /// Copies of the weights of every segment held here (the first copy of each).
  std::map<std::string, Tensor> snapshot();
  const PartySetup& setup() const { return setup_; }
  Context& context() { return ctx_; }
  /// Pieces of steps that were replayed instead of launched kernel by kernel.
  std::int64_t replays() const;
  /// Turns of parts of steps for which all that they begin with was taken in while an earlier part was computed on the device.
  std::int64_t taken_ahead() const { return taken_ahead_; }
  /// Scores of the no-data rule on the records of the last local evaluation pass over the test split.
  const std::vector<float>& rule_scores() const { return rule_scores_; }

 private:
  struct Slots;
  struct Ahead;
  struct InFlight;
  struct Work;
  // executor_steps.cpp: which instruction runs when, and the updates
  StepResult advance();
  void run_turn(InFlight& flight, std::size_t turn);
  void attempt(std::size_t turn, std::size_t n, Work& w);
  void carry_out(std::size_t turn, std::size_t n, Work& w);
  StepResult end(InFlight& flight);
  void update(InFlight& flight);
  void take_step(const std::string& segment, std::size_t copy, double rate);
  bool serves(const Part& part) const { return setup_.self.lane < 0 || setup_.self.lane == static_cast<int>(part.lane); }
  std::size_t copy_index(const std::string& segment, std::uint32_t lane);
  ParamStore& params_of(const std::string& segment, Work& w);
  void stash(const std::string& segment, Work& w);
  // executor_missing.cpp: peers that are lost
  void lose(const Instruction& i, Work& w, const PeerLost& lost);
  void go_without(const Instruction& i, Work& w);
  void make_void(Work& w);
  void send_void(const Instruction& i, Work& w);
  void discard(const Instruction& i, Work& w);
  void repeat_departure(const Instruction& i, const Work& w) const;
  void record(const std::string& event, const std::string& who, const Error& reason);
  bool reachable(const Edge& edge, std::uint32_t lane) const;
  bool replaceable(int party) const;
  std::string name_of(int party, std::uint32_t lane) const;
  Role role_of(int party) const { return setup_.plan.topology.parties[static_cast<std::size_t>(party)].role; }
  // executor.cpp: what computes
  void execute(const Instruction& i, Work& w);
  void load(int node, Work& w);
  void forward(int node, Work& w);
  void backward(int node, Work& w);
  void make_copies(std::uint64_t seed);
  void join(int node, Slots& slots);
  void split(int node, Slots& slots);
  void loss_and_gradient(int node, Work& w);
  void add_gradient(int node, int consumer, Tensor grad, Slots& slots);
  Tensor summed_gradient(int node, Slots& slots);
  Tensor& input(int node, int route, Slots& slots) const;
  enum class Finite : std::uint8_t { kNo, kYes };
  void judge_loss(const Work& w, double loss, Finite finite, const Tensor& outputs, const Tensor& labels);
  // executor_device.cpp: computation on a device, piece by piece
  void begin_recording(InFlight& flight);
  void end_recording(InFlight& flight);
  void attempt_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w);
  void run_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w);
  void settle_span(std::size_t turn, std::size_t begin, std::size_t end, Work& w);
  Span& span_of(const Work& w, std::size_t turn, std::size_t begin, Span& passing);
  void stage(std::size_t turn, std::size_t begin, std::size_t end, Span& span, Work& w);
  void look_ahead(std::size_t turn, const Work& w);
  void bring_parameters(const Instruction& i, Work& w);
  void bring_inputs(const Instruction& i, Span& span, Work& w);
  void bring(Tensor& t, const SlotName& name, Span& span, Work& w);
  Tensor bring(ByteSpan bytes, const Shape& shape, DType dtype, const SlotName& name, Span& span, Work& w);
  void decode_raw(Work& w);
  static void remember(Span& span, Slots& slots);
  static void recall(const Span& span, Slots& slots);
  void encode_sends(std::size_t turn, std::size_t end, Work& w);
  Tensor fetched(const Tensor& t);
  void loss_on_device(const Tensor& outputs, const Tensor& labels, double scale, Tensor& grad, Work& w);
  bool head_joins_loss(int node, const Work& w) const;
  void head_and_loss(int node, Work& w);
  void read_loss(Work& w);
  bool may_record() const;
  // executor_wire.cpp: what touches messages
  void fit(const Instruction& i, Work& w);
  void release(const Instruction& i, Work& w);
  void send(const Instruction& i, Work& w);
  Tensor& received_on_host(int edge, Work& w);
  std::vector<WireTensor> clear_payload(const Instruction& i, const Edge& edge, Work& w);
  void receive(const Instruction& i, Work& w);
  bool receive_ahead(const Instruction& i, Work& w);
  bool takes_mean(const Instruction& i, const Work& w) const;
  bool decodes_later(const Instruction& i, const Work& w) const;
  void accept(const Instruction& i, Message&& m, Work& w);
  Message take(const Edge& edge, Leg leg, Work& w);
  void check_message(const Message& m, const Edge& edge, Leg leg, const Work& w) const;
  Tensor decoded(Context& ctx, const Edge& edge, Leg leg, std::vector<Tensor> tensors) const;
  void store(const Instruction& i, Work& w);
  void fetch(const Instruction& i, Work& w);
  /// Numbers of the part's records in this party's ledger: rows of its own file, whatever the split; where there is no
  /// file, positions by lane and split.
  std::vector<std::int64_t> people_of(const Step& step, const Part& part) const;
  int peer_party(const Edge& edge) const;
  const Edge& edge_of(const Instruction& i) const { return setup_.plan.edges[static_cast<std::size_t>(i.edge)]; }

  PartySetup setup_;
  Context& ctx_;
  std::optional<Context> host_;  // where ctx_ is a device: for what is computed on the host all the same
  Context& on_host() { return host_ ? *host_ : ctx_; }
  std::unique_ptr<StepGraphs> graphs_;  // on a device, where steps are recorded
  std::unique_ptr<Staging> staging_;    // on a device; ends before graphs_, into whose memory it copies
  std::unique_ptr<Loss> loss_;
  std::map<std::string, std::vector<SegmentCopy>> copies_;
  std::map<std::pair<std::uint32_t, Split>, Scores> scores_;
  std::map<std::tuple<int, std::uint32_t, Split>, Tensor> store_;
  std::map<std::pair<int, std::uint32_t>, RoundingResidual> residuals_;  // by edge and lane
  std::map<int, RunningMean> means_;                                     // by edge, of rows received in training
  std::vector<bool> active_;                                             // per lane
  std::vector<bool> missing_;                                            // per party
  std::vector<std::string> dropped_;
  std::vector<float> rule_scores_;
  std::deque<std::unique_ptr<InFlight>> in_flight_;               // oldest first
  std::map<std::string, std::vector<ParamStore>> spare_stashes_;  // by segment
  std::int64_t taken_ahead_ = 0;
  std::int64_t now_ = 0;  // calls of advance()
  Decision place_;        // of the instruction that runs; turn -1 between steps
  std::chrono::duration<double> waited_{0.0};
};

}  // namespace sutura
