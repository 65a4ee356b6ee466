#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/ops/int8_rows/int8_rows_impl.h"

namespace sutura::reference {

void int8_rows_quantise(Context&, const Tensor& x, Tensor& q, Tensor& scales) {
  const auto rows = static_cast<std::size_t>(x.shape()[0]);
  const std::size_t width = x.f32().size() / rows;
  for (std::size_t r = 0; r < rows; ++r) {
    const auto in = x.f32().subspan(r * width, width);
    const auto out = q.as<std::int8_t>().subspan(r * width, width);
    float largest = 0.0f;
    bool finite = true;
    for (const float v : in) {
      finite = finite && std::isfinite(v);
      largest = std::max(largest, std::abs(v));
    }
    const float scale = finite ? largest / 127.0f : std::numeric_limits<float>::quiet_NaN();
    scales.f32()[r] = scale;
    if (!finite || scale == 0.0f) {
      std::ranges::fill(out, std::int8_t{0});
      continue;
    }
    // A subnormal scale has few bits: the quotient may lie well beyond 127.
    for (std::size_t j = 0; j < width; ++j)
      out[j] = static_cast<std::int8_t>(std::clamp(std::nearbyint(in[j] / scale), -127.0f, 127.0f));
  }
}

void int8_rows_dequantise(Context&, const Tensor& q, const Tensor& scales, Tensor& x) {
  const auto rows = static_cast<std::size_t>(x.shape()[0]);
  const std::size_t width = x.f32().size() / rows;
  for (std::size_t r = 0; r < rows; ++r)
    for (std::size_t j = r * width; j < (r + 1) * width; ++j)
      x.f32()[j] = static_cast<float>(q.as<std::int8_t>()[j]) * scales.f32()[r];
}

}  // namespace sutura::reference
