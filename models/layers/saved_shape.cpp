#include "models/layers/saved_shape.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "core/error.h"

namespace sutura {

Tensor save_shape(const Shape& shape) {
  std::vector<std::int32_t> dims;
  for (const std::int64_t d : shape.dims()) {
    require(d <= std::numeric_limits<std::int32_t>::max(), Errc::kShapeMismatch, "a dimension is above 2^31");
    dims.push_back(static_cast<std::int32_t>(d));
  }
  return Tensor::from({shape.rank()}, std::span<const std::int32_t>(dims));
}

Shape saved_shape(const Tensor& dims) {
  const auto values = dims.as<std::int32_t>();
  return Shape(std::vector<std::int64_t>(values.begin(), values.end()));
}

}  // namespace sutura
