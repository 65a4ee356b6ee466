#include "runtime/engine/run_folder.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "models/safetensors.h"

namespace sutura {
namespace {

using nlohmann::json;

json optional(const std::optional<double>& v) { return v ? json(*v) : json(nullptr); }

std::string cell(const std::optional<double>& v) {
  if (!v) return "";
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", *v);
  return text;
}

double per_sample(std::uint64_t bytes, std::int64_t records) {
  return records > 0 ? static_cast<double>(bytes) / static_cast<double>(records) : 0.0;
}

/// What a run that goes on from these weights needs: the optimizer's tensors by name, and its steps as one number.
void save_state(Optimizer& optimizer, const std::filesystem::path& path) {
  Tensor steps(Shape{1});
  steps.f32()[0] = static_cast<float>(optimizer.steps());  // exact to 2^24
  NamedTensors tensors{{"steps", &steps}};
  for (const auto& [name, tensor] : optimizer.state()) tensors.emplace_back(name, tensor);
  write_safetensors(path, tensors);
}

json privacy_json(const Prepared& p, const PartyResult& result) {
  const PrivacyConfig& c = p.study().privacy;
  json j{{"statement", p.statement}};
  if (c.mechanism == Mechanism::kNone) {
    j["regime"] = "none";
    j["epsilon"] = nullptr;
    j["delta"] = nullptr;
    return j;
  }
  const bool once = c.regime == Regime::kReleaseOnce;
  j["regime"] = once ? "release-once" : "message-noise";
  // Only release-once has a proof for the whole run; message-noise states what the rows of one record add up to.
  j["epsilon"] = once ? json(p.guard->epsilon) : json(nullptr);
  j["row_releases_epsilon"] = result.epsilon_spent;
  j["row_releases_epsilon_before"] = result.epsilon_before;  // by earlier runs on the same records
  j["delta"] = c.delta;
  j["noise_multiplier"] = p.guard->noise_multiplier;
  return j;
}

}  // namespace

RunFolder::RunFolder(const std::filesystem::path& folder, const Prepared& prepared) : folder_(folder) {
  std::error_code failed;
  for (const char* part : {"weights", "optimizer"})
    if (!failed) std::filesystem::create_directories(folder / part, failed);
  require(!failed, Errc::kResources, folder.string() + ": cannot create: " + failed.message());
  write_file_durably(folder / "config_resolved.txt", as_bytes(print_config(prepared.loaded)));
  lines_.open(folder / "metrics.jsonl", std::ios::trunc);
  table_.open(folder / "metrics.csv", std::ios::trunc);
  require(lines_.good() && table_.good(), Errc::kResources, folder.string() + ": cannot write");
  table_ << "epoch,train_loss,validation_loss,validation_auc,samples_per_second,bytes_up,bytes_down,epsilon\n";
}

json to_json(const EpochRecord& r) {
  json j{{"epoch", r.epoch},           {"train_loss", optional(r.train_loss)},        {"seconds", r.seconds},
         {"records", r.records},       {"bytes_up", r.traffic.up_bytes},              {"bytes_down", r.traffic.down_bytes},
         {"epsilon", r.epsilon}};
  j["validation"] = r.validation ? to_json(*r.validation) : json(nullptr);
  return j;
}

void RunFolder::add(const EpochRecord& r) {
  lines_ << to_json(r).dump() << '\n' << std::flush;
  const double rate = r.seconds > 0.0 ? static_cast<double>(r.records) / r.seconds : 0.0;
  table_ << r.epoch << ',' << cell(r.train_loss) << ','
         << cell(r.validation ? std::optional(r.validation->loss) : std::nullopt) << ','
         << cell(r.validation ? r.validation->auc : std::nullopt) << ',' << cell(rate) << ',' << r.traffic.up_bytes << ','
         << r.traffic.down_bytes << ',' << cell(r.epsilon) << '\n'
         << std::flush;
  require(lines_.good() && table_.good(), Errc::kResources, folder_.string() + ": metrics could not be written");
}

void RunFolder::write_weights(Executor& executor) {
  for (const std::string& name : executor.setup().segments.names) {
    if (!executor.holds(name)) continue;
    auto& copies = executor.copies(name);
    for (std::size_t c = 0; c < copies.size(); ++c) {
      if (copies[c].params.total() == 0) continue;
      const std::string suffix = copies.size() > 1 ? "." + executor.setup().plan.lanes[c] : "";
      save_params(copies[c].params, folder_ / "weights" / (name + suffix + ".safetensors"));
      if (copies[c].optimizer != nullptr) save_state(*copies[c].optimizer, folder_ / "optimizer" / (name + suffix + ".safetensors"));
    }
  }
}

void RunFolder::write_summary(const json& summary) {
  write_file_durably(folder_ / "summary.json", as_bytes(summary.dump(2) + "\n"));
}

json summary_of(const Prepared& prepared, const PartyResult& result, const std::string& instance) {
  json j{{"study", prepared.study().study}, {"seed", prepared.study().seed}, {"instance", instance}, {"backend", result.backend}};
  const Evaluation none;
  const Evaluation& t = result.test ? *result.test : none;
  j["records_tested"] = t.records;
  j["loss"] = result.test ? json(t.loss) : json(nullptr);
  j["auc"] = optional(t.auc);
  j["auc_interval_95"] = t.auc_low ? json::array({*t.auc_low, *t.auc_high}) : json(nullptr);
  j["accuracy"] = optional(t.accuracy);
  j["balanced_accuracy"] = optional(t.balanced_accuracy);
  j["sensitivity_at_90_specificity"] = optional(t.sensitivity_at_90_specificity);
  j["macro_f1"] = optional(t.macro_f1);
  j["evaluated"] = result.local_evaluation ? "at the data holder, clean rows" : "through the study's own split";
  const TrafficBytes traffic = result.epochs.empty() ? TrafficBytes{} : result.epochs.back().traffic;
  j["samples_per_second"] = result.seconds > 0.0 ? static_cast<double>(result.records) / result.seconds : 0.0;
  j["training_seconds"] = result.seconds;
  j["waiting_seconds"] = result.waiting_seconds;
  j["sites"] = json::object();
  for (const auto& [site, e] : result.sites) j["sites"][site] = to_json(e);
  j["stale_steps"] = prepared.study().training.stale;
  j["stopped_early"] = result.stopped_early;
  j["best_epoch"] = result.best_epoch >= 0 ? json(result.best_epoch) : json(nullptr);
  j["epochs"] = result.epochs.size();
  j["bytes_up"] = traffic.up_bytes;
  j["bytes_down"] = traffic.down_bytes;
  // Per trained record and epoch; release-once sends a record's row once, whatever the number of epochs.
  const std::int64_t samples = prepared.plan.release_once ? result.records / prepared.study().training.epochs : result.records;
  j["bytes_up_per_sample"] = per_sample(traffic.up_bytes, samples);
  j["bytes_down_per_sample"] = per_sample(traffic.down_bytes, samples);
  j["privacy"] = privacy_json(prepared, result);
  j["egress"] = json::array();
  for (const EgressLine& l : prepared.egress)
    j["egress"].push_back({{"from", l.from}, {"to", l.to}, {"what", l.what}, {"protection", l.protection}});
  if (result.controls.no_data_auc || !result.controls.permuted_auc.empty()) {
    const auto& permuted = result.controls.permuted_auc;
    double mean = 0.0, square = 0.0;
    for (const double a : permuted) mean += a / static_cast<double>(permuted.size());
    for (const double a : permuted) square += (a - mean) * (a - mean);
    j["controls"] = {{"no_data_rule_auc", optional(result.controls.no_data_auc)},
                     {"permuted_label_auc_mean", permuted.empty() ? json(nullptr) : json(mean)},
                     {"permuted_label_auc_sd",
                      permuted.size() < 2 ? json(nullptr) : json(std::sqrt(square / static_cast<double>(permuted.size() - 1)))},
                     {"permutations", permuted.size()}};
  }
  j["interrupted"] = result.interrupted;
  j["failed"] = result.failure ? json(std::string(name(result.failure->code()))) : json(nullptr);
  j["dropped"] = result.dropped;
  return j;
}

}  // namespace sutura
