#include "runtime/engine/session.h"

#include <algorithm>

#include "runtime/engine/executor_slots.h"

namespace sutura {
namespace {

const Tag kControlTag{0xffff, Leg::kControl, 0, 0};

std::vector<std::string> client_names(const Plan& plan) {
  std::vector<std::string> names;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    if (plan.topology.parties[p].role == Role::kClient)
      for (const std::string& n : plan.instances(static_cast<int>(p))) names.push_back(n);
  return names;
}

LaneSizes lane_sizes(const std::vector<std::uint64_t>& v) {
  constexpr std::uint64_t kMost = std::uint64_t{1} << 28;  // what a ledger can count
  require(v.size() == 3 && v[0] > 0 && std::ranges::all_of(v, [](std::uint64_t n) { return n < kMost; }), Errc::kProtocol,
          "the told numbers of records are not three, or there are none to train on, or absurdly many");
  return {static_cast<std::int64_t>(v[0]), static_cast<std::int64_t>(v[1]), static_cast<std::int64_t>(v[2])};
}

}  // namespace

std::string outcome_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::kOk: return "ok";
    case Outcome::kTimeout: return "the deadline passed";
    case Outcome::kPeerGone: return "the peer is gone";
    case Outcome::kStopped: return "stopped";
  }
  return "unknown outcome";
}

void send_reject(Channel& channel, const Error& reason, const std::string& canonical_plan) {
  try {
    Message m = to_message(Reject{reason.code(), false, reason.what(), canonical_plan});
    static_cast<void>(channel.send(std::move(m), deadline_in(std::chrono::seconds(2))));
  } catch (const std::exception&) {
    // The peer is being dropped for another reason already.
  }
}

void send_or_lose(Channel& channel, Message&& message, Deadline deadline, const std::string& what) {
  Outcome outcome = Outcome::kOk;
  try {
    outcome = channel.send(std::move(message), deadline);
  } catch (const Error& e) {
    throw PeerLost(e.code(), e.what());
  }
  if (outcome != Outcome::kOk)
    throw PeerLost(outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork, outcome_text(outcome) + " on sending " + what);
}

SessionTerms join_session(Channel& server, const Hello& hello, const Plan& plan,
                     const std::function<std::string(const std::string&)>& explain, Deadline deadline) {
  Outcome sent = server.send(to_message(hello), deadline);
  require(sent == Outcome::kOk, sent == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork,
          "cannot reach the server: " + outcome_text(sent));
  auto answer = server.receive(kControlTag, deadline);
  if (const auto* outcome = std::get_if<Outcome>(&answer))
    throw Error(*outcome == Outcome::kStopped ? Errc::kInterrupted : Errc::kNetwork,
                "no WELCOME from the server: " + outcome_text(*outcome));
  const Message& m = std::get<Message>(answer);
  if (m.type == MessageType::kReject) {
    const Reject r = from_message<Reject>(m);
    if (r.code == Errc::kPlanMismatch && !r.canonical_plan.empty()) throw Error(r.code, explain(r.canonical_plan));
    throw refusal(r);
  }
  const Welcome w = from_message<Welcome>(m);
  require(w.nonce == hello.nonce, Errc::kProtocol, "the WELCOME answers another HELLO");
  require(w.sites == plan.lanes && w.sizes.size() == w.sites.size(), Errc::kProtocol, "the WELCOME names other sites");
  SessionTerms s{w.run, {}};
  for (const auto& row : w.sizes) s.sizes.push_back(lane_sizes(row));
  for (std::size_t l = 0; l < w.sites.size(); ++l)
    require(w.sizes[l] == hello.sizes || (plan.many_party >= 0 && w.sites[l] != hello.site), Errc::kProtocol,
            "the WELCOME changes this site's own numbers of records");
  return s;
}

