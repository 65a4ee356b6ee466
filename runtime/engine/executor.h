#pragma once
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "models/losses/loss.h"
#include "models/optimizers/optimizer.h"
#include "runtime/data/dataset.h"
#include "runtime/engine/decisions.h"
#include "runtime/engine/steps.h"
#include "kernels/ops/release_rows/release_rows.h"
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

struct StepResult {
  double loss = 0.0;  ///< mean over the step's records, summed over this party's parts; 0 where the loss is elsewhere
  std::int64_t records = 0;  ///< of the parts that ran here
};

struct StepDone {
  Step step;
  StepResult result;
};

/// Everything a party needs to run programs.
struct PartySetup {
  const StudyConfig& study;
  const Plan& plan;
  const Segments& segments;
  StepPlanner& planner;
  Instance self;
  const SiteData* data = nullptr;              ///< data holders
  Guard* guard = nullptr;                      ///< parties that release guarded rows
  RowSettings rows{};                          ///< of the study's guard, where it has one: decoding needs no key
  std::int64_t classes = 0;                    ///< 0: regression
  std::function<Channel*(int party, int lane)> peer;
  /// Longest wait for one message of a lane, at the party that serves all lanes: a silent site is dropped and the others go
  /// on. Everybody else waits as long as the link says that the peer lives.
  std::chrono::milliseconds silence{600000};
  Decisions* decisions = nullptr;  ///< records who left and joined; nullptr: nobody keeps them
};

/// Runs a party's straight-line programs, one step at a time: turn by turn, and inside a turn micro-batch by micro-batch
/// in (lane, micro-batch) order, so that sums of gradients have one order everywhere.
///
/// A lane whose peer is lost or breaks the protocol is dropped and the others go on (at the party that serves all lanes);
/// a lost server ends the run. Threads: one.
class Executor {
 public:
  Executor(const PartySetup& setup, Context& ctx);

  /// Runs one step of any purpose; training steps end with the optimizers' update.
  std::vector<StepDone> run(const Step& step);
  std::vector<StepDone> finish() { return {}; }
  bool present(int) const { return true; }
  void admit(int) {}
  void admit_lane(std::uint32_t lane) { active_[lane] = true; }
  void leave_out(std::uint32_t lane) { active_[lane] = false; }
  void lose(int, const Error& e) { throw e; }
  double waiting_seconds() const { return 0.0; }

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
  /// Ends a lane's part in the run and tells its peer why.
  void drop(std::uint32_t lane, const Error& reason);
  const std::vector<std::string>& dropped() const { return dropped_; }

  /// Rows received once and kept (release-once): by edge and split.
  Tensor& stored_rows(int edge, std::uint32_t lane, Split split) { return store_[{edge, lane, split}]; }
  Channel& channel(int party, std::uint32_t lane) const;
  /// Until when this party waits for a peer's next message.
  Deadline patience() const;
  /// Puts back weights that snapshot() took.
  void restore(const std::map<std::string, Tensor>& weights);
  /// Copies of the weights of every segment held here (the first copy of each).
  std::map<std::string, Tensor> snapshot();
  const PartySetup& setup() const { return setup_; }
  Context& context() { return ctx_; }
  /// Scores of the no-data rule on the records of the last local evaluation pass over the test split.
  const std::vector<float>& rule_scores() const { return rule_scores_; }

 private:
  struct Slots;
  void execute(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void load(int node, const Step& step, const Part& part, Slots& slots);
  void forward(int node, const Step& step, const Part& part, Slots& slots);
  void backward(int node, const Part& part, Slots& slots);
  void fit(const Instruction& i, const Step& step, Slots& slots);
  void make_copies(std::uint64_t seed);
  void join(int node, Slots& slots);
  void split(int node, Slots& slots);
  void loss_and_gradient(int node, const Step& step, const Part& part, Slots& slots);
  void release(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void send(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void receive(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void store(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void fetch(const Instruction& i, const Step& step, const Part& part, Slots& slots);
  void add_gradient(int node, int consumer, Tensor grad, Slots& slots);
  Tensor summed_gradient(int node, Slots& slots);
  const Tensor& input(int node, int route, Slots& slots) const;
  Tensor plain_payload(const Edge& edge, Leg leg, const Tensor& value);
  SegmentCopy& copy_for(const std::string& segment, std::uint32_t lane);
  void update(const Step& step);
  bool mine(const Part& part) const;
  /// Numbers of the part's records in this party's ledger: rows of its own file, whatever the split; where there is no
  /// file, positions by lane and split.
  std::vector<std::int64_t> people_of(const Step& step, const Part& part) const;
  int peer_party(const Edge& edge) const;

  PartySetup setup_;
  Context& ctx_;
  std::unique_ptr<Loss> loss_;
  std::map<std::string, std::vector<SegmentCopy>> copies_;
  std::map<std::pair<std::uint32_t, Split>, Scores> scores_;
  std::map<std::tuple<int, std::uint32_t, Split>, Tensor> store_;
  std::vector<bool> active_;
  std::vector<std::string> dropped_;
  std::vector<float> rule_scores_;
  StepResult result_;
};

}  // namespace sutura
