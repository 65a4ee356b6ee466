#include "kernels/cpu/row_loops.h"
#include "kernels/cpu/vector_math.h"
#include "kernels/ops/gelu/gelu_impl.h"

namespace sutura::onednn {
namespace {

template <class T>
struct GeluForward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* x, T* y) {
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = load(x[i]);
      y[i] = rounded<T>(v * normal_cdf(v, exp_nonpositive(-0.5f * v * v)));
    }
  }
};

template <class T>
struct GeluBackward {
  static SUTURA_INLINE void run(std::int64_t n, NoScalars, const T* x, const T* grad_y, T* grad_x) {
    constexpr float kInverseRootTwoPi = 0.39894228040143268f;
#pragma GCC ivdep
    for (std::int64_t i = 0; i < n; ++i) {
      const float v = load(x[i]);
      const float gauss = exp_nonpositive(-0.5f * v * v);
      grad_x[i] = rounded<T>(load(grad_y[i]) * (normal_cdf(v, gauss) + v * gauss * kInverseRootTwoPi));
    }
  }
};

}  // namespace

void gelu_forward(Context& ctx, const Tensor& x, Tensor& y) {
  with_element(x.dtype(), [&]<class T>(T*) {
    elementwise<GeluForward<T>>(ctx.engine(), x.elements(), NoScalars{}, values<T>(x), values<T>(y));
  });
}

void gelu_backward(Context& ctx, const Tensor& x, const Tensor& grad_y, Tensor& grad_x) {
  with_element(x.dtype(), [&]<class T>(T*) {
    elementwise<GeluBackward<T>>(ctx.engine(), x.elements(), NoScalars{}, values<T>(x), values<T>(grad_y), values<T>(grad_x));
  });
}

}  // namespace sutura::onednn
