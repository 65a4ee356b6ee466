#include <algorithm>

#include "core/random/philox.h"
#include "kernels/ops/dropout/dropout_impl.h"

namespace sutura::reference {

void dropout_draw(Context&, float rate, const Tensor& words, Tensor& mask) {
  std::array<std::uint32_t, 4> w{};
  std::ranges::transform(words.as<std::int32_t>(), w.begin(), [](std::int32_t v) { return static_cast<std::uint32_t>(v); });
  PhiloxStream stream(w);
  for (std::uint8_t& bit : mask.as<std::uint8_t>()) bit = stream.next_float() >= rate ? 1 : 0;
}

void dropout_apply(Context&, float rate, const Tensor& mask, const Tensor& x, Tensor& y) {
  const float scale = 1.0f / (1.0f - rate);
  // A choice, not a product: a dropped NaN must not stay.
  std::ranges::transform(mask.as<std::uint8_t>(), x.f32(), y.f32().begin(),
                         [scale](std::uint8_t keep, float v) { return keep != 0 ? v * scale : 0.0f; });
}

}  // namespace sutura::reference