SessionTerms Reception::wait_for_all(const std::function<std::unique_ptr<Arrival>(Deadline)>& next, Deadline deadline,
                                const std::function<void(const std::string&)>& log) {
  try {
    return gather(next, deadline, log);
  } catch (const Error& e) {
    for (const auto& [name, channel] : channels_) send_reject(*channel, e);
    throw;
  }
}

SessionTerms Reception::gather(const std::function<std::unique_ptr<Arrival>(Deadline)>& next, Deadline deadline,
                          const std::function<void(const std::string&)>& log) {
  const std::vector<std::string> expected = client_names(plan_);
  std::map<std::string, Hello> hellos;
  while (hellos.size() < expected.size()) {
    std::unique_ptr<Arrival> a = next(deadline);
    if (a == nullptr) {
      std::string missing;
      for (const std::string& n : expected)
        if (!hellos.contains(n)) missing += (missing.empty() ? "" : ", ") + n;
      throw Error(Errc::kNetwork, "still missing: " + missing);
    }
    try {
      auto answer = a->channel->receive(kControlTag, deadline_in(std::chrono::seconds(10)));
      require(std::holds_alternative<Message>(answer), Errc::kNetwork, "said nothing");
      const Hello hello = from_message<Hello>(std::get<Message>(answer));
      require(std::ranges::find(expected, a->name) != expected.end(), Errc::kAuthentication,
              "the site of this key is not part of the study");
      require(hello.protocol == kSessionProtocol, Errc::kPlanMismatch,
              "session protocol " + std::to_string(hello.protocol) + " there, " + std::to_string(kSessionProtocol) + " here");
      require(hello.site == a->name, Errc::kAuthentication, "the key belongs to another site than the one named in HELLO");
      require(hello.plan_digest == agreement_.digest, Errc::kPlanMismatch, "the study differs from the server's");
      lane_sizes(hello.sizes);
      // The endpoint lets a second session of a site begin only when the first is gone: the site has restarted.
      const bool again = hellos.contains(a->name);
      hellos[a->name] = hello;
      channels_[a->name] = std::move(a->channel);
      log(a->name + (again ? " joined again (" : " joined (") + std::to_string(hellos.size()) + " of " + std::to_string(expected.size()) + ")");
    } catch (const Error& e) {
      log("refused " + escaped(a->name) + ": " + e.what());
      if (a->channel != nullptr)
        send_reject(*a->channel, e, e.code() == Errc::kPlanMismatch ? agreement_.canonical : std::string());
    }
  }
  SessionTerms s{run_, {}};
  for (const std::string& lane : plan_.lanes) {
    std::vector<LaneSizes> told;
    if (plan_.many_party >= 0)
      told.push_back(lane_sizes(hellos.at(lane).sizes));
    else
      for (const auto& [name, hello] : hellos) told.push_back(lane_sizes(hello.sizes));
    for (const LaneSizes& t : told)
      require(t.train == told[0].train && t.validation == told[0].validation && t.test == told[0].test, Errc::kData,
              "the parties of a vertical study hold different numbers of records: align them first");
    s.sizes.push_back(told[0]);
  }
  for (const auto& [name, hello] : hellos) {
    Welcome w{run_, hello.nonce, plan_.lanes, {}};
    for (const LaneSizes& l : s.sizes)
      w.sizes.push_back({static_cast<std::uint64_t>(l.train), static_cast<std::uint64_t>(l.validation),
                         static_cast<std::uint64_t>(l.test)});
    try {
      send_or_lose(*channels_.at(name), to_message(w), deadline, "WELCOME");
    } catch (const PeerLost& lost) {
      log("lost " + name + " before the start: " + lost.what());  // its lane ends at its first message that does not come
    }
  }
  return s;
}

Channel* Reception::channel(int party, int lane) const {
  const auto names = plan_.instances(party);
  const auto it = channels_.find(party == plan_.many_party ? names.at(static_cast<std::size_t>(lane)) : names[0]);
  return it == channels_.end() ? nullptr : it->second.get();
}

}  // namespace sutura
