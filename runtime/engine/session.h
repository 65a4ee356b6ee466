#pragma once
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/error.h"
#include "runtime/engine/steps.h"
#include "runtime/topology/plan.h"
#include "transport/channel.h"
#include "transport/control.h"

namespace sutura {

/// "the peer is gone", "the deadline passed", "stopped".
std::string outcome_text(Outcome outcome);
/// Tells a peer why its session ends; best effort, never throws.
void send_reject(Channel& channel, const Error& reason, const std::string& canonical_plan = {});

/// What both ends agree on before any record is read for training.
struct SessionTerms {
  std::uint64_t run = 0;
  std::vector<LaneSizes> sizes;  ///< per lane
};

/// The agreed plan of a study as each end holds it.
struct Agreement {
  Digest digest{};
  std::string canonical;  ///< sorted "key = value" lines
};

/// Client side: says HELLO and waits for WELCOME. `explain(server_canonical)` turns a plan mismatch into a message that names
/// the first differing key with its place. Errors: what the server's refusal says (kPlanMismatch, kAuthentication, ...),
/// kNetwork on silence.
SessionTerms join_session(Channel& server, const Hello& hello, const Plan& plan, const std::function<std::string(const std::string&)>& explain,
                     Deadline deadline);

/// A peer that has connected: the name that its key stands for, and its channel.
struct Arrival {
  std::string name;
  std::unique_ptr<Channel> channel;
};

/// Server side: who has said a HELLO that fits, and their channels. A peer with another plan, name or version is told why and
/// dropped; the others keep waiting.
class Reception {
 public:
  /// The next peer that connected, or nullptr at the deadline. Errors: kInterrupted when somebody wants the run to stop.
  using Next = std::function<std::unique_ptr<Arrival>(Deadline)>;

  Reception(const Plan& plan, const Agreement& agreement, std::uint64_t run, Next next,
            std::function<void(const std::string&)> log)
      : plan_(plan), agreement_(agreement), run_(run), next_(std::move(next)), log_(std::move(log)) {}

  /// Takes arrivals until every client process of the plan is there, or until the deadline when at least `min_clients` sites
  /// are (0: all of them); then welcomes them. Sites that did not come have sizes of 0.
  /// Errors: kNetwork if somebody is missing at the deadline (named), kInterrupted; those who have joined are told.
  SessionTerms open(Deadline deadline, std::int64_t min_clients);
  /// Takes arrivals of an open run until `deadline`; they wait for welcome(). Returns at once when somebody fits.
  std::vector<std::string> poll(Deadline deadline);
  /// Lets a process that poll() named into the run, with the sizes of all lanes; from now on channel() is its channel.
  void welcome(const std::string& name, const std::vector<LaneSizes>& sizes);
  /// Numbers of records that a process told in its HELLO.
  LaneSizes told(const std::string& name) const;
  /// Channel of (party, lane); party channels ignore the lane unless the party has count: many. nullptr: never joined.
  Channel* channel(int party, int lane) const;
  /// The same by the name of the process.
  Channel* channel(const std::string& name) const;
  /// Ends the wait of everybody who is not in the run yet.
  void turn_away(const Error& reason);

 private:
  struct Guest {
    Hello hello;
    std::unique_ptr<Channel> channel;
  };
  void gather(Deadline deadline, std::int64_t min_clients);
  std::vector<LaneSizes> lane_table() const;
  /// Reads and checks an arrival's HELLO; true if it now waits.
  bool receive_hello(Arrival& arrival);

  const Plan& plan_;
  const Agreement& agreement_;
  std::uint64_t run_;
  Next next_;
  std::function<void(const std::string&)> log_;
  std::map<std::string, Guest> waiting_;  ///< said a HELLO that fits, not welcomed yet
  std::map<std::string, Guest> members_;
  std::vector<Guest> gone_;  ///< earlier sessions of members; their channels may still be referred to
};

/// Where control messages (reports, round starts) are received.
inline const Tag kControlTag{0xffff, Leg::kControl, 0, 0};

inline constexpr std::uint32_t kSessionProtocol = 2;

}  // namespace sutura
