// Convolutions of the model.
#include <bit>
#include <vector>

#include "tests/simt/cudnn/model.h"

namespace {

using namespace sutura::testing::model;

struct Filter {
  cudnnDataType_t type{};
  cudnnTensorFormat_t format{};
  int k = 0, c = 0, r = 0, s = 0;
  explicit Filter(cudnnFilterDescriptor_t d) {
    must(cudnnGetFilter4dDescriptor(d, &type, &format, &k, &c, &r, &s));
    must(format == CUDNN_TENSOR_NHWC, "a filter that is not [K, R, S, C]");
  }
  std::size_t at(int i, int j, int m, int l) const { return static_cast<std::size_t>(((i * r + m) * s + l) * c + j); }
  std::size_t elements() const { return static_cast<std::size_t>(k * r * s * c); }
};

/// float32 operands cut to tf32, the coarsest of what the library may do, unless only FMA is allowed.
class Operands {
 public:
  Operands(const char* function, cudnnConvolutionDescriptor_t d) {
    cudnnMathType_t math{};
    must(cudnnGetConvolutionMathType(d, &math));
    must(math != CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION, "operands that may be narrowed");
    exact_ = math == CUDNN_FMA_MATH;
    form(function, exact_ ? "fma" : math == CUDNN_DEFAULT_MATH ? "default math" : "tensor math");
  }
  double of(const void* p, cudnnDataType_t type, std::size_t i) const {
    const float v = load(p, type, i);
    return exact_ || type != CUDNN_DATA_FLOAT ? v : std::bit_cast<float>(std::bit_cast<std::uint32_t>(v) & 0xffffe000u);
  }

 private:
  bool exact_ = true;
};

/// Calls visit(x's index, filter's, y's) for every product of the convolution.
template <class Visit>
void convolve(cudnnConvolutionDescriptor_t d, const Described& x, const Filter& f, const Described& y, Visit visit) {
  int pad_h = 0, pad_w = 0, down = 0, across = 0, dilate_h = 0, dilate_w = 0;
  cudnnConvolutionMode_t mode{};
  cudnnDataType_t compute{};
  must(cudnnGetConvolution2dDescriptor(d, &pad_h, &pad_w, &down, &across, &dilate_h, &dilate_w, &mode, &compute));
  must(mode == CUDNN_CROSS_CORRELATION && compute == CUDNN_DATA_FLOAT && dilate_h == 1 && dilate_w == 1, "another convolution");
  must(x.type == y.type && x.type == f.type && x.n == y.n && x.c == f.c && y.c == f.k, "operands that do not fit");
  must(y.h == (x.h + 2 * pad_h - f.r) / down + 1 && y.w == (x.w + 2 * pad_w - f.s) / across + 1, "another output");
  for (int n = 0; n < y.n; ++n)
    for (int p = 0; p < y.h; ++p)
      for (int q = 0; q < y.w; ++q)
        for (int r = 0; r < f.r; ++r)
          for (int s = 0; s < f.s; ++s) {
            const int i = p * down + r - pad_h, j = q * across + s - pad_w;
            if (i < 0 || j < 0 || i >= x.h || j >= x.w) continue;
            for (int k = 0; k < f.k; ++k)
              for (int c = 0; c < f.c; ++c) visit(x.at(n, c, i, j), f.at(k, c, r, s), y.at(n, k, p, q));
          }
}

/// What heuristics propose. Four that must not be taken: sums in another way or no fixed order, sums in no fixed order by the
/// right one, one that may narrow its operands, one that does not serve these sizes. The fifth is to be taken; its arithmetic is
/// not what a context that computes exactly allows.
template <class Proposal, class Algorithm>
void propose(Algorithm wrong, Algorithm right, int most, int* count, Proposal* found) {
  must(most >= 5, "room for few proposals");
  for (int i = 0; i < 5; ++i) {
    found[i] = {};
    found[i].algo = i == 0 ? wrong : right;
    found[i].determinism = i == 1 ? CUDNN_NON_DETERMINISTIC : CUDNN_DETERMINISTIC;
    found[i].mathType = i == 2 ? CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION : CUDNN_DEFAULT_MATH;
    found[i].status = i == 3 ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
  }
  *count = 5;
}

constexpr std::size_t kForwardBytes = 100, kFilterBytes = 64;

}  // namespace

