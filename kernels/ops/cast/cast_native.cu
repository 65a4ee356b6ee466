#include "kernels/cuda/elementwise.h"
#include "kernels/ops/cast/cast_impl.h"

namespace sutura::SUTURA_DEVICE {
namespace {

struct Same {
  __device__ static float apply(float x) { return x; }
};

}  // namespace

// The conversion is store_value's, to_bf16() of core/dtype.h in integers: the CPU's bits, NaN included.
void cast(Context& ctx, const Tensor& x, Tensor& y) {
  if (y.dtype() == DType::kBfloat16) {
    map_typed(ctx, "cast", Same{}, x.elements(), static_cast<bf16*>(y.data()), static_cast<const float*>(x.data()));
  } else {
    map_typed(ctx, "cast", Same{}, x.elements(), static_cast<float*>(y.data()), static_cast<const bf16*>(x.data()));
  }
}

}  // namespace sutura::SUTURA_DEVICE
