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

/// Server side: takes arrivals until every client process of the plan has said a HELLO that fits, then welcomes all.
/// A peer with another plan, name or version is told why and dropped; the others keep waiting.
/// Errors: kNetwork if somebody is missing at the deadline (named), kInterrupted when `next` gives up; those who have
/// joined are told.
class Reception {
 public:
  Reception(const Plan& plan, const Agreement& agreement, std::uint64_t run) : plan_(plan), agreement_(agreement), run_(run) {}
  SessionTerms wait_for_all(const std::function<std::unique_ptr<Arrival>(Deadline)>& next, Deadline deadline,
                       const std::function<void(const std::string&)>& log);
  /// Channel of (party, lane); party channels ignore the lane unless the party has count: many.
  Channel* channel(int party, int lane) const;

 private:
  SessionTerms gather(const std::function<std::unique_ptr<Arrival>(Deadline)>& next, Deadline deadline,
                 const std::function<void(const std::string&)>& log);

  const Plan& plan_;
  const Agreement& agreement_;
  std::uint64_t run_;
  std::map<std::string, std::unique_ptr<Channel>> channels_;
};

inline constexpr std::uint32_t kSessionProtocol = 1;

}  // namespace sutura
