#include "runtime/engine/session.h"

#include <algorithm>

#include "runtime/engine/executor_slots.h"

namespace sutura {
namespace {


std::vector<std::string> client_names(const Plan& plan) {
  std::vector<std::string> names;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    if (plan.topology.parties[p].role == Role::kClient)
      for (const std::string& n : plan.instances(static_cast<int>(p))) names.push_back(n);
  return names;
}

/// The party that a process of this name is of.
int party_named(const Plan& plan, const std::string& name) {
  if (plan.many_party >= 0 && std::ranges::find(plan.lanes, name) != plan.lanes.end()) return plan.many_party;
  return plan.party_index(name);
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
  const std::vector<std::uint64_t> nobody(3, 0);  // a site that has not joined yet
  for (const auto& row : w.sizes) s.sizes.push_back(row == nobody ? LaneSizes{} : lane_sizes(row));
  const bool told = hello.sizes.at(0) > 0 && !plan.aligned;  // numbers that the server must repeat
  for (std::size_t l = 0; told && l < w.sites.size(); ++l)
    require(w.sizes[l] == hello.sizes || (plan.many_party >= 0 && w.sites[l] != hello.site), Errc::kProtocol,
            "the WELCOME changes this site's own numbers of records");
  return s;
}

SessionTerms Reception::open(Deadline deadline, std::int64_t min_clients) {
  try {
    gather(deadline, min_clients);
    const std::vector<LaneSizes> sizes = lane_table();
    std::vector<std::string> names;
    for (const auto& [name, guest] : waiting_) names.push_back(name);
    for (const std::string& name : names) welcome(name, sizes);
    return {run_, sizes};
  } catch (const Error& e) {
    turn_away(e);
    throw;
  }
}

void Reception::gather(Deadline deadline, std::int64_t min_clients) {
  const std::vector<std::string> expected = client_names(plan_);
  while (waiting_.size() < expected.size()) {
    std::unique_ptr<Arrival> a = next_(deadline);
    if (a != nullptr) {
      receive_hello(*a);
      continue;
    }
    std::string missing;
    std::int64_t sites = 0;
    bool others = true;  // parties that are no replica: nobody can stand in for them
    for (const std::string& n : expected) {
      const bool replica = plan_.many_party >= 0 && std::ranges::find(plan_.lanes, n) != plan_.lanes.end();
      if (waiting_.contains(n)) {
        sites += replica ? 1 : 0;
        continue;
      }
      missing += (missing.empty() ? "" : ", ") + n;
      others = others && replica;
    }
    if (others && min_clients > 0 && sites >= min_clients) {
      log_("beginning without " + missing + ", which may join at the start of a later round");
      return;
    }
    throw Error(Errc::kNetwork, "still missing: " + missing);
  }
}

bool Reception::receive_hello(Arrival& a) {
  const std::vector<std::string> expected = client_names(plan_);
  try {
    auto answer = a.channel->receive(kControlTag, deadline_in(std::chrono::seconds(10)));
    require(std::holds_alternative<Message>(answer), Errc::kNetwork, "said nothing");
    const Hello hello = from_message<Hello>(std::get<Message>(answer));
    require(std::ranges::find(expected, a.name) != expected.end(), Errc::kAuthentication,
            "the site of this key is not part of the study");
    require(hello.protocol == kSessionProtocol, Errc::kPlanMismatch,
            "session protocol " + std::to_string(hello.protocol) + " there, " + std::to_string(kSessionProtocol) + " here");
    require(hello.site == a.name, Errc::kAuthentication, "the key belongs to another site than the one named in HELLO");
    require(hello.plan_digest == agreement_.digest, Errc::kPlanMismatch, "the study differs from the server's");
    if (holds_records(plan_, party_named(plan_, a.name)))
      lane_sizes(hello.sizes);
    else
      require(hello.sizes == std::vector<std::uint64_t>(3, 0), Errc::kProtocol, "told numbers of records without holding any");
    // The endpoint lets a second session of a site begin only when the first is gone: the site has restarted.
    const bool again = waiting_.contains(a.name) || members_.contains(a.name);
    waiting_[a.name] = {hello, std::move(a.channel)};
    std::size_t there = waiting_.size();
    for (const auto& [name, guest] : members_) there += waiting_.contains(name) ? 0 : 1;
    log_(a.name + (again ? " joined again (" : " joined (") + std::to_string(there) + " of " + std::to_string(expected.size()) + ")");
    return true;
  } catch (const Error& e) {
    log_("refused " + escaped(a.name) + ": " + e.what());
    if (a.channel != nullptr) send_reject(*a.channel, e, e.code() == Errc::kPlanMismatch ? agreement_.canonical : std::string());
    return false;
  }
}

std::vector<LaneSizes> Reception::lane_table() const {
  std::vector<LaneSizes> sizes;
  for (const std::string& lane : plan_.lanes) {
    if (plan_.many_party >= 0) {
      const auto guest = waiting_.find(lane);
      sizes.push_back(guest == waiting_.end() ? LaneSizes{} : lane_sizes(guest->second.hello.sizes));
      continue;
    }
    std::vector<LaneSizes> told;
    for (const auto& [name, guest] : waiting_)
      if (holds_records(plan_, party_named(plan_, name))) told.push_back(lane_sizes(guest.hello.sizes));
    require(!told.empty(), Errc::kData, "no party holds records");
    // Sizes of unaligned files are those of the sets; what they have in common is found next.
    for (const LaneSizes& t : plan_.aligned ? std::vector<LaneSizes>{} : told)
      require(t.train == told[0].train && t.validation == told[0].validation && t.test == told[0].test, Errc::kData,
              "the parties of a vertical study hold different numbers of records: align them first");
    sizes.push_back(told[0]);
  }
  return sizes;
}

void Reception::welcome(const std::string& name, const std::vector<LaneSizes>& sizes) {
  auto guest = waiting_.extract(name);
  require(!guest.empty(), Errc::kInternal, "nobody of this name waits to be welcomed");
  Welcome w{run_, guest.mapped().hello.nonce, plan_.lanes, {}};
  for (const LaneSizes& l : sizes)
    w.sizes.push_back({static_cast<std::uint64_t>(l.train), static_cast<std::uint64_t>(l.validation), static_cast<std::uint64_t>(l.test)});
  if (const auto old = members_.find(name); old != members_.end()) gone_.push_back(std::move(old->second));
  Guest& member = members_[name] = std::move(guest.mapped());
  try {
    send_or_lose(*member.channel, to_message(w), deadline_in(std::chrono::seconds(30)), "WELCOME");
  } catch (const PeerLost& lost) {
    log_("lost " + name + " before the start: " + lost.what());  // its lane ends at its first message that does not come
  }
}

std::vector<std::string> Reception::poll(Deadline deadline) {
  do {
    std::unique_ptr<Arrival> a = next_(deadline);
    if (a == nullptr) break;
    receive_hello(*a);
  } while (waiting_.empty());
  std::vector<std::string> names;
  for (const auto& [name, guest] : waiting_) names.push_back(name);
  return names;
}

LaneSizes Reception::told(const std::string& name) const {
  const auto waits = waiting_.find(name);
  return lane_sizes((waits != waiting_.end() ? waits->second : members_.at(name)).hello.sizes);
}

void Reception::turn_away(const Error& reason) {
  for (const auto& [name, guest] : waiting_) send_reject(*guest.channel, reason);
  waiting_.clear();
}

Channel* Reception::channel(const std::string& name) const {
  const auto it = members_.find(name);
  return it == members_.end() ? nullptr : it->second.channel.get();
}

Channel* Reception::channel(int party, int lane) const {
  const auto names = plan_.instances(party);
  return channel(party == plan_.many_party ? names.at(static_cast<std::size_t>(lane)) : names[0]);
}

}  // namespace sutura
