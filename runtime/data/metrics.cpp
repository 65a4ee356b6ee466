#include "runtime/data/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "core/error.h"

namespace sutura {
namespace {

constexpr double kSmallestProbability = 1e-15;

void check(std::span<const float> values, std::span<const std::int32_t> labels, std::int64_t classes, std::size_t width) {
  require(!labels.empty(), Errc::kInvalidArgument, "a metric of no records");
  require(values.size() == labels.size() * width, Errc::kInvalidArgument, "a metric of scores and labels of unequal length");
  require(std::all_of(values.begin(), values.end(), [](float v) { return std::isfinite(v); }), Errc::kInvalidArgument,
          "a metric of scores that are not finite");
  require(std::all_of(labels.begin(), labels.end(), [&](std::int32_t y) { return y >= 0 && y < classes; }),
          Errc::kInvalidArgument, "a metric of labels outside their classes");
}
void check_binary(std::span<const float> scores, std::span<const std::int32_t> labels) { check(scores, labels, 2, 1); }
void check_classes(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes) {
  require(classes >= 2, Errc::kInvalidArgument, "a metric of fewer than two classes");
  check(probabilities, labels, classes, static_cast<std::size_t>(classes));
}

/// Rank of every value from 1; tied values share the mean of their ranks.
std::vector<double> mid_ranks(const std::vector<float>& values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + 1 + end);
    for (; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

/// Sample variance (n - 1) around `mean`.
double variance(const std::vector<double>& values, double mean) {
  double sum = 0.0;
  for (const double v : values) sum += (v - mean) * (v - mean);
  return sum / (static_cast<double>(values.size()) - 1.0);
}

/// Counts of both classes at and above each distinct score, from the highest score down.
struct OperatingPoint {
  float score;
  std::int64_t true_positives, false_positives;
};
struct Curve {
  std::vector<OperatingPoint> points;
  std::int64_t positives = 0, negatives = 0;
  bool has_both() const { return positives > 0 && negatives > 0; }
};
Curve curve_of(std::span<const float> scores, std::span<const std::int32_t> labels) {
  check_binary(scores, labels);
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
  Curve curve;
  for (const std::size_t i : order) {
    if (curve.points.empty() || curve.points.back().score != scores[i])
      curve.points.push_back({scores[i], curve.positives, curve.negatives});
    (labels[i] == 1 ? curve.positives : curve.negatives) += 1;
    curve.points.back().true_positives = curve.positives;
    curve.points.back().false_positives = curve.negatives;
  }
  return curve;
}

std::size_t largest(std::span<const float> row) {
  return static_cast<std::size_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

double minus_log(double p) { return -std::log(std::clamp(p, kSmallestProbability, 1.0 - kSmallestProbability)); }

}  // namespace

std::optional<Auc> auc(std::span<const float> scores, std::span<const std::int32_t> labels) {
  check_binary(scores, labels);
  std::vector<float> positive, negative;
  for (std::size_t i = 0; i < scores.size(); ++i) (labels[i] == 1 ? positive : negative).push_back(scores[i]);
  if (positive.empty() || negative.empty()) return std::nullopt;
  const auto m = static_cast<double>(positive.size());
  const auto n = static_cast<double>(negative.size());

  std::vector<float> pooled = positive;
  pooled.insert(pooled.end(), negative.begin(), negative.end());
  const std::vector<double> rank = mid_ranks(pooled), rank_positive = mid_ranks(positive), rank_negative = mid_ranks(negative);
  // Structural components: each record's mean of "positive above negative" over the other class.
  std::vector<double> v10(positive.size()), v01(negative.size());
  double sum = 0.0;
  for (std::size_t i = 0; i < v10.size(); ++i) sum += v10[i] = (rank[i] - rank_positive[i]) / n;
  for (std::size_t j = 0; j < v01.size(); ++j) v01[j] = 1.0 - (rank[v10.size() + j] - rank_negative[j]) / m;
  Auc out;
  out.value = sum / m;
  if (m < 2.0 || n < 2.0) {
    out.standard_error = std::numeric_limits<double>::quiet_NaN();
    return out;
  }
  out.standard_error = std::sqrt(variance(v10, out.value) / m + variance(v01, out.value) / n);
  constexpr double kNormal975 = 1.959963984540054;
  out.low = std::max(0.0, out.value - kNormal975 * out.standard_error);
  out.high = std::min(1.0, out.value + kNormal975 * out.standard_error);
  return out;
}

double accuracy(std::span<const float> scores, std::span<const std::int32_t> labels, double threshold) {
  check_binary(scores, labels);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < scores.size(); ++i) right += (scores[i] >= threshold) == (labels[i] == 1);
  return static_cast<double>(right) / static_cast<double>(scores.size());
}

std::optional<double> balanced_accuracy(std::span<const float> scores, std::span<const std::int32_t> labels, double threshold) {
  check_binary(scores, labels);
  double records[2] = {0.0, 0.0}, right[2] = {0.0, 0.0};
  for (std::size_t i = 0; i < scores.size(); ++i) {
    records[labels[i]] += 1.0;
    right[labels[i]] += (scores[i] >= threshold) == (labels[i] == 1);
  }
  if (records[0] == 0.0 || records[1] == 0.0) return std::nullopt;
  return 0.5 * (right[0] / records[0] + right[1] / records[1]);
}

std::optional<double> best_balanced_threshold(std::span<const float> scores, std::span<const std::int32_t> labels) {
  const Curve curve = curve_of(scores, labels);
  if (!curve.has_both()) return std::nullopt;
  // Whole numbers decide ties: (TP/P - FP/N) * P * N.
  std::int64_t best = std::numeric_limits<std::int64_t>::min();
  std::size_t chosen = 0;
  for (std::size_t i = 0; i < curve.points.size(); ++i) {
    const auto& p = curve.points[i];
    const std::int64_t gain = p.true_positives * curve.negatives - p.false_positives * curve.positives;
    if (gain <= best) continue;
    best = gain;
    chosen = i;
  }
  const double at = curve.points[chosen].score;
  if (chosen + 1 == curve.points.size()) return at;
  return 0.5 * (at + static_cast<double>(curve.points[chosen + 1].score));
}

std::optional<double> sensitivity_at_specificity(std::span<const float> scores, std::span<const std::int32_t> labels,
                                                 double specificity) {
  require(specificity >= 0.0 && specificity <= 1.0, Errc::kInvalidArgument, "a specificity lies in [0, 1]");
  const Curve curve = curve_of(scores, labels);
  if (!curve.has_both()) return std::nullopt;
  // The allowance keeps 1 - 0.9 of ten records from losing its one false alarm to rounding.
  const double allowed = (1.0 - specificity) * static_cast<double>(curve.negatives) + 1e-9;
  std::int64_t found = 0;
  for (const auto& p : curve.points)
    if (static_cast<double>(p.false_positives) <= allowed) found = p.true_positives;
  return static_cast<double>(found) / static_cast<double>(curve.positives);
}

double log_loss(std::span<const float> probabilities, std::span<const std::int32_t> labels) {
  check_binary(probabilities, labels);
  double sum = 0.0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const double p = probabilities[i];
    sum += minus_log(labels[i] == 1 ? p : 1.0 - p);
  }
  return sum / static_cast<double>(labels.size());
}

double accuracy_of_classes(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes) {
  check_classes(probabilities, labels, classes);
  const auto width = static_cast<std::size_t>(classes);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i)
    right += largest(probabilities.subspan(i * width, width)) == static_cast<std::size_t>(labels[i]);
  return static_cast<double>(right) / static_cast<double>(labels.size());
}

