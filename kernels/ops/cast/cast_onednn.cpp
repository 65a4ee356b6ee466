#include "kernels/cpu/row_loops.h"
#include "kernels/ops/cast/cast_impl.h"

namespace sutura::onednn {
namespace {

template <class From, class To>
struct Cast {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const From* x, To* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = rounded<To>(load(x[i]));
  }
};

}  // namespace

void cast(Context& ctx, const Tensor& x, Tensor& y) {
  if (x.dtype() == DType::kFloat32) {
    elementwise<Cast<float, bf16>>(ctx.engine(), x.elements(), NoScalars{}, values<float>(x), values<bf16>(y));
  } else {
    elementwise<Cast<bf16, float>>(ctx.engine(), x.elements(), NoScalars{}, values<bf16>(x), values<float>(y));
  }
}

}  // namespace sutura::onednn
