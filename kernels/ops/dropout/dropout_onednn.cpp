#include "kernels/cpu/row_loops.h"
#include "kernels/ops/dropout/dropout_impl.h"

namespace sutura::onednn {
namespace {

template <class T>
struct Dropout {
  static SUTURA_INLINE void run(std::int64_t n, float scale, const std::uint8_t* mask, const T* x, T* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      y[i] = pick(mask[i] != 0, rounded<T>(load(x[i]) * scale), T{});
    }
  }
};

}  // namespace

void dropout_apply(Context& ctx, float rate, const Tensor& mask, const Tensor& x, Tensor& y) {
  const float scale = 1.0f / (1.0f - rate);
  with_element(x.dtype(), [&]<class T>(T*) {
    elementwise<Dropout<T>>(ctx.engine(), x.elements(), scale, values<std::uint8_t>(mask), values<T>(x), values<T>(y));
  });
}

}  // namespace sutura::onednn
