#include "kernels/cpu/row_loops.h"
#include "kernels/ops/add/add_impl.h"

namespace sutura::onednn {
namespace {

template <class T>
struct Add {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* a, const T* b, T* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = rounded<T>(load(a[i]) + load(b[i]));
  }
};

}  // namespace

void add(Context& ctx, const Tensor& a, const Tensor& b, Tensor& y) {
  with_element(a.dtype(), [&]<class T>(T*) {
    elementwise<Add<T>>(ctx.engine(), a.elements(), NoScalars{}, values<T>(a), values<T>(b), values<T>(y));
  });
}

}  // namespace sutura::onednn
