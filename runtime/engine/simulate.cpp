#include <algorithm>
#include <exception>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "runtime/engine/run_folder.h"
#include "runtime/engine/study_run.h"
#include "transport/inproc.h"
#include "transport/security.h"

namespace sutura {
namespace {

/// One simulated process.
struct Actor {
  Instance self;
  SiteData data;  // empty at the server
  std::unique_ptr<Channel> to_server;
  PartyResult result;
  std::optional<SealKeys> keys;  // parties that seal for each other
};

/// What a recorded run says of who joined and left; without a record everybody is there from the start.
class Replay {
 public:
  explicit Replay(const std::filesystem::path& file) {
    if (!file.empty()) decisions_ = read_decisions(file);
  }
  bool begins(const std::string& name) const {
    // Parties that are no replica are not recorded at the start: a run cannot begin without them.
    return count(name, "absent") == 0;
  }
  /// A site that was never there sends nothing and changes nothing.
  bool takes_part(const std::string& name) const { return begins(name) || count(name, "joined") > 0; }
  bool left(const std::string& name) const { return count(name, "left") + count(name, "missing") > 0; }
  /// Times that a process of this name took part; the first needs no record.
  int times_joined(const std::string& name) const {
    int times = begins(name) ? 1 : 0;
    for (const Decision& d : decisions_) times += d.event == "joined" && d.who == name && d.round > 0 ? 1 : 0;
    return std::max(1, times);
  }

