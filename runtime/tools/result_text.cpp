#include "runtime/tools/result_text.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "runtime/engine/run_folder.h"

namespace sutura {
namespace {

std::string bytes_text(double bytes) {
  static constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB"};
  int unit = 0;
  while (bytes >= 1000.0 && unit < 4) {
    bytes /= 1000.0;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text;
}

std::string figure(const std::optional<double>& v) {
  if (!v) return "n/a";
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", *v);
  return text;
}

std::string epoch_name(std::int64_t epoch) { return "epoch " + std::to_string(epoch + 1); }

/// Cells of a table under its head, the first column to the left and the others to the right.
std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.at(0).size(), 0);
  for (const auto& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  std::string out;
  for (const auto& row : rows) {
    out += "  " + row[0] + std::string(widths[0] - row[0].size(), ' ');
    for (std::size_t c = 1; c < row.size(); ++c) out += "  " + std::string(widths[c] - row[c].size(), ' ') + row[c];
    out += "\n";
  }
  return out;
}

std::string test_text(const Evaluation& t, const std::string& evaluated) {
  std::string out;
  if (t.accuracy) {
    out += "  test AUC           " + figure(t.auc) + (t.auc_low ? "  (95 % interval " + figure(t.auc_low) + " to " + figure(t.auc_high) + ")" : "") + "\n";
    out += "  accuracy           " + figure(t.accuracy);
    if (t.macro_f1)
      out += "   macro F1 " + figure(t.macro_f1) + "\n";
    else
      out += "   balanced " + figure(t.balanced_accuracy) + "   sensitivity at 90 % specificity " + figure(t.sensitivity_at_90_specificity) + "\n";
  }
  return out + "  loss               " + figure(t.loss) + "   on " + std::to_string(t.records) + " test records, " + evaluated + "\n";
}

std::string controls_text(const nlohmann::json& c) {
  std::string out;
  if (!c["no_data_rule_auc"].is_null())
    out += "  no-data rule       " + figure(c["no_data_rule_auc"].get<double>()) + "  AUC of the public rule, which saw no record\n";
  if (!c["permuted_label_auc_mean"].is_null())
    out += "  permuted labels    " + figure(c["permuted_label_auc_mean"].get<double>()) + "  mean AUC of " +
           std::to_string(c["permutations"].get<int>()) + " trainings on shuffled labels" +
           (c["permuted_label_auc_sd"].is_null() ? "" : " (sd " + figure(c["permuted_label_auc_sd"].get<double>()) + ")") + "\n";
  return out;
}

}  // namespace

std::string time_text(double seconds) {
  char text[32];
  if (seconds < 90)
    std::snprintf(text, sizeof text, "%.0f s", seconds);
  else
    std::snprintf(text, sizeof text, "%.1f min", seconds / 60.0);
  return text;
}

std::string epoch_line(const EpochRecord& r, std::int64_t epochs, double spent) {
  std::string line = epoch_name(r.epoch) + "/" + std::to_string(epochs);
  if (r.train_loss) line += "  loss " + figure(r.train_loss);
  if (r.validation) {
    line += "  validation loss " + figure(r.validation->loss);
    if (r.validation->auc) line += "  auc " + figure(r.validation->auc);
  }
  if (r.seconds > 0.0) line += "  " + std::to_string(static_cast<long long>(static_cast<double>(r.records) / r.seconds)) + " samples/s";
  if (r.traffic.up_bytes + r.traffic.down_bytes > 0)
    line += "  up " + bytes_text(static_cast<double>(r.traffic.up_bytes)) + "  down " + bytes_text(static_cast<double>(r.traffic.down_bytes));
  if (r.epsilon > 0.0) line += "  row epsilon " + figure(r.epsilon);
  const std::int64_t left = epochs - r.epoch - 1;
  if (left > 0) line += "  " + time_text(spent / static_cast<double>(r.epoch + 1) * static_cast<double>(left)) + " left";
  return line;
}

std::string ending_text(const TrainingConfig& training, const PartyResult& result) {
  if (result.epochs.empty()) return {};
  std::string out;
  if (result.stopped_early) {
    out = "stopped early after " + epoch_name(result.epochs.back().epoch) + ": no better validation " +
          (training.stop_metric == StopMetric::kAuc ? "AUC" : "loss") + " for " + std::to_string(training.patience) +
          (training.patience == 1 ? " pass" : " passes");
    if (training.min_delta > 0.0) {
      char text[48];
      std::snprintf(text, sizeof text, " (better by more than %g)", training.min_delta);
      out += text;
    }
  }
  if (result.best_epoch < 0) return out;
  if (!out.empty()) out += "; ";
  out += "weights of ";
  out += epoch_name(result.best_epoch);
  return out;
}

std::string sites_text(const std::vector<std::pair<std::string, Evaluation>>& sites) {
  static constexpr std::size_t kMostRows = 50;
  if (sites.size() < 2) return {};
  struct Column {
    const char* head;
    std::optional<double> Evaluation::*value;
  };
  static constexpr Column kColumns[] = {{"AUC", &Evaluation::auc},
                                        {"accuracy", &Evaluation::accuracy},
                                        {"balanced", &Evaluation::balanced_accuracy},
                                        {"macro F1", &Evaluation::macro_f1}};
  std::vector<Column> shown;
  for (const Column& c : kColumns)
    if (std::ranges::any_of(sites, [&](const auto& s) { return (s.second.*c.value).has_value(); })) shown.push_back(c);
  std::vector<std::vector<std::string>> rows{{"site", "records"}};
  for (const Column& c : shown) rows[0].push_back(c.head);
  rows[0].push_back("loss");
  for (std::size_t i = 0; i < std::min(sites.size(), kMostRows); ++i) {
    const auto& [site, e] = sites[i];
    auto& row = rows.emplace_back(std::vector<std::string>{site, std::to_string(e.records)});
    for (const Column& c : shown) row.push_back(figure(e.*c.value));
    row.push_back(figure(e.loss));
  }
  std::string out = aligned(rows);
  if (sites.size() > kMostRows) out += "  and " + std::to_string(sites.size() - kMostRows) + " more sites: see summary.json\n";
  return out;
}

std::string result_text(const Prepared& prepared, const PartyResult& result, const std::string& instance) {
  const nlohmann::json s = summary_of(prepared, result, instance);
  std::string out = prepared.study().study + ", " + instance + " (" + result.backend + ")\n";
  if (result.interrupted) out += "  interrupted: what was learned so far is saved\n";
  for (const std::string& d : result.dropped) out += "  lost on the way: " + d + "\n";
  if (const std::string end = ending_text(prepared.study().training, result); !end.empty()) out += "  " + end + "\n";
  if (result.test) out += test_text(*result.test, s["evaluated"].get<std::string>());
  if (s.contains("controls")) out += controls_text(s["controls"]);
  const double rate = s["samples_per_second"].get<double>();
  if (rate > 0.0) out += "  speed              " + std::to_string(static_cast<long long>(rate)) + " samples/s\n";
  out += "  bytes per sample   " + bytes_text(s["bytes_up_per_sample"].get<double>()) + " up, " +
         bytes_text(s["bytes_down_per_sample"].get<double>()) + " down\n";
  if (const std::string sites = sites_text(result.sites); !sites.empty()) out += "test records of each site\n" + sites;
  out += "what leaves\n" + egress_text(prepared.egress);
  out += "privacy\n  " + prepared.statement + "\n";
  if (result.epsilon_spent > 0.0)
    out += "  ledger: the most-released record has spent row epsilon " + figure(result.epsilon_spent) +
           (result.epsilon_before > 0.0 ? ", of which " + figure(result.epsilon_before) + " in earlier runs" : "") + "\n";
  return out;
}

}  // namespace sutura
