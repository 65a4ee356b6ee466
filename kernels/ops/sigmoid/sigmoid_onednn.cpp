#include "kernels/cpu/row_loops.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/ops/sigmoid/sigmoid_impl.h"

namespace sutura::onednn {
namespace {

template <class T>
struct SigmoidForward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* x, T* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = load(x[i]);
      const float e = exp_nonpositive(v < 0.0f ? v : -v);  // exp(-|x|) never overflows
      const float s = 1.0f / (1.0f + e);
      y[i] = rounded<T>(v < 0.0f ? e * s : s);
    }
  }
};

template <class T>
struct SigmoidBackward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* y, const T* grad_y, T* grad_x) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = load(y[i]);
      grad_x[i] = rounded<T>(load(grad_y[i]) * (v * (1.0f - v)));
    }
  }
};

}  // namespace

void sigmoid_forward(Context& ctx, const Tensor& x, Tensor& y) {
  with_element(x.dtype(), [&]<class T>(T*) {
    elementwise<SigmoidForward<T>>(ctx.engine(), x.elements(), NoScalars{}, values<T>(x), values<T>(y));
  });
}

void sigmoid_backward(Context& ctx, const Tensor& y, const Tensor& grad_y, Tensor& grad_x) {
  with_element(y.dtype(), [&]<class T>(T*) {
    elementwise<SigmoidBackward<T>>(ctx.engine(), y.elements(), NoScalars{}, values<T>(y), values<T>(grad_y), values<T>(grad_x));
  });
}

}  // namespace sutura::onednn