 private:
  int count(const std::string& name, const std::string& event) const {
    return static_cast<int>(
        std::ranges::count_if(decisions_, [&](const Decision& d) { return d.event == event && d.who == name; }));
  }
  std::vector<Decision> decisions_;
};

bool is_server(const Plan& plan, int party) {
  return plan.topology.parties[static_cast<std::size_t>(party)].role == Role::kServer;
}

/// Fresh keys for one simulated run, each party knowing the others' public ones; also of sites that never come: what is sealed
/// is sealed for all.
void make_seal_keys(const Plan& plan, std::vector<Actor>& actors) {
  Roster all;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p)
    for (const std::string& name : plan.instances(static_cast<int>(p)))
      all[name] = Identity(new_key_pair().secret_z85).open_key();
  for (Actor& a : actors) {
    a.keys.emplace(SealKeys{Identity(new_key_pair().secret_z85), {}});
    all[a.self.name] = a.keys->self.open_key();
  }
  for (Actor& a : actors) a.keys->peers = all;
}

/// Mean training loss over the records of two replicas.
double pooled_mean(const EpochRecord& a, const EpochRecord& b) {
  const auto na = static_cast<double>(a.records), nb = static_cast<double>(b.records);
  return (a.train_loss.value_or(0.0) * na + b.train_loss.value_or(0.0) * nb) / std::max(1.0, na + nb);
}

/// Validation of two replicas: what is a mean over records stays one, the rest only the scores could tell.
std::optional<Evaluation> pooled_mean(const std::optional<Evaluation>& a, const std::optional<Evaluation>& b) {
  if (!a || !b) return a ? a : b;
  const auto na = static_cast<double>(a->records), nb = static_cast<double>(b->records);
  Evaluation both;
  both.records = a->records + b->records;
  both.loss = (a->loss * na + b->loss * nb) / (na + nb);
  if (a->accuracy && b->accuracy) both.accuracy = (*a->accuracy * na + *b->accuracy * nb) / (na + nb);
  return both;
}

/// Scores of all data holders as one; figures and controls on the records of all who came to their end.
PartyResult pooled(const Prepared& prepared, std::vector<Actor>& actors) {
  const Plan& plan = prepared.plan;
  const int loss_party = plan.party_of(plan.loss_node);
  auto holder =
      std::ranges::find_if(actors, [&](const Actor& a) { return a.self.party == loss_party && !a.result.epochs.empty(); });
  if (holder == actors.end()) holder = std::ranges::find(actors, loss_party, [](const Actor& a) { return a.self.party; });
  PartyResult all = std::move(holder->result);
  for (const Actor& a : actors) all.interrupted = all.interrupted || a.result.interrupted;
  const bool local = std::ranges::any_of(actors, [](const Actor& a) { return a.result.local_evaluation; });
  const bool at_replicas = loss_party == plan.many_party;

  if (at_replicas || local)  // each site knows its own figures
    for (const Actor& a : actors)
      if (&a != &*holder) all.sites.insert(all.sites.end(), a.result.sites.begin(), a.result.sites.end());
  for (const Actor& a : actors) all.epsilon_spent = std::max(all.epsilon_spent, a.result.epsilon_spent);
  for (const Actor& a : actors)  // ledgers are with the data owners
    for (std::size_t e = 0; e < all.epochs.size() && !a.result.epochs.empty(); ++e)
      all.epochs[e].epsilon = std::max(all.epochs[e].epsilon, a.result.epochs[std::min(e, a.result.epochs.size() - 1)].epsilon);
  if (at_replicas)
    for (const Actor& a : actors) {
      if (&a == &*holder || a.self.party != loss_party) continue;
      all.records += a.result.records;
      for (EpochRecord& e : all.epochs) {
        const auto same = std::ranges::find(a.result.epochs, e.epoch, &EpochRecord::epoch);  // a site may have joined late
        if (same == a.result.epochs.end()) continue;
        e.train_loss = pooled_mean(e, *same);
        e.validation = pooled_mean(e.validation, same->validation);
        e.records += same->records;
        e.traffic.up_bytes += same->traffic.up_bytes;
        e.traffic.down_bytes += same->traffic.down_bytes;
      }
    }
  if (!local && !at_replicas) return all;

  Scores validation, test;
  std::map<std::pair<std::uint32_t, Split>, Scores> by_lane;
  std::vector<float> rule;
  std::vector<std::vector<float>> controls;
  for (const Actor& a : actors) {
    const PartyResult& r = &a == &*holder ? all : a.result;
    if (local && !r.local_evaluation) continue;
    for (const auto& [key, s] : r.scores) {
      by_lane[key] = s;
      Scores& target = key.second == Split::kValidation ? validation : test;
      target.values.insert(target.values.end(), s.values.begin(), s.values.end());
      target.labels.insert(target.labels.end(), s.labels.begin(), s.labels.end());
    }
    rule.insert(rule.end(), r.rule_scores.begin(), r.rule_scores.end());
    controls.resize(std::max(controls.size(), r.control_scores.size()));
    for (std::size_t k = 0; k < r.control_scores.size(); ++k)
      controls[k].insert(controls[k].end(), r.control_scores[k].begin(), r.control_scores[k].end());
  }
  all.scores = std::move(by_lane);
  if (!test.labels.empty()) {
    all.test = evaluate(test, &validation, prepared.study().training.loss);
    all.controls = controls_of(test.labels, rule, controls);
  }
  all.local_evaluation = local;
  return all;
}

}  // namespace

