#include "kernels/cpu/row_loops.h"
#include "kernels/ops/relu/relu_impl.h"

namespace sutura::onednn {
namespace {

// Comparisons on the bits: as integers, the floats above zero are the positives up to infinity.
SUTURA_INLINE bool above_zero(float v) { return v > 0.0f; }
SUTURA_INLINE bool above_zero(bf16 v) {
  const auto bits = static_cast<std::int16_t>(v.bits);
  return (bits > 0) & (bits <= 0x7f80);
}
SUTURA_INLINE bool is_nan(float v) { return v != v; }
SUTURA_INLINE bool is_nan(bf16 v) { return static_cast<std::int16_t>(v.bits & 0x7fff) > 0x7f80; }

template <class T>
struct ReluForward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* x, T* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) y[i] = pick(above_zero(x[i]) | is_nan(x[i]), x[i], T{});
  }
};

template <class T>
struct ReluBackward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* y, const T* grad_y, T* grad_x) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) grad_x[i] = pick(above_zero(y[i]), grad_y[i], T{});
  }
};

}  // namespace

void relu_forward(Context& ctx, const Tensor& x, Tensor& y) {
  with_element(x.dtype(), [&]<class T>(T*) {
    elementwise<ReluForward<T>>(ctx.engine(), x.elements(), NoScalars{}, values<T>(x), values<T>(y));
  });
}

void relu_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  with_element(y.dtype(), [&]<class T>(T*) {
    elementwise<ReluBackward<T>>(ctx.engine(), y.elements(), NoScalars{}, values<T>(y), values<T>(grad_y), values<T>(grad_x));
  });
}

}  // namespace sutura::onednn
