#include "runtime/engine/figures.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "runtime/engine/exchange.h"
#include "runtime/engine/executor_slots.h"

namespace sutura {
namespace {

using nlohmann::json;

int loss_party(const Plan& plan) { return plan.party_of(plan.loss_node); }

bool server_holds_loss(const Plan& plan) {
  return plan.topology.parties[static_cast<std::size_t>(loss_party(plan))].role == Role::kServer;
}

/// What the study selects by; none where the records do not determine it.
std::optional<double> figure(const TrainingConfig& training, const std::optional<Evaluation>& e) {
  if (!e) return std::nullopt;
  return training.stop_metric == StopMetric::kAuc ? e->auc : std::optional(e->loss);
}

bool is_figure(const json& j, std::int64_t epoch) {
  return j.contains("epoch") && j["epoch"] == epoch && (!j.contains("figure") || j["figure"].is_null() || j["figure"].is_number());
}

/// Server without the loss: the mean of the holders' figures, by records, in lane order.
std::optional<double> gathered(Executor& executor, std::int64_t epoch) {
  const Plan& plan = executor.setup().plan;
  const int party = loss_party(plan);
  const bool many = party == plan.many_party;
  double sum = 0.0;
  std::int64_t records = 0;
  for (std::uint32_t l = 0; l < (many ? plan.lanes.size() : 1); ++l) {
    if (many && !executor.active(l)) continue;
    try {
      const json j = report_of_client(executor, party, l, "an epoch's figure");
      if (!is_figure(j, epoch)) throw PeerLost(Errc::kProtocol, "the report of an epoch's figure is not one");
      if (!j.contains("figure") || !j["figure"].is_number() || !j.contains("records") || !j["records"].is_number_unsigned()) continue;
      // Weighted by what the site told when it joined: nobody decides alone by claiming more records.
      const std::int64_t told = executor.setup().planner.sizes()[l].validation;
      if (j["records"].get<std::uint64_t>() != static_cast<std::uint64_t>(told) || !std::isfinite(j["figure"].get<double>()))
        throw PeerLost(Errc::kProtocol, "an epoch's figure is of other records than the site told, or not finite");
      sum += j["figure"].get<double>() * static_cast<double>(told);
      records += told;
    } catch (const PeerLost& lost) {
      if (!many) throw;
      executor.drop(l, lost);
    }
  }
  return records > 0 ? std::optional(sum / static_cast<double>(records)) : std::nullopt;
}

void send_figure(Executor& executor, const EpochRecord& r) {
  json own{{"epoch", r.epoch}};
  if (r.validation) {
    const std::optional<double> f = figure(executor.setup().study.training, r.validation);
    own["figure"] = f ? json(*f) : json(nullptr);
    own["records"] = r.validation->records;
  }
  report_to_server(executor, own, "an epoch's figure");
}

Verdict follow_server(Executor& executor, EpochRecord& r) {
  const json j = report_of_server(executor, "the epoch's report");
  require(j.contains("epoch") && j["epoch"] == r.epoch && j.contains("best") && j["best"].is_boolean() && j.contains("stop") &&
              j["stop"].is_boolean(),
          Errc::kProtocol, "the server's report is not one of this epoch");
  if (server_holds_loss(executor.setup().plan)) {
    require(!j.contains("train_loss") || j["train_loss"].is_number(), Errc::kProtocol, "the server's training loss is not a number");
    if (j.contains("train_loss")) r.train_loss = j["train_loss"].get<double>();  // absent: every step of the epoch was dropped
    if (j.contains("validation")) r.validation = evaluation_from_json(j["validation"]);
  }
  return {j["best"].get<bool>(), j["stop"].get<bool>()};
}

}  // namespace

Verdict exchange_epoch(Executor& executor, Selection& selection, EpochRecord& r) {
  const PartySetup& setup = executor.setup();
  const TrainingConfig& training = setup.study.training;
  const int server = server_party(setup.plan);
  const bool selects = selection.needed() && evaluates_after(training, r.epoch);
  if (server < 0) return selects ? selection.judge(figure(training, r.validation)) : Verdict{};
  const bool at_server = server_holds_loss(setup.plan);
  if (!at_server && !selects) return {};
  if (setup.self.party != server) {
    if (setup.self.party == loss_party(setup.plan)) send_figure(executor, r);
    return follow_server(executor, r);
  }
  Verdict v;
  if (selects) v = selection.judge(at_server ? figure(training, r.validation) : gathered(executor, r.epoch));
  json j{{"epoch", r.epoch}, {"best", v.best}, {"stop", v.stop}};
  if (r.train_loss) j["train_loss"] = *r.train_loss;
  if (r.validation) j["validation"] = to_json(*r.validation);
  report_to_clients(executor, [&](int, std::uint32_t) { return j; }, "an epoch's report");
  return v;
}

void exchange_test(Executor& executor, PartyResult& result) {
  const Plan& plan = executor.setup().plan;
  if (!server_holds_loss(plan)) return;
  if (executor.setup().self.party == server_party(plan)) {
    report_to_clients(executor, [&](int party, std::uint32_t lane) {
      json j{{"test", result.test ? to_json(*result.test) : json(nullptr)}};
      for (const auto& [name, e] : result.sites)
        if (party == plan.many_party && name == plan.lanes[lane]) j["site"] = to_json(e);
      return j;
    }, "the test figures");
    return;
  }
  const json j = report_of_server(executor, "the test figures");
  require(j.contains("test"), Errc::kProtocol, "the server's report holds no test figures");
  if (!j["test"].is_null()) result.test = evaluation_from_json(j["test"]);
  if (j.contains("site")) result.sites.emplace_back(executor.setup().self.name, evaluation_from_json(j["site"]));
}

}  // namespace sutura