PartyResult simulate(const Prepared& prepared, const std::vector<SiteData>& sites, const std::filesystem::path& folder,
                     const RunHooks& hooks, const std::filesystem::path& replay) {
  const Plan& plan = prepared.plan;
  const Replay recorded(replay);
  std::vector<Actor> actors;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    const auto names = plan.instances(static_cast<int>(p));
    for (std::size_t i = 0; i < names.size(); ++i) {
      const bool many = static_cast<int>(p) == plan.many_party;
      if (!recorded.takes_part(names[i])) continue;
      Actor a;
      a.self = {static_cast<int>(p), many ? static_cast<int>(i) : -1, names[i]};
      if (holds_records(plan, static_cast<int>(p)))
        a.data = party_view(prepared.study(), sites.at(many ? i : 0), plan.topology.parties[p].name);
      actors.push_back(std::move(a));
    }
  }
  if (seals(plan)) make_seal_keys(plan, actors);
  Baton baton;
  std::stop_source stop;
  std::vector<std::unique_ptr<Arrival>> arrivals;
  const auto connect = [&](Actor& a) {
    ChannelPair pair = make_channel_pair({.window = plan.window, .baton = &baton, .stop = stop.get_token()});
    a.to_server = std::move(pair.first);
    arrivals.push_back(std::make_unique<Arrival>(Arrival{a.self.name, std::move(pair.second)}));
  };
  const bool networked = std::ranges::any_of(actors, [&](const Actor& a) { return is_server(plan, a.self.party); });
  if (networked)
    for (Actor& a : actors)
      if (!is_server(plan, a.self.party)) connect(a);

  // The party that holds the loss shows progress; in release-once that is the server, which trains.
  const int watched = plan.party_of(plan.loss_node);
  std::exception_ptr failure;
  std::mutex failure_lock;
  const auto run_actor = [&](Actor& a) {
    PartyRun run;
    run.self = a.self;
    run.data = a.data.train.size() > 0 ? &a.data : nullptr;
    run.folder = folder / a.self.name;
    run.keys = a.keys ? &*a.keys : nullptr;
    RunHooks own;
    own.stop_requested = hooks.stop_requested;
    own.on_decision = hooks.on_decision;
    if (a.self.party == watched && a.self.lane <= 0) own = hooks;
    Hello hello;
    hello.protocol = kSessionProtocol;
    hello.site = a.self.name;
    hello.plan_digest = prepared.agreement.digest;
    hello.sizes = told_sizes(plan, a.data);
    const Deadline patience = deadline_in(std::chrono::hours(1));
    if (!networked) {
      run.session.sizes = {{a.data.train.size(), a.data.validation.size(), a.data.test.size()}};
      a.result = run_and_write(prepared, run, own);
      return;
    }
    run.replay = is_server(plan, a.self.party) ? replay : std::filesystem::path();
    if (!is_server(plan, a.self.party)) {
      run.session = join_session(
          *a.to_server, hello, plan, [](const std::string&) { return std::string("plans differ"); }, patience);
      run.peer = [&a](int, int) { return a.to_server.get(); };
      a.result = run_and_write(prepared, run, own);
      return;
    }
    bool open = false;
    const auto next = [&](Deadline deadline) -> std::unique_ptr<Arrival> {
      for (;;) {
        const auto due =
            std::ranges::find_if(arrivals, [&](const auto& arrival) { return open || recorded.begins(arrival->name); });
        if (due != arrivals.end()) {
          std::unique_ptr<Arrival> arrival = std::move(*due);
          arrivals.erase(due);
          return arrival;
        }
        if (!open || std::chrono::steady_clock::now() >= deadline) return nullptr;
        baton.release();  // a site that comes back needs its turn to connect
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        baton.acquire();
      }
    };
    Reception reception(plan, prepared.agreement, prepared.study().seed, next, [](const std::string&) {});
    run.session = reception.open(patience, replay.empty() ? 0 : 1);
    open = true;
    run.reception = &reception;
    run.peer = [&reception](int party, int lane) { return reception.channel(party, lane); };
    a.result = run_and_write(prepared, run, own);
  };
  {
    std::vector<std::jthread> threads;
    for (Actor& a : actors)
      threads.emplace_back([&] {
        baton.acquire();
        try {
          for (int joined = 1;; ++joined) {
            try {
              run_actor(a);
              break;
            } catch (const Error&) {
              if (!recorded.left(a.self.name)) throw;  // this departure was to happen
              if (joined >= recorded.times_joined(a.self.name)) break;
              connect(a);
            }
          }
        } catch (...) {
          const std::scoped_lock lock(failure_lock);
          if (!failure) failure = std::current_exception();
          stop.request_stop();
        }
        a.to_server.reset();
        baton.release();
      });
  }
  if (failure) std::rethrow_exception(failure);
  PartyResult result = pooled(prepared, actors);
  RunFolder all(folder, prepared);
  for (const EpochRecord& r : result.epochs) all.add(r);
  all.write_summary(summary_of(prepared, result, "all parties in one process"));
  return result;
}

}  // namespace sutura