extern "C" {

cudnnStatus_t cudnnGetConvolutionForwardAlgorithm_v7(cudnnHandle_t handle, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
                                                     cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t, int most, int* count,
                                                     cudnnConvolutionFwdAlgoPerf_t* found) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  propose(CUDNN_CONVOLUTION_FWD_ALGO_WINOGRAD, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM, most, count, found);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataAlgorithm_v7(cudnnHandle_t handle, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t,
                                                          cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t, int most,
                                                          int* count, cudnnConvolutionBwdDataAlgoPerf_t* found) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  propose(CUDNN_CONVOLUTION_BWD_DATA_ALGO_0, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, most, count, found);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterAlgorithm_v7(cudnnHandle_t handle, cudnnTensorDescriptor_t,
                                                            cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                            cudnnFilterDescriptor_t, int most, int* count,
                                                            cudnnConvolutionBwdFilterAlgoPerf_t* found) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  propose(CUDNN_CONVOLUTION_BWD_FILTER_ALGO_0, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, most, count, found);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionForwardWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
                                                      cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t,
                                                      cudnnConvolutionFwdAlgo_t, std::size_t* bytes) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  *bytes = kForwardBytes;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardDataWorkspaceSize(cudnnHandle_t handle, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t,
                                                           cudnnConvolutionDescriptor_t, cudnnTensorDescriptor_t,
                                                           cudnnConvolutionBwdDataAlgo_t, std::size_t* bytes) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  *bytes = 0;
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnGetConvolutionBackwardFilterWorkspaceSize(cudnnHandle_t handle, cudnnTensorDescriptor_t,
                                                             cudnnTensorDescriptor_t, cudnnConvolutionDescriptor_t,
                                                             cudnnFilterDescriptor_t, cudnnConvolutionBwdFilterAlgo_t,
                                                             std::size_t* bytes) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  *bytes = kFilterBytes;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd, const void* x,
                                      cudnnFilterDescriptor_t wd, const void* w, cudnnConvolutionDescriptor_t d,
                                      cudnnConvolutionFwdAlgo_t algorithm, void* workspace, std::size_t bytes, const void* beta,
                                      cudnnTensorDescriptor_t yd, void* y) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  use(workspace, bytes, kForwardBytes);
  must(algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM || algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_PRECOMP_GEMM,
       "a transform was taken");
  form(__func__, algorithm == CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM ? "as proposed" : "of the list");
  const Described of_x(xd), of_y(yd);
  const Filter f(wd);
  const Operands read(__func__, d);
  std::vector<double> sums(of_y.elements());
  convolve(d, of_x, f, of_y,
           [&](std::size_t i, std::size_t j, std::size_t o) { sums[o] += read.of(x, of_x.type, i) * read.of(w, f.type, j); });
  for (std::size_t i = 0; i < sums.size(); ++i) blend(y, of_y.type, i, sums[i], alpha, beta);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void* alpha, cudnnFilterDescriptor_t wd, const void* w,
                                           cudnnTensorDescriptor_t yd, const void* dy, cudnnConvolutionDescriptor_t d,
                                           cudnnConvolutionBwdDataAlgo_t algorithm, void* workspace, std::size_t bytes,
                                           const void* beta, cudnnTensorDescriptor_t xd, void* dx) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  use(workspace, bytes, 0);
  must(algorithm == CUDNN_CONVOLUTION_BWD_DATA_ALGO_1, "sums in no fixed order were taken");
  const Described of_x(xd), of_y(yd);
  const Filter f(wd);
  const Operands read(__func__, d);
  std::vector<double> sums(of_x.elements());
  convolve(d, of_x, f, of_y,
           [&](std::size_t i, std::size_t j, std::size_t o) { sums[i] += read.of(dy, of_y.type, o) * read.of(w, f.type, j); });
  for (std::size_t i = 0; i < sums.size(); ++i) blend(dx, of_x.type, i, sums[i], alpha, beta);
  return CUDNN_STATUS_SUCCESS;
}
cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void* alpha, cudnnTensorDescriptor_t xd, const void* x,
                                             cudnnTensorDescriptor_t yd, const void* dy, cudnnConvolutionDescriptor_t d,
                                             cudnnConvolutionBwdFilterAlgo_t algorithm, void* workspace, std::size_t bytes,
                                             const void* beta, cudnnFilterDescriptor_t wd, void* dw) {
  if (refuses(__func__)) return answer;
  must_be_bound(handle);
  use(workspace, bytes, kFilterBytes);
  must(algorithm == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1, "sums in no fixed order were taken");
  const Described of_x(xd), of_y(yd);
  const Filter f(wd);
  const Operands read(__func__, d);
  std::vector<double> sums(f.elements());
  convolve(d, of_x, f, of_y,
           [&](std::size_t i, std::size_t j, std::size_t o) { sums[j] += read.of(dy, of_y.type, o) * read.of(x, of_x.type, i); });
  for (std::size_t i = 0; i < sums.size(); ++i) blend(dw, f.type, i, sums[i], alpha, beta);
  return CUDNN_STATUS_SUCCESS;
}

}  // extern "C"
