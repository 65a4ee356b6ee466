#include "runtime/tools/plan_text.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "runtime/topology/program_grid.h"

namespace sutura {
namespace {

const std::string& party_name(const Plan& plan, int party) { return plan.topology.parties[static_cast<std::size_t>(party)].name; }

/// Columns with a heading each; numbers lean right, the first `words` columns left.
std::string table_text(const std::vector<std::vector<std::string>>& rows, std::size_t words) {
  std::vector<std::size_t> widths(rows.at(0).size(), 0);
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::string space(widths[c] - row[c].size(), ' ');
      line += "  " + (c < words ? row[c] + space : space + row[c]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

/// Digits in groups of three.
std::string number(std::int64_t n) {
  std::string text = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), 1, ',');
  return text;
}

std::string mega(double v) {
  char text[32];
  std::snprintf(text, sizeof text, v < 1e6 ? "%.4f" : "%.2f", v / 1e6);
  return text;
}

/// Sender, receiver.
std::pair<int, int> ends_of(const Edge& e, Leg leg) {
  return leg == Leg::kForward ? std::pair(e.from_party, e.to_party) : std::pair(e.to_party, e.from_party);
}

const char* what_of(const Edge& e, Leg leg) { return e.labels ? "labels" : leg == Leg::kForward ? "activation" : "gradient"; }

const char* when_text(WeightsEdge::When when) {
  switch (when) {
    case WeightsEdge::When::kRoundEnd: return "each round";
    case WeightsEdge::When::kHandOver: return "each round, site by site";
    case WeightsEdge::When::kRunEnd: break;
  }
  return "at the end";
}

}  // namespace

std::string traffic_text(const Plan& plan, const Traffic& t) {
  std::vector<std::vector<std::string>> rows{{"from", "to", "what", "wire", "bytes/record", "messages/step", "bytes/step",
                                              plan.release_once ? "bytes, once" : "bytes/epoch"}};
  for (const LegTraffic& l : t.legs) {
    const Edge& e = plan.edges[static_cast<std::size_t>(l.edge)];
    const auto [from, to] = ends_of(e, l.leg);
    rows.push_back({party_name(plan, from), party_name(plan, to), std::string(what_of(e, l.leg)) + " " + e.text, l.wire,
                    number(l.record_bytes), number(l.messages_per_step), number(l.step_bytes), number(l.epoch_bytes)});
  }
  std::string text = t.legs.empty() ? "  nothing travels inside a step\n" : table_text(rows, 4);
  for (const WeightsTraffic& w : t.weights) {
    const WeightsEdge& e = plan.weights[static_cast<std::size_t>(w.weights)];
    text += "  weights " + e.segment + ", " + party_name(plan, e.from_party) + " -> " +
            (e.when == WeightsEdge::When::kHandOver ? "next " : "") + party_name(plan, e.to_party) + ", " + when_text(e.when) + ": " +
            number(w.bytes) + " bytes\n";
  }
  return text;
}

std::string cuts_text(const std::vector<CutCost>& costs) {
  std::vector<std::vector<std::string>> rows{
      {"party", "cut after", "forward MFLOP", "backward MFLOP", "parameter bytes", "kept bytes", "bytes up", "bytes down", ""}};
  for (const CutCost& c : costs)
    rows.push_back({c.party, c.after, mega(c.forward_flops), mega(c.backward_flops), number(c.parameter_bytes), number(c.kept_bytes),
                    number(c.up_bytes), number(c.down_bytes), c.study ? "<- this study" : ""});
  return table_text(rows, 2);
}

nlohmann::json programs_json(const Plan& plan) {
  nlohmann::json programs = nlohmann::json::array();
  for (const Purpose purpose : {Purpose::kTrain, Purpose::kEvaluate, Purpose::kUpload, Purpose::kLocalEvaluate}) {
    const std::vector<GridRow> grid = program_grid(plan, purpose);
    if (grid.empty()) continue;
    nlohmann::json rows = nlohmann::json::array();
    for (const GridRow& row : grid) {
      nlohmann::json cells = nlohmann::json::object();
      for (std::size_t p = 0; p < row.size(); ++p) {
        if (!row[p]) continue;
        nlohmann::json i{{"op", op_name(row[p]->op)}};
        if (row[p]->node >= 0) i["node"] = plan.topology.nodes[static_cast<std::size_t>(row[p]->node)].name;
        if (row[p]->edge >= 0) {
          i["edge"] = plan.edges[static_cast<std::size_t>(row[p]->edge)].text;
          i["leg"] = row[p]->leg == Leg::kBackward ? "backward" : "forward";
        }
        cells[party_name(plan, static_cast<int>(p))] = std::move(i);
      }
      rows.push_back(std::move(cells));
    }
    programs.push_back({{"purpose", purpose_name(purpose)}, {"rows", std::move(rows)}});
  }
  return programs;
}

nlohmann::json traffic_json(const Plan& plan, const Traffic& t) {
  nlohmann::json legs = nlohmann::json::array(), weights = nlohmann::json::array();
  for (const LegTraffic& l : t.legs) {
    const Edge& e = plan.edges[static_cast<std::size_t>(l.edge)];
    const auto [from, to] = ends_of(e, l.leg);
    legs.push_back({{"from", party_name(plan, from)}, {"to", party_name(plan, to)}, {"edge", e.text}, {"what", what_of(e, l.leg)},
                    {"wire", l.wire}, {"bytes_per_record", l.record_bytes}, {"messages_per_step", l.messages_per_step},
                    {"bytes_per_step", l.step_bytes}, {plan.release_once ? "bytes_once" : "bytes_per_epoch", l.epoch_bytes}});
  }
  for (const WeightsTraffic& w : t.weights) {
    const WeightsEdge& e = plan.weights[static_cast<std::size_t>(w.weights)];
    weights.push_back({{"from", party_name(plan, e.from_party)}, {"to", party_name(plan, e.to_party)}, {"segment", e.segment},
                       {"when", when_text(e.when)}, {"bytes", w.bytes}});
  }
  return {{"records", t.records}, {"steps", t.steps}, {"legs", std::move(legs)}, {"weights", std::move(weights)}};
}

nlohmann::json cuts_json(const std::vector<CutCost>& costs) {
  nlohmann::json all = nlohmann::json::array();
  for (const CutCost& c : costs)
    all.push_back({{"party", c.party}, {"after", c.after}, {"study", c.study}, {"forward_flops", c.forward_flops},
                   {"backward_flops", c.backward_flops}, {"parameter_bytes", c.parameter_bytes}, {"kept_bytes", c.kept_bytes},
                   {"up_bytes", c.up_bytes}, {"down_bytes", c.down_bytes}});
  return all;
}

nlohmann::json egress_json(const std::vector<EgressLine>& lines) {
  nlohmann::json all = nlohmann::json::array();
  for (const EgressLine& l : lines) all.push_back({{"from", l.from}, {"to", l.to}, {"what", l.what}, {"protection", l.protection}});
  return all;
}

}  // namespace sutura