std::optional<double> macro_auc(std::span<const float> probabilities, std::span<const std::int32_t> labels,
                                std::int64_t classes) {
  check_classes(probabilities, labels, classes);
  double sum = 0.0;
  std::vector<float> scores(labels.size());
  std::vector<std::int32_t> is_class(labels.size());
  for (std::int64_t c = 0; c < classes; ++c) {
    for (std::size_t i = 0; i < labels.size(); ++i) {
      scores[i] = probabilities[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(c)];
      is_class[i] = labels[i] == c ? 1 : 0;
    }
    const auto one = auc(scores, is_class);
    if (!one) return std::nullopt;
    sum += one->value;
  }
  return sum / static_cast<double>(classes);
}

double macro_f1(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes) {
  check_classes(probabilities, labels, classes);
  const auto width = static_cast<std::size_t>(classes);
  std::vector<double> right(width, 0.0), either(width, 0.0);  // TP, and 2 TP + FP + FN
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const std::size_t predicted = largest(probabilities.subspan(i * width, width));
    const auto label = static_cast<std::size_t>(labels[i]);
    if (predicted == label) right[label] += 1.0;
    either[predicted] += 1.0;
    either[label] += 1.0;
  }
  double sum = 0.0, occurring = 0.0;
  for (std::size_t c = 0; c < width; ++c) {
    if (either[c] == 0.0) continue;
    sum += 2.0 * right[c] / either[c];
    occurring += 1.0;
  }
  return sum / occurring;
}

double log_loss_of_classes(std::span<const float> probabilities, std::span<const std::int32_t> labels, std::int64_t classes) {
  check_classes(probabilities, labels, classes);
  double sum = 0.0;
  for (std::size_t i = 0; i < labels.size(); ++i)
    sum += minus_log(probabilities[i * static_cast<std::size_t>(classes) + static_cast<std::size_t>(labels[i])]);
  return sum / static_cast<double>(labels.size());
}

double mean_squared_error(std::span<const float> predictions, std::span<const float> targets) {
  require(!targets.empty(), Errc::kInvalidArgument, "a metric of no records");
  require(predictions.size() == targets.size(), Errc::kInvalidArgument, "a metric of predictions and targets of unequal length");
  double sum = 0.0;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const double d = static_cast<double>(predictions[i]) - static_cast<double>(targets[i]);
    sum += d * d;
  }
  return sum / static_cast<double>(targets.size());
}

}  // namespace sutura
