// Everything but products in the model: biases, batch norm, activations, average pooling.
#include <cmath>
#include <deque>
#include <limits>
#include <mutex>
#include <vector>

#include "tests/simt/cudnn/model.h"

namespace {

using namespace sutura::testing::model;

float* f32(void* p) { return static_cast<float*>(p); }
const float* f32(const void* p) { return static_cast<const float*>(p); }

/// The values of a channel of a batch norm, checked against its descriptor of statistics.
struct Normed {
  Described x;
  double count;
  /// `others`: of the tensors that lie as x does.
  Normed(cudnnBatchNormMode_t mode, cudnnTensorDescriptor_t xd, std::initializer_list<cudnnTensorDescriptor_t> others,
         cudnnTensorDescriptor_t channels)
      : x(xd), count(1.0 * x.n * x.h * x.w) {
    must(mode == CUDNN_BATCHNORM_SPATIAL, "another batch norm");
    for (const cudnnTensorDescriptor_t other : others) Described(other).must_be_laid_out_as(x);
    const Described c(channels);
    c.must_be_channels_of(x);
    must(c.type == CUDNN_DATA_FLOAT && c.by_c == 1, "statistics that are not float32 [C]");
  }
};

struct Pooling {
  int kernel_h = 0, kernel_w = 0, pad_h = 0, pad_w = 0, down = 0, across = 0;
  explicit Pooling(cudnnPoolingDescriptor_t d) {
    cudnnPoolingMode_t mode{};
    cudnnNanPropagation_t nan{};
    must(cudnnGetPooling2dDescriptor(d, &mode, &nan, &kernel_h, &kernel_w, &pad_h, &pad_w, &down, &across));
    must(mode == CUDNN_POOLING_AVERAGE_COUNT_INCLUDE_PADDING && nan == CUDNN_PROPAGATE_NAN, "another pooling");
  }
  /// visit(x's index, y's index) for every pixel of every window.
  template <class Visit>
  void for_windows(const Described& x, const Described& y, Visit visit) const {
    must(x.n == y.n && x.c == y.c && y.h == (x.h + 2 * pad_h - kernel_h) / down + 1 &&
             y.w == (x.w + 2 * pad_w - kernel_w) / across + 1,
         "another output");
    for (int n = 0; n < y.n; ++n)
      for (int c = 0; c < y.c; ++c)
        for (int p = 0; p < y.h; ++p)
          for (int q = 0; q < y.w; ++q)
            for (int r = 0; r < kernel_h; ++r)
              for (int s = 0; s < kernel_w; ++s) {
                const int i = p * down + r - pad_h, j = q * across + s - pad_w;
                if (i >= 0 && j >= 0 && i < x.h && j < x.w) visit(x.at(n, c, i, j), y.at(n, c, p, q));
              }
  }
};

/// Every handle that was made; they stay where they are.
std::deque<cudnnContext> handles;
std::mutex handles_mutex;

}  // namespace

void sutura::testing::model::must_be_bound(cudnnHandle_t handle) {
  const std::lock_guard lock(handles_mutex);
  bool made = false;
  for (const cudnnContext& h : handles) made = made || &h == handle;
  must(made && handle->stream != nullptr, "a handle that was not made, or has no stream");
}

