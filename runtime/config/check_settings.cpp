#include "runtime/config/sections.h"

namespace sutura {
namespace {

/// 0 where the file does not say, or the label is a number.
std::int64_t classes_of(const DataConfig& data) {
  if (data.table) return static_cast<std::int64_t>(data.table->classes.size());
  if (data.arrays) return data.arrays->classes;
  for (const auto& [party, table] : data.party_tables)
    if (!table.label.empty()) return static_cast<std::int64_t>(table.classes.size());
  return 0;
}

bool has_validation(const DataConfig& data) {
  return data.validation_fraction > 0 || (data.arrays && !data.arrays->validation_features.empty());
}

}  // namespace

void check_settings(const StudyConfig& study, Reader& reader) {
  const TrainingConfig& training = study.training;
  const auto weights = static_cast<std::int64_t>(training.class_weights.size());
  const std::int64_t classes = classes_of(study.data);
  if (weights > 0 && training.loss == LossKind::kMeanSquaredError)
    reader.error_at("training.class_weights", "training.class_weights needs classes, and mean_squared_error has none");
  else if (weights > 0 && classes > 0 && weights != classes)
    reader.error_at("training.class_weights",
                    "training.class_weights holds " + std::to_string(weights) + " weights, the data has " +
                        std::to_string(classes) + " classes",
                    "give one weight per class, in class order");
  if (!has_validation(study.data)) {
    const char* hint = "set data.validation_fraction";
    if (training.keep == Keep::kBest)
      reader.error_at("training.keep", "training.keep best needs validation records", hint);
    else if (training.patience > 0)
      reader.error_at("training.early_stopping.patience", "training.early_stopping needs validation records", hint);
  }
  const auto sites = static_cast<std::int64_t>(study.data.sites.size());
  if (sites > 0 && study.schedule.participation.min_clients > sites)
    reader.error_at("schedule.participation.min_clients", "schedule.participation.min_clients is " +
                                                              std::to_string(study.schedule.participation.min_clients) +
                                                              ", but data.sites names " + std::to_string(sites));
}

}  // namespace sutura
