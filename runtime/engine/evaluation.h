#pragma once
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "runtime/config/study.h"

namespace sutura {

struct Scores;
struct Controls;

/// Figures of one pass over labelled records; absent where the records do not determine them.
struct Evaluation {
  std::int64_t records = 0;
  double loss = 0.0;  ///< mean log loss, or mean squared error
  std::optional<double> auc, auc_low, auc_high;  ///< with the 95 % interval (DeLong); macro one-versus-rest for several classes
  std::optional<double> accuracy;                ///< at 0.5, or of the largest probability
  std::optional<double> balanced_accuracy;       ///< at the threshold that was best on the validation records
  std::optional<double> sensitivity_at_90_specificity;
  std::optional<double> macro_f1;                ///< several classes: mean F1 of the classes
};

/// Figures of `scores` (values as Loss::scores makes them). `validation` chooses the threshold of the balanced accuracy;
/// without it the figure is at 0.5.
Evaluation evaluate(const Scores& scores, const Scores* validation, LossKind loss);

/// AUC of the no-data rule and of each permuted control on binary test labels.
Controls controls_of(const std::vector<float>& labels, const std::vector<float>& rule_scores,
                     const std::vector<std::vector<float>>& control_scores);

nlohmann::json to_json(const Evaluation& e);
/// Errors: kProtocol if a figure is not a number.
Evaluation evaluation_from_json(const nlohmann::json& j);

}  // namespace sutura
