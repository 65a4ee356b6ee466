#pragma once
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "runtime/engine/executor.h"
#include "tests/equivalence/split_run.h"

/// The executors of a study, each on a thread of its own, over channels in this process. There is no trainer: a job says
/// what each process does, so that tests can stop one in the middle of a step.
namespace sutura::testing {

/// What happens to a process at its `message`-th message to the server (from 1).
struct Fault {
  enum class Kind {
    kNone,
    kDies,      ///< the process ends instead of sending it
    kGoesMute,  ///< from then on nothing that it sends arrives
    kEmpties,   ///< that message has no tensors
  } kind = Kind::kNone;
  int message = 0;
};

struct Member {
  Instance self;
  std::vector<StepResult> results;        ///< of training steps that ended
  std::map<std::string, Tensor> weights;  ///< by segment, flat
  std::map<std::pair<std::uint32_t, Split>, Scores> scores;
  std::vector<std::string> dropped;
  std::string error;  ///< what ended it; empty: it came to its end
  double waited = 0.0;
  std::int64_t replays = 0;  ///< on a device: pieces of steps that were replayed
  std::int64_t taken_ahead = 0;
};

class Crew {
 public:
  /// `change` sets what the study file cannot say yet. Errors: what load_study and prepare refuse.
  Crew(const std::filesystem::path& folder, const StudyText& text, const std::vector<SiteData>& sites,
       const std::function<void(StudyConfig&)>& change = {});

  std::map<std::string, Fault> faults;                   ///< by process
  std::function<void(const std::string& process)> sent;  ///< a client has sent a message to the server; on the client's thread
  std::chrono::milliseconds silence{60000};              ///< of the server
  Decisions* decisions = nullptr;                        ///< of the server
  std::function<Context(const Instance&)> context = [](const Instance&) { return Context(Backend::kReference); };
  Recording recording = Recording::kOn;  ///< of processes that compute on a device

  using Job = std::function<void(Executor&, Member&)>;
  /// Every process does its job; by name of the process.
  std::map<std::string, Member> work(const Job& job);
  /// The job of `epochs` epochs of training, with finish() at the end.
  Job training(std::int64_t epochs) const;
  /// Gives a client whose channel has ended a new one (called by the client) ...
  void connect_again(const std::string& client);
  /// ... for which the server waits.
  void await(const std::string& client);

  const Prepared& prepared() const { return *prepared_; }
  const std::vector<LaneSizes>& sizes() const { return sizes_; }
  const StudyConfig& study() const { return loaded_->config; }

 private:
  Channel* at_server(const std::string& client);
  void run_member(Member& m, const Job& job);

  std::unique_ptr<LoadedStudy> loaded_;
  std::unique_ptr<Prepared> prepared_;
  std::vector<SiteData> views_;  // per member
  std::vector<Instance> instances_;
  std::vector<LaneSizes> sizes_;
  std::mutex mutex_;
  std::condition_variable joined_;
  struct Line {
    std::unique_ptr<Channel> client, server;
    std::unique_ptr<Channel> arrived;  // the server's end of a client that has come again, until it looks
  };
  std::map<std::string, Line> lines_;
};

/// Trains the steps of an epoch and keeps what ended.
void train_epoch(Executor& executor, Member& member, std::int64_t epoch);
/// Two members' weights; empty if all bits are the same.
std::string difference(const Member& a, const Member& b);

}  // namespace sutura::testing