extern "C" {

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  const std::lock_guard lock(handles_mutex);
  *handle = &handles.emplace_back();
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionBackwardBias(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t yd, const void* dy,
                                           const void* beta, cudnnTensorDescriptor_t bd, void* db) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Described of_y(yd), of_b(bd);
  of_b.must_be_channels_of(of_y);
  for (int c = 0; c < of_y.c; ++c) {
    double sum = 0.0;
    of_y.for_channel(c, [&](std::size_t i) { sum += load(dy, of_y.type, i); });
    blend(db, of_b.type, of_b.at(0, c, 0, 0), sum, alpha, beta);
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnAddTensor(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t ad, const void* a, const void* beta,
                             cudnnTensorDescriptor_t yd, void* y) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Described of_a(ad), of_y(yd);
  of_a.must_be_channels_of(of_y);
  must(of_a.type == of_y.type, "a sum of two types");
  for (int c = 0; c < of_y.c; ++c)
    of_y.for_channel(c, [&](std::size_t i) { blend(y, of_y.type, i, load(a, of_a.type, of_a.at(0, c, 0, 0)), alpha, beta); });
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnActivationForward(cudnnHandle_t handle, cudnnActivationDescriptor_t d, const void* alpha,
                                     cudnnTensorDescriptor_t xd, const void* x, const void* beta, cudnnTensorDescriptor_t yd,
                                     void* y) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  cudnnActivationMode_t mode{};
  cudnnNanPropagation_t nan{};
  double ceiling = 0.0;
  must(cudnnGetActivationDescriptor(d, &mode, &nan, &ceiling));
  must(nan == CUDNN_PROPAGATE_NAN, "a NaN would be lost");
  form(__func__, mode == CUDNN_ACTIVATION_RELU ? "relu" : "sigmoid");
  // Any ceiling but the documented default, which is none, is one.
  if (ceiling == std::numeric_limits<double>::max()) ceiling = std::numeric_limits<double>::infinity();
  const Described of(xd);
  Described(yd).must_be_laid_out_as(of);
  for (std::size_t i = 0; i < of.elements(); ++i) {
    const double v = load(x, of.type, i);
    const double rectified = v > 0.0 ? std::fmin(v, ceiling) : v != v ? v : 0.0;
    blend(y, of.type, i, mode == CUDNN_ACTIVATION_RELU ? rectified : 1.0 / (1.0 + std::exp(-v)), alpha, beta);
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnActivationBackward(cudnnHandle_t handle, cudnnActivationDescriptor_t d, const void* alpha,
                                      cudnnTensorDescriptor_t yd, const void* y, cudnnTensorDescriptor_t dyd, const void* dy,
                                      cudnnTensorDescriptor_t xd, const void* x, const void* beta, cudnnTensorDescriptor_t dxd,
                                      void* dx) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  cudnnActivationMode_t mode{};
  cudnnNanPropagation_t nan{};
  double ceiling = 0.0;
  must(cudnnGetActivationDescriptor(d, &mode, &nan, &ceiling));
  must(mode == CUDNN_ACTIVATION_SIGMOID && nan == CUDNN_PROPAGATE_NAN && x != nullptr, "another activation");
  const Described of(yd);
  for (const cudnnTensorDescriptor_t other : {dyd, xd, dxd}) Described(other).must_be_laid_out_as(of);
  for (std::size_t i = 0; i < of.elements(); ++i) {
    const double v = load(y, of.type, i);
    blend(dx, of.type, i, load(dy, of.type, i) * v * (1.0 - v), alpha, beta);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBatchNormalizationForwardTraining(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha,
                                                     const void* beta, cudnnTensorDescriptor_t xd, const void* x,
                                                     cudnnTensorDescriptor_t yd, void* y, cudnnTensorDescriptor_t cd,
                                                     const void* scale, const void* shift, double factor, void* running_mean,
                                                     void* running_var, double eps, void* mean, void* rstd) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Normed z(mode, xd, {yd}, cd);
  for (int c = 0; c < z.x.c; ++c) {
    double m = 0.0, squares = 0.0;
    z.x.for_channel(c, [&](std::size_t i) { m += load(x, z.x.type, i) / z.count; });
    z.x.for_channel(c, [&](std::size_t i) { squares += std::pow(load(x, z.x.type, i) - m, 2); });
    const double r = 1.0 / std::sqrt(squares / z.count + eps);
    f32(mean)[c] = static_cast<float>(m);
    f32(rstd)[c] = static_cast<float>(r);
    f32(running_mean)[c] = static_cast<float>((1.0 - factor) * f32(running_mean)[c] + factor * m);
    f32(running_var)[c] = static_cast<float>((1.0 - factor) * f32(running_var)[c] + factor * squares / (z.count - 1.0));
    z.x.for_channel(c, [&](std::size_t i) {
      blend(y, z.x.type, i, (load(x, z.x.type, i) - m) * r * f32(scale)[c] + f32(shift)[c], alpha, beta);
    });
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBatchNormalizationForwardInference(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha,
                                                      const void* beta, cudnnTensorDescriptor_t xd, const void* x,
                                                      cudnnTensorDescriptor_t yd, void* y, cudnnTensorDescriptor_t cd,
                                                      const void* scale, const void* shift, const void* mean,
                                                      const void* variance, double eps) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Normed z(mode, xd, {yd}, cd);
  for (int c = 0; c < z.x.c; ++c) {
    const double r = 1.0 / std::sqrt(f32(variance)[c] + eps);
    z.x.for_channel(c, [&](std::size_t i) {
      blend(y, z.x.type, i, (load(x, z.x.type, i) - f32(mean)[c]) * r * f32(scale)[c] + f32(shift)[c], alpha, beta);
    });
  }
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnBatchNormalizationBackward(cudnnHandle_t handle, cudnnBatchNormMode_t mode, const void* alpha,
                                              const void* beta, const void* alpha_param, const void* beta_param,
                                              cudnnTensorDescriptor_t xd, const void* x, cudnnTensorDescriptor_t dyd,
                                              const void* dy, cudnnTensorDescriptor_t dxd, void* dx, cudnnTensorDescriptor_t cd,
                                              const void* scale, void* dscale, void* dshift, double, const void* mean,
                                              const void* rstd) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  must(dx != dy, "a gradient over its input, which the library does not promise to bear");
  const Normed z(mode, xd, {dyd, dxd}, cd);
  for (int c = 0; c < z.x.c; ++c) {
    double sum = 0.0, sum_h = 0.0;
    const auto h = [&](std::size_t i) { return (load(x, z.x.type, i) - f32(mean)[c]) * f32(rstd)[c]; };
    z.x.for_channel(c, [&](std::size_t i) {
      sum += load(dy, z.x.type, i);
      sum_h += load(dy, z.x.type, i) * h(i);
    });
    z.x.for_channel(c, [&](std::size_t i) {
      const double centred = load(dy, z.x.type, i) - sum / z.count - h(i) * sum_h / z.count;
      blend(dx, z.x.type, i, f32(scale)[c] * f32(rstd)[c] * centred, alpha, beta);
    });
    blend(dscale, CUDNN_DATA_FLOAT, static_cast<std::size_t>(c), sum_h, alpha_param, beta_param);
    blend(dshift, CUDNN_DATA_FLOAT, static_cast<std::size_t>(c), sum, alpha_param, beta_param);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnPoolingForward(cudnnHandle_t handle, cudnnPoolingDescriptor_t d, const void* alpha, cudnnTensorDescriptor_t xd,
                                  const void* x, const void* beta, cudnnTensorDescriptor_t yd, void* y) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Pooling pool(d);
  const Described of_x(xd), of_y(yd);
  std::vector<double> sums(of_y.elements());
  pool.for_windows(of_x, of_y, [&](std::size_t i, std::size_t o) { sums[o] += load(x, of_x.type, i); });
  for (std::size_t o = 0; o < sums.size(); ++o) blend(y, of_y.type, o, sums[o] / (pool.kernel_h * pool.kernel_w), alpha, beta);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnPoolingBackward(cudnnHandle_t handle, cudnnPoolingDescriptor_t d, const void* alpha,
                                   cudnnTensorDescriptor_t yd, const void* y, cudnnTensorDescriptor_t dyd, const void* dy,
                                   cudnnTensorDescriptor_t xd, const void* x, const void* beta, cudnnTensorDescriptor_t dxd,
                                   void* dx) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  const Pooling pool(d);
  const Described of_x(xd), of_y(yd);
  Described(dyd).must_be_laid_out_as(of_y);
  Described(dxd).must_be_laid_out_as(of_x);
  // A mean needs neither, but the library may read them.
  for (std::size_t i = 0; i < of_y.elements(); ++i) load(y, of_y.type, i);
  for (std::size_t i = 0; i < of_x.elements(); ++i) must(load(x, of_x.type, i) == 0.0f, "an image that nobody set");
  std::vector<double> sums(of_x.elements());
  pool.for_windows(of_x, of_y, [&](std::size_t i, std::size_t o) { sums[i] += load(dy, of_y.type, o); });
  for (std::size_t i = 0; i < sums.size(); ++i) blend(dx, of_x.type, i, sums[i] / (pool.kernel_h * pool.kernel_w), alpha, beta);
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
