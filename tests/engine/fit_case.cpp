#include "tests/engine/fit_case.h"

#include <fstream>
#include <nlohmann/json.hpp>

namespace sutura::testing {
namespace {

constexpr const char* kColumns =
    ", party_columns: {clinic: [c0, c1, c2, c3], laboratory: [c4, c5]}, party_shapes: {clinic: [4], laboratory: [2]}";
constexpr const char* kFronts =
    "front_clinic: {layers: [{name: clinic_fc, type: linear, outputs: 8}, {name: clinic_act, type: relu}]}, "
    "front_laboratory: {layers: [{name: laboratory_fc, type: linear, outputs: 6}]}";

FitCase make(const std::string& name, const std::string& topology, const std::string& network,
             const std::vector<std::string>& sites, const std::string& schedule, const std::vector<std::string>& loss_at) {
  FitCase c{name, {}, loss_at};
  c.text.topology = topology;
  c.text.network = network;
  c.text.sites = sites;
  c.text.record = {1, 6};
  c.text.schedule = schedule;
  c.text.epochs = 14;
  c.text.optimizer = "{name: adamw, learning_rate: 0.03}";
  c.text.rate = "{schedule: constant}";  // a shorter run then begins as the longer one does
  c.text.data_more = ", validation_fraction: 0.2" + std::string(topology.starts_with("vertical") ? kColumns : "");
  return c;
}

}  // namespace

std::vector<FitCase> fit_cases() {
  const std::string together = "{visit: together}";
  const std::string one = "zoo: mlp, hidden: [10, 8], cuts: [act1]", two = "zoo: mlp, hidden: [10, 8], cuts: [act1, act2]";
  const std::vector<std::string> three = {"north", "east", "south"};
  return {
      make("loss_at_server", "vanilla", one, {"north", "east"}, "{visit: together, average: [front]}", {"server"}),
      make("loss_at_each_site", "u_shaped", two, three, "{visit: together, average: [front, head]}", three),
      make("loss_at_each_site_with_own_heads", "u_shaped", two, three, "{visit: shuffled, average: [front]}", three),
      make("loss_at_one_client", "vertical_u",
           "segments: {" + std::string(kFronts) +
               ", body: {layers: [{name: body_fc, type: linear, outputs: 8}, {name: body_act, type: relu}]}, "
               "head: {layers: [{name: out, type: linear, outputs: -1}]}}",
           {"cohort"}, together, {"clinic"}),
      make("labels_sent_to_server", "vertical",
           "segments: {" + std::string(kFronts) +
               ", tail: {layers: [{name: act, type: relu}, {name: out, type: linear, outputs: -1}]}}",
           {"cohort"}, together, {"server"}),
      make("no_server", "local", "zoo: mlp, hidden: [10, 8]", {"north"}, together, {"hospital"}),
      make("averaged_copies", "vanilla", one, three, "{visit: together, tail: per_client, average: [front, tail]}", {"server"}),
      make("own_fronts", "vanilla", one, three, "{visit: together, tail: per_client, average: [tail]}", {"server"}),
      make("handed_on", "vanilla", one, three, "{visit: in_turn, hand_on: [front]}", {"server"}),
      make("server_only_averages", kFederated, "zoo: mlp, hidden: [10, 8]", three, "{visit: together, average: [whole]}", three),
  };
}

FitCase fit_case(const std::string& name) {
  for (FitCase& c : fit_cases())
    if (c.name == name) return c;
  throw Error(Errc::kInvalidArgument, "no case " + name);
}

std::vector<SiteData> records_of(const FitCase& c) {
  static constexpr RecordCounts kCounts[] = {{33, 11, 9}, {17, 7, 6}, {24, 15, 13}};
  std::vector<SiteData> sites;
  for (std::size_t i = 0; i < c.text.sites.size(); ++i) sites.push_back(make_site(c.text.sites[i], c.text.record, kCounts[i]));
  return sites;
}

std::vector<std::optional<double>> validation_figures(const Trained& t, const FitCase& c, Figure which) {
  const std::string key = which == Figure::kAuc ? "auc" : "loss";
  std::vector<double> sums, records;
  for (const std::string& holder : c.loss_at) {
    std::ifstream file(t.output / holder / "metrics.jsonl");
    std::string line;
    for (std::size_t e = 0; std::getline(file, line); ++e) {
      sums.resize(std::max(sums.size(), e + 1), 0.0);
      records.resize(sums.size(), 0.0);
      const auto j = nlohmann::json::parse(line);
      EXPECT_EQ(j.at("epoch"), e);
      if (j.at("validation").is_null() || j.at("validation").at(key).is_null()) continue;
      const auto n = j.at("validation").at("records").get<double>();
      sums[e] += n * j.at("validation").at(key).get<double>();
      records[e] += n;
    }
  }
  std::vector<std::optional<double>> figures;
  for (std::size_t e = 0; e < sums.size(); ++e)
    figures.push_back(records[e] > 0.0 ? std::optional(sums[e] / records[e]) : std::nullopt);
  return figures;
}

std::int64_t best_of(const std::vector<std::optional<double>>& figures, Figure which) {
  std::int64_t best = -1;
  for (std::size_t e = 0; e < figures.size(); ++e) {
    if (!figures[e]) continue;
    const auto at = static_cast<std::size_t>(std::max<std::int64_t>(best, 0));
    const bool better = which == Figure::kAuc ? *figures[e] > figures[at].value_or(0.0) : *figures[e] < figures[at].value_or(0.0);
    if (best < 0 || better) best = static_cast<std::int64_t>(e);
  }
  return best;
}

std::int64_t epochs_until_stop(const std::vector<std::optional<double>>& figures, const Patience& p) {
  std::vector<std::size_t> passes;
  for (std::size_t e = 0; e < figures.size(); ++e)
    if (figures[e]) passes.push_back(e);
  // From each pass that was good enough: is there one soon enough that is better still?
  for (std::size_t good = 0; good < passes.size();) {
    std::size_t next = good + 1;
    const auto beats = [&](std::size_t k) {
      const double gain = *figures[passes[good]] - *figures[passes[k]];
      return (p.by == Figure::kAuc ? -gain : gain) > p.min_delta;
    };
    while (next < passes.size() && !beats(next)) ++next;
    const std::size_t patience_ends = good + static_cast<std::size_t>(p.passes);
    if (next > patience_ends && patience_ends < passes.size()) return static_cast<std::int64_t>(passes[patience_ends]) + 1;
    good = next;
  }
  return static_cast<std::int64_t>(figures.size());
}

std::string early_stopping(const Patience& p) {
  return ", early_stopping: {patience: " + std::to_string(p.passes) + ", min_delta: " + std::to_string(p.min_delta) + "}" +
         (p.by == Figure::kAuc ? ", best_by: auc" : "");
}

}  // namespace sutura::testing
