#include <algorithm>

#include "kernels/ops/cast/cast_impl.h"

namespace sutura::reference {

void cast(Context&, const Tensor& x, Tensor& y) {
  if (x.dtype() == DType::kFloat32) {
    std::ranges::transform(x.f32(), y.as<bf16>().begin(), [](float v) { return to_bf16(v); });
  } else {
    std::ranges::transform(x.as<bf16>(), y.f32().begin(), [](bf16 v) { return to_float(v); });
  }
}

}  // namespace sutura::reference
