#include "runtime/engine/running_mean.h"

#include "core/error.h"

namespace sutura {

void RunningMean::add(const Tensor& rows) {
  const auto width = static_cast<std::size_t>(rows.shape().row_elements());
  if (sums_.empty()) sums_.assign(width, 0.0);
  require(sums_.size() == width, Errc::kInternal, "rows of another width in a running mean");
  const auto values = rows.f32();
  for (std::size_t i = 0; i < values.size(); ++i) sums_[i % width] += static_cast<double>(values[i]);
  count_ += rows.shape()[0];
}

Tensor RunningMean::rows(const Shape& shape) const {
  Tensor t = Tensor::zeros(shape);
  if (count_ == 0) return t;
  require(sums_.size() == static_cast<std::size_t>(shape.row_elements()), Errc::kInternal,
          "rows of another width than the mean's");
  const auto out = t.f32();
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(sums_[i % sums_.size()] / static_cast<double>(count_));
  return t;
}

}  // namespace sutura
