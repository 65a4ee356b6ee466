#include "runtime/engine/rounds.h"

#include <algorithm>
#include <nlohmann/json.hpp>

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

/// Who joined at the start of this round when the recorded run ran.
std::vector<std::string> joined_at(const Decisions& decisions, std::int64_t round) {
  std::vector<std::string> names;
  for (const Decision& d : decisions.recorded())
    if (d.event == "joined" && d.round == round) names.push_back(d.who);
  return names;
}

Decision between_rounds(const std::string& event, const std::string& who, std::int64_t round, const std::string& reason) {
  Decision d;
  d.event = event;
  d.who = who;
  d.round = round;
  d.reason = reason;
  return d;
}

}  // namespace

std::int64_t Rounds::begin(std::int64_t next) {
  const Plan& plan = executor_.setup().plan;
  const int server = server_party(plan);
  if (server < 0) return next;
  if (executor_.setup().self.party != server) return follow(next);
  decide(next);
  tell(next);
  return next;
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

void Rounds::decide(std::int64_t round) {
  const StudyConfig& study = executor_.setup().study;
  const ParticipationConfig& rule = study.schedule.participation;
  Decisions* decisions = executor_.setup().decisions;
  const Deadline deadline = deadline_in(executor_.setup().silence);
  const auto needed = static_cast<std::size_t>(std::max<std::int64_t>(1, rule.min_clients));
  const bool replay = decisions != nullptr && decisions->repeating();
  bool told_waiting = false;
  if (!opened_) open(round);
  while (reception_ != nullptr) {
    if (executor_.setup().plan.aligned) {  // a newcomer would have to find the common records again
      static_cast<void>(reception_->poll(std::chrono::steady_clock::now()));
      reception_->turn_away(Error(Errc::kData, "the parties' records were aligned when the run began: start it again to join"));
      break;
    }
    const std::vector<std::string> away = absent();
    std::vector<std::string> back;
    if (replay) {
      // Who came back at this round then comes back now, and nobody else.
      for (const std::string& name : joined_at(*decisions, round))
        if (std::ranges::find(away, name) != away.end()) back.push_back(name);
    }
    const std::vector<std::string> waiting = reception_->poll(std::chrono::steady_clock::now());
    if (replay) {
      std::erase_if(back, [&](const std::string& n) { return std::ranges::find(waiting, n) == waiting.end(); });
      if (!back.empty()) {
        for (const std::string& name : back) admit(name, round);
        continue;
      }
      const auto due = joined_at(*decisions, round);
      const bool missing = std::ranges::any_of(due, [&](const std::string& n) { return std::ranges::find(away, n) != away.end(); });
      if (!missing) break;
    } else {
      for (const std::string& name : waiting)
        if (std::ranges::find(away, name) != away.end()) admit(name, round);
      const bool enough = executor_.setup().plan.many_party < 0 || executor_.active_lanes() >= needed;
      if (enough && (rule.on_leave != OnLeave::kWait || absent().empty())) break;
      require(enough || rule.on_leave == OnLeave::kWait || std::chrono::steady_clock::now() < deadline, Errc::kNetwork,
              "round " + std::to_string(round) + " needs " + std::to_string(needed) + " sites, " +
                  std::to_string(executor_.active_lanes()) + " are there");
      if (!told_waiting && decisions != nullptr)
        for (const std::string& name : absent()) decisions->add(between_rounds("waited", name, round, "the round waits for it"));
      told_waiting = true;
    }
    if (stop_requested_ && stop_requested_()) throw Error(Errc::kInterrupted, "stopped while waiting for sites");
    static_cast<void>(reception_->poll(deadline_in(std::chrono::milliseconds(200))));
  }
  require(executor_.setup().plan.many_party < 0 || executor_.active_lanes() > 0, Errc::kNetwork, "every client is gone");
}

/// Who is there when the run begins.
void Rounds::open(std::int64_t round) {
  opened_ = true;
  const PartySetup& setup = executor_.setup();
  for (std::uint32_t l = 0; setup.plan.many_party >= 0 && l < setup.plan.lanes.size(); ++l) {
    const bool there = setup.planner.sizes()[l].present();
    if (!there) executor_.leave_out(l);
    if (setup.decisions != nullptr)
      setup.decisions->add(between_rounds(there ? "joined" : "absent", setup.plan.lanes[l], round,
                                          there ? "there at the start of the run" : "not there at the start of the run"));
  }
}

void Rounds::admit(const std::string& name, std::int64_t round) {
  const PartySetup& setup = executor_.setup();
  const LaneSizes told = reception_->told(name);
  std::vector<LaneSizes> sizes = setup.planner.sizes();
  const auto lane = std::ranges::find(setup.plan.lanes, name);
  if (setup.plan.many_party >= 0 && lane != setup.plan.lanes.end()) {
    const auto l = static_cast<std::uint32_t>(lane - setup.plan.lanes.begin());
    sizes[l] = told;
    reception_->welcome(name, sizes);
    executor_.admit_lane(l);
    if (on_joined) on_joined(l);
  } else {
    reception_->welcome(name, sizes);
    executor_.admit(setup.plan.party_index(name));
    if (on_joined) on_joined(std::nullopt);
  }
  setup.planner.set_sizes(std::move(sizes));
  if (setup.decisions != nullptr) setup.decisions->add(between_rounds("joined", name, round, "joined at the start of the round"));
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
  throw Error(Errc::kNetwork, "a site left and schedule.participation.on_leave is stop: " + executor_.dropped().back());
}

}  // namespace sutura
