#include "runtime/engine/rounds.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "runtime/engine/exchange.h"

namespace sutura {
namespace {

using nlohmann::json;

json sizes_json(const std::vector<LaneSizes>& sizes) {
  json rows = json::array();
  for (const LaneSizes& s : sizes) rows.push_back({s.train, s.validation, s.test});
  return rows;
}

std::vector<LaneSizes> sizes_of(const json& rows, std::size_t lanes) {
  constexpr std::int64_t kMost = std::int64_t{1} << 28;
  require(rows.is_array() && rows.size() == lanes, Errc::kProtocol, "the round's list of sites has another length");
  std::vector<LaneSizes> sizes;
  for (const json& row : rows) {
    const bool numbers = row.is_array() && row.size() == 3 && std::ranges::all_of(row, [](const json& v) {
                           return v.is_number_integer() && v.get<std::int64_t>() >= 0 && v.get<std::int64_t>() < kMost;
                         });
    require(numbers, Errc::kProtocol, "the round's numbers of records are not three counts");
    sizes.push_back({row[0].get<std::int64_t>(), row[1].get<std::int64_t>(), row[2].get<std::int64_t>()});
  }
  return sizes;
}

/// With what a replica begins that joins late, in words.
std::string beginnings(const PartySetup& setup) {
  const ScheduleConfig& schedule = setup.study.schedule;
  const auto among = [](const std::vector<std::string>& names, const std::string& s) { return std::ranges::find(names, s) != names.end(); };
  std::string text;
  for (std::size_t n = 0; n < setup.plan.topology.nodes.size(); ++n) {
    const NodeConfig& node = setup.plan.topology.nodes[n];
    if (setup.plan.party_of(static_cast<int>(n)) != setup.plan.many_party || node.kind != NodeKind::kSegment || !setup.plan.trains[n]) continue;
    text += "; " + node.segment + (among(schedule.hand_on, node.segment)   ? " is handed on to it"
                                   : among(schedule.average, node.segment) ? " begins with the last mean"
                                                                           : " begins anew");
  }
  return text;
}

/// Who joined at the start of this round when the recorded run ran.
std::vector<std::string> joined_at(const Decisions& decisions, std::int64_t round) {
  std::vector<std::string> names;
  for (const Decision& d : decisions.recorded())
    if (d.event == "joined" && d.round == round) names.push_back(d.who);
  return names;
}

}  // namespace

std::int64_t Rounds::begin(std::int64_t next) {
  const PartySetup& setup = executor_.setup();
  const int server = server_party(setup.plan);
  if (server < 0) return next;
  if (setup.self.party != server) {
    const std::int64_t round = follow(next);
    const bool late = !begun_ && round > 0 && setup.self.lane >= 0;
    begun_ = true;
    executor_.begin_round(round);
    if (late && on_joined) on_joined(static_cast<std::uint32_t>(setup.self.lane), round);
    return round;
  }
  decide(next);
  tell(next);
  for (const std::uint32_t lane : std::exchange(newcomers_, {}))
    if (next > 0 && on_joined) on_joined(lane, next);
  return next;
}

void Rounds::record(const std::string& event, const std::string& who, const std::string& reason) {
  if (executor_.setup().decisions == nullptr) return;
  Decision d;
  d.event = event;
  d.who = who;
  d.round = round_;
  d.reason = reason;
  executor_.setup().decisions->add(d);
}

void Rounds::end(const std::string& who, const std::string& why) {
  record("stopped", who, why);
  throw RunEnded(Errc::kNetwork, why);
}

std::vector<std::string> Rounds::absent() const {
  const Plan& plan = executor_.setup().plan;
  std::vector<std::string> names;
  for (std::size_t p = 0; p < plan.topology.parties.size(); ++p) {
    if (plan.topology.parties[p].role != Role::kClient) continue;
    if (static_cast<int>(p) != plan.many_party) {
      if (!executor_.present(static_cast<int>(p))) names.push_back(plan.topology.parties[p].name);
      continue;
    }
    for (std::uint32_t l = 0; l < plan.lanes.size(); ++l)
      if (!executor_.active(l)) names.push_back(plan.lanes[l]);
  }
  return names;
}

std::vector<std::string> Rounds::left() const {
  std::vector<std::string> names = absent();
  std::erase_if(names, [&](const std::string& n) { return unseen_.contains(n); });
  return names;
}

void Rounds::decide(std::int64_t round) {
  const PartySetup& setup = executor_.setup();
  round_ = round;
  executor_.begin_round(round);
  if (!begun_) open();
  begun_ = true;
  if (reception_ != nullptr && setup.plan.aligned) {  // a newcomer would have to find the common records again
    static_cast<void>(reception_->poll(std::chrono::steady_clock::now()));
    reception_->turn_away(Error(Errc::kData, "the parties' records were aligned when the run began: start it again to join"));
  } else if (reception_ != nullptr) {
    setup.decisions != nullptr && setup.decisions->repeating() ? gather_again() : gather();
  }
  require(setup.plan.many_party < 0 || executor_.active_lanes() > 0, Errc::kNetwork, "every client is gone");
}

/// Lets in who is waiting, and waits for others as schedule.participation says.
void Rounds::gather() {
  const ParticipationConfig& rule = executor_.setup().study.schedule.participation;
  const auto needed = static_cast<std::size_t>(std::max<std::int64_t>(1, rule.min_clients));
  const Deadline deadline = deadline_in(executor_.setup().silence);
  for (bool waited = false;; waited = true) {
    const std::vector<std::string> away = absent();
    for (const std::string& name : reception_->poll(std::chrono::steady_clock::now()))
      if (std::ranges::find(away, name) != away.end()) admit(name);
    const bool enough = executor_.setup().plan.many_party < 0 || executor_.active_lanes() >= needed;
    const bool waits = rule.on_leave == OnLeave::kWait && !left().empty();
    if (enough && !waits) return;
    const std::vector<std::string> missing = waits ? left() : absent();
    if (!waits && std::chrono::steady_clock::now() >= deadline)
      end(missing.front(), "round " + std::to_string(round_) + " needs " + std::to_string(needed) + " sites, " +
                               std::to_string(executor_.active_lanes()) + " are there");
    if (!waited)
      for (const std::string& name : missing) record("waited", name, "the round waits for it");
    wait_a_little();
  }
}

/// Who came back at this round when the recorded run ran comes back now, and nobody else.
void Rounds::gather_again() {
  for (;;) {
    std::vector<std::string> due = joined_at(*executor_.setup().decisions, round_);
    const std::vector<std::string> away = absent();
    std::erase_if(due, [&](const std::string& n) { return std::ranges::find(away, n) == away.end(); });
    if (due.empty()) return;
    const std::vector<std::string> waiting = reception_->poll(std::chrono::steady_clock::now());
    std::erase_if(due, [&](const std::string& n) { return std::ranges::find(waiting, n) == waiting.end(); });
    for (const std::string& name : due) admit(name);
    if (due.empty()) wait_a_little();
  }
}

void Rounds::wait_a_little() {
  if (stop_requested_ && stop_requested_()) throw Error(Errc::kInterrupted, "stopped while waiting for sites");
  static_cast<void>(reception_->poll(deadline_in(std::chrono::milliseconds(200))));
}

/// Who is there when the run begins.
void Rounds::open() {
  const PartySetup& setup = executor_.setup();
  for (std::uint32_t l = 0; setup.plan.many_party >= 0 && l < setup.plan.lanes.size(); ++l) {
    const bool there = setup.planner.sizes()[l].present();
    record(there ? "joined" : "absent", setup.plan.lanes[l], there ? "there at the start of the run" : "not there at the start of the run");
    if (there) continue;
    executor_.leave_out(l);
    unseen_.insert(setup.plan.lanes[l]);
  }
}

void Rounds::admit(const std::string& name) {
  const PartySetup& setup = executor_.setup();
  const LaneSizes told = reception_->told(name);
  std::vector<LaneSizes> sizes = setup.planner.sizes();
  const auto lane = std::ranges::find(setup.plan.lanes, name);
  if (setup.plan.many_party >= 0 && lane != setup.plan.lanes.end()) {
    const auto l = static_cast<std::uint32_t>(lane - setup.plan.lanes.begin());
    sizes[l] = told;
    reception_->welcome(name, sizes);
    executor_.admit_lane(l);
    newcomers_.push_back(l);
  } else {
    reception_->welcome(name, sizes);
    executor_.admit(setup.plan.party_index(name));
    if (on_joined) on_joined(std::nullopt, round_);
  }
  setup.planner.set_sizes(std::move(sizes));
  unseen_.erase(name);
  record("joined", name, "joined at the start of the round" + beginnings(setup));
}

void Rounds::tell(std::int64_t round) {
  const PartySetup& setup = executor_.setup();
  const Plan& plan = setup.plan;
  std::vector<LaneSizes> sizes = setup.planner.sizes();
  if (plan.many_party >= 0)
    for (std::uint32_t l = 0; l < sizes.size(); ++l)
      if (!executor_.active(l)) sizes[l] = {};
  setup.planner.set_sizes(sizes);
  const json notice{{"round", round}, {"sizes", sizes_json(sizes)}};
  report_to_clients(executor_, [&](int, std::uint32_t) { return notice; }, "the start of a round", Between::kRoundStart);
}

std::int64_t Rounds::follow(std::int64_t next) {
  const PartySetup& setup = executor_.setup();
  const json j = report_of_server(executor_, "the start of a round");
  require(j.contains("round") && j["round"].is_number_integer() && j.contains("sizes"), Errc::kProtocol,
          "the server's message does not begin a round");
  const auto round = j["round"].get<std::int64_t>();
  require(round >= next && round < setup.study.training.epochs, Errc::kProtocol, "the server begins a round out of order");
  std::vector<LaneSizes> sizes = sizes_of(j["sizes"], setup.plan.lanes.size());
  if (setup.data != nullptr) {
    const LaneSizes own{setup.data->train.size(), setup.data->validation.size(), setup.data->test.size()};
    LaneSizes& told = sizes.at(static_cast<std::size_t>(std::max(0, setup.self.lane)));
    const bool same = told.train == own.train && (setup.plan.release_once || (told.validation == own.validation && told.test == own.test));
    require(same, Errc::kProtocol, "the server's round counts other records of this site than it holds");
    told = own;  // what was not told is still there for this site's own evaluation
  }
  setup.planner.set_sizes(std::move(sizes));
  return round;
}

void Rounds::after_step() {
  const PartySetup& setup = executor_.setup();
  if (setup.study.schedule.participation.on_leave != OnLeave::kStop || executor_.dropped().empty()) return;
  const std::string& last = executor_.dropped().back();  // "name: reason"
  const std::string who = last.substr(0, last.find(": "));
  end(who, "'" + who + "' left, and schedule.participation.on_leave is stop");
}

}  // namespace sutura
