#include "runtime/engine/evaluation.h"

#include <nlohmann/json.hpp>

#include "core/error.h"
#include "runtime/data/metrics.h"
#include "runtime/engine/trainer.h"

namespace sutura {
namespace {

std::vector<std::int32_t> class_labels(const std::vector<float>& labels) {
  return {labels.begin(), labels.end()};
}

void put(nlohmann::json& j, const char* key, const std::optional<double>& v) {
  j[key] = v ? nlohmann::json(*v) : nlohmann::json(nullptr);
}

std::optional<double> get(const nlohmann::json& j, const char* key) {
  if (!j.contains(key) || j[key].is_null()) return std::nullopt;
  require(j[key].is_number(), Errc::kProtocol, "a report's figure is not a number");
  return j[key].get<double>();
}

}  // namespace

Evaluation evaluate(const Scores& scores, const Scores* validation, LossKind loss) {
  Evaluation e;
  e.records = static_cast<std::int64_t>(scores.labels.size());
  require(e.records > 0, Errc::kInternal, "an evaluation of no records");
  if (loss == LossKind::kMeanSquaredError) {
    e.loss = mean_squared_error(scores.values, scores.labels);
    return e;
  }
  const auto labels = class_labels(scores.labels);
  const auto classes = static_cast<std::int64_t>(scores.values.size() / scores.labels.size());
  if (classes > 1) {
    e.loss = log_loss_of_classes(scores.values, labels, classes);
    e.auc = macro_auc(scores.values, labels, classes);
    e.accuracy = accuracy_of_classes(scores.values, labels, classes);
    e.macro_f1 = macro_f1(scores.values, labels, classes);
    return e;
  }
  e.loss = log_loss(scores.values, labels);
  if (const auto a = auc(scores.values, labels)) {
    e.auc = a->value;
    e.auc_low = a->low;
    e.auc_high = a->high;
  }
  e.accuracy = accuracy(scores.values, labels);
  double threshold = 0.5;
  if (validation != nullptr && !validation->labels.empty())
    threshold = best_balanced_threshold(validation->values, class_labels(validation->labels)).value_or(0.5);
  e.balanced_accuracy = balanced_accuracy(scores.values, labels, threshold);
  e.sensitivity_at_90_specificity = sensitivity_at_specificity(scores.values, labels);
  return e;
}

Controls controls_of(const std::vector<float>& labels, const std::vector<float>& rule_scores,
                     const std::vector<std::vector<float>>& control_scores) {
  Controls c;
  const auto truth = class_labels(labels);
  if (rule_scores.size() == labels.size())
    if (const auto a = auc(rule_scores, truth)) c.no_data_auc = a->value;
  for (const auto& values : control_scores)
    if (values.size() == labels.size())
      if (const auto a = auc(values, truth)) c.permuted_auc.push_back(a->value);
  return c;
}

nlohmann::json to_json(const Evaluation& e) {
  nlohmann::json j{{"records", e.records}, {"loss", e.loss}};
  put(j, "auc", e.auc);
  put(j, "auc_low", e.auc_low);
  put(j, "auc_high", e.auc_high);
  put(j, "accuracy", e.accuracy);
  put(j, "balanced_accuracy", e.balanced_accuracy);
  put(j, "sensitivity_at_90_specificity", e.sensitivity_at_90_specificity);
  put(j, "macro_f1", e.macro_f1);
  return j;
}

Evaluation evaluation_from_json(const nlohmann::json& j) {
  require(j.is_object() && j.contains("records") && j["records"].is_number_integer(), Errc::kProtocol, "a report's figures are missing");
  Evaluation e;
  e.records = j["records"].get<std::int64_t>();
  e.loss = get(j, "loss").value_or(0.0);
  e.auc = get(j, "auc");
  e.auc_low = get(j, "auc_low");
  e.auc_high = get(j, "auc_high");
  e.accuracy = get(j, "accuracy");
  e.balanced_accuracy = get(j, "balanced_accuracy");
  e.sensitivity_at_90_specificity = get(j, "sensitivity_at_90_specificity");
  e.macro_f1 = get(j, "macro_f1");
  return e;
}

}  // namespace sutura
