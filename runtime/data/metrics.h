#pragma once
#include <cstdint>
#include <optional>
#include <span>

namespace sutura {

// All functions: labels are 0 or 1 (binary) or a class index; scores and probabilities are finite, larger means
// class 1. Deterministic, in double. Errors: kInvalidArgument for unequal lengths, no records, a label outside its
// range or a score that is not finite. std::nullopt: the records do not determine the figure (a class is absent).

/// Area under the ROC curve with a 95 % interval.
struct Auc {
  double value = 0.0;
  double low = 0.0, high = 1.0;  ///< value -+ 1.96 standard errors inside [0, 1]; [0, 1] when a class has one record
  double standard_error = 0.0;   ///< NaN when a class has one record
};
/// Ties count half. O(n log n).
/// Source: DeLong, DeLong, Clarke-Pearson 1988; mid-rank form of Sun, Xu 2014, "Fast implementation of DeLong's
/// algorithm".
std::optional<Auc> auc(std::span<const float> scores, std::span<const std::int32_t> labels);

/// Share of records on the right side: class 1 where score >= threshold.
double accuracy(std::span<const float> scores, std::span<const std::int32_t> labels, double threshold = 0.5);
/// Mean of sensitivity and specificity at a threshold.
std::optional<double> balanced_accuracy(std::span<const float> scores, std::span<const std::int32_t> labels, double threshold);
/// The threshold with the best balanced accuracy, half-way between two neighbouring scores; the largest on a tie. To be
/// chosen on validation records and used on others.
std::optional<double> best_balanced_threshold(std::span<const float> scores, std::span<const std::int32_t> labels);
/// The best sensitivity of all thresholds whose specificity is at least `specificity`.
std::optional<double> sensitivity_at_specificity(std::span<const float> scores, std::span<const std::int32_t> labels,
                                                 double specificity = 0.9);
/// Mean of -log p(label); probabilities are kept inside [1e-15, 1 - 1e-15].
double log_loss(std::span<const float> probabilities, std::span<const std::int32_t> labels);

// Several classes: `probabilities` is [N, classes], row by row.
/// Share of records whose largest probability is the label's; the first class wins a tie.
double accuracy_of_classes(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes);
/// Unweighted mean of the one-versus-rest AUC; std::nullopt when a class is absent.
std::optional<double> macro_auc(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes);
/// Unweighted mean over classes of F1 = 2 TP / (2 TP + FP + FN). A class that occurs among the labels or the predictions
/// alone counts 0; one that occurs in neither is left out of the mean. The first class wins a tie, as for accuracy.
double macro_f1(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes);
/// As log_loss; rows are used as they are, not scaled to sum 1.
double log_loss_of_classes(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes);

double mean_squared_error(std::span<const float> predictions, std::span<const float> targets);

}  // namespace sutura
