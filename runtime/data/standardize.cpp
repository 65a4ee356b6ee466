#include "runtime/data/standardize.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace sutura {
namespace {

/// Calls `use(feature, value)` for all values, in memory order.
template <class Use>
void for_each_feature(std::span<const float> values, std::size_t width, Use use) {
  for (std::size_t i = 0; i < values.size(); i += width)
    for (std::size_t k = 0; k < width; ++k) use(k, static_cast<double>(values[i + k]));
}

Scaling identity(std::size_t width) { return {std::vector<double>(width, 0.0), std::vector<double>(width, 1.0), 0}; }

}  // namespace

Scaling constant_scaling(std::span<const FeatureKind> kinds, std::span<const double> centre,
                         std::span<const double> scale) {
  const auto numbers = static_cast<std::size_t>(std::count(kinds.begin(), kinds.end(), FeatureKind::kNumber));
  for (const auto& given : {centre, scale})
    require(given.size() == 1 || given.size() == numbers, Errc::kConfig,
            "data.standardize: centre and scale need 1 value or " + std::to_string(numbers) +
                ", one per numeric feature; one of them has " + std::to_string(given.size()));
  for (const double c : centre) require(std::isfinite(c), Errc::kConfig, "data.standardize: a centre is not finite");
  for (const double s : scale)
    require(std::isfinite(s) && s > 0.0, Errc::kConfig, "data.standardize: a scale must be finite and above 0");
  Scaling out = identity(kinds.size());
  std::size_t next = 0;
  for (std::size_t k = 0; k < kinds.size(); ++k) {
    if (kinds[k] != FeatureKind::kNumber) continue;
    out.centre[k] = centre[centre.size() == 1 ? 0 : next];
    out.scale[k] = scale[scale.size() == 1 ? 0 : next];
    ++next;
  }
  return out;
}

Scaling training_scaling(std::span<const FeatureKind> kinds, const Tensor& train) {
  const std::size_t width = kinds.size();
  Scaling out = identity(width);
  out.from_records = train.shape()[0];
  std::vector<double> sum(width, 0.0), squares(width, 0.0), count(width, 0.0);
  for_each_feature(train.f32(), width, [&](std::size_t k, double v) {
    if (std::isnan(v)) return;
    sum[k] += v;
    count[k] += 1.0;
  });
  std::vector<double> mean(width, 0.0);
  for (std::size_t k = 0; k < width; ++k)
    if (count[k] > 0.0) mean[k] = sum[k] / count[k];
  // The second pass over differences keeps the digits that a sum of squares would lose.
  for_each_feature(train.f32(), width, [&](std::size_t k, double v) {
    if (!std::isnan(v)) squares[k] += (v - mean[k]) * (v - mean[k]);
  });
  for (std::size_t k = 0; k < width; ++k) {
    if (kinds[k] != FeatureKind::kNumber) continue;
    out.centre[k] = mean[k];
    const double deviation = count[k] > 0.0 ? std::sqrt(squares[k] / count[k]) : 0.0;
    // Rounding leaves a constant column with a deviation near 1e-16 of its size: that is no scale to divide by.
    if (deviation > 1e-12 * std::abs(mean[k])) out.scale[k] = deviation;
  }
  return out;
}

void apply_scaling(const Scaling& scaling, Tensor& features) {
  const std::span<float> values = features.f32();
  if (scaling.centre.empty()) {
    const bool missing = std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
    require(!missing, Errc::kConfig,
            "data.table.missing_columns needs data.standardize: a missing value takes its centre");
    return;
  }
  const std::size_t width = scaling.centre.size();
  require(features.shape()[features.shape().rank() - 1] == static_cast<std::int64_t>(width), Errc::kShapeMismatch,
          "a scaling of " + std::to_string(width) + " features was applied to " + features.shape().text());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      values[i] = 0.0f;
      continue;
    }
    const double v = (static_cast<double>(values[i]) - scaling.centre[i % width]) / scaling.scale[i % width];
    values[i] = static_cast<float>(v);
    require(std::isfinite(values[i]), Errc::kData, "a standardised value is outside the range of float32");
  }
}

}  // namespace sutura
