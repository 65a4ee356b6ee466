#include <algorithm>

#include "kernels/ops/dropout/dropout_impl.h"

namespace sutura::reference {

void dropout_apply(Context&, float rate, const Tensor& mask, const Tensor& x, Tensor& y) {
  const float scale = 1.0f / (1.0f - rate);
  // A choice, not a product: a dropped NaN must not stay.
  std::ranges::transform(mask.as<std::uint8_t>(), x.f32(), y.f32().begin(),
                         [scale](std::uint8_t keep, float v) { return keep != 0 ? v * scale : 0.0f; });
}

}  // namespace sutura::reference
