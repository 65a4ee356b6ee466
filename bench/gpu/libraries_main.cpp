// What NVIDIA's libraries reach on this device: the ceilings of scripts/gpu_check that are not ours. Links cuDNN and cuBLAS itself;
// no other program does.
#include <cublas_v2.h>
#include <cudnn.h>

#include <cmath>
#include <cstdio>
#include <limits>
#include <string_view>

#include "bench/gpu/convolutions.h"
#include "core/error.h"
#include "kernels/device_stream.h"

namespace sutura::bench {
namespace {

void check(cublasStatus_t status) { require(status == CUBLAS_STATUS_SUCCESS, Errc::kDevice, cublasGetStatusString(status)); }
void check(cudnnStatus_t status) { require(status == CUDNN_STATUS_SUCCESS, Errc::kDevice, cudnnGetErrorString(status)); }

void measure_product(Report& report, Context& ctx) {
  report.number("ceiling.library_gemm_bf16", "FLOP/s", [&] {
    constexpr int kSize = 8192;
    const Tensor a = random_tensor(ctx, {kSize, kSize}, DType::kBfloat16, 1),
                 b = random_tensor(ctx, {kSize, kSize}, DType::kBfloat16, 2);
    Tensor c = ctx.tensor({kSize, kSize}, DType::kBfloat16);
    cublasHandle_t handle = nullptr;
    check(cublasCreate(&handle));
    check(cublasSetStream(handle, ctx.stream().stream()));
    const float one = 1.0f, zero = 0.0f;
    const double seconds = queued_seconds(ctx, report.effort(), [&](int) {
      check(cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, kSize, kSize, kSize, &one, a.data(), CUDA_R_16BF, kSize, b.data(),
                         CUDA_R_16BF, kSize, &zero, c.data(), CUDA_R_16BF, kSize, CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
    });
    check(cublasDestroy(handle));
    return 2.0 * kSize * kSize * kSize / seconds;
  });
}

/// cuDNN's descriptors of one convolution, NHWC in bfloat16 with float32 sums.
class Described {
 public:
  Described(const Convolution& c, std::int64_t batch) {
    const Shape y_shape = c.spec.output_shape({batch, c.pixels, c.pixels, c.channels}, c.filters);
    const auto n = [](std::int64_t v) { return static_cast<int>(v); };
    check(cudnnCreateTensorDescriptor(&x));
    check(cudnnCreateTensorDescriptor(&y));
    check(cudnnCreateFilterDescriptor(&w));
    check(cudnnCreateConvolutionDescriptor(&convolution));
    check(
        cudnnSetTensor4dDescriptor(x, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16, n(batch), n(c.channels), n(c.pixels), n(c.pixels)));
    check(cudnnSetTensor4dDescriptor(y, CUDNN_TENSOR_NHWC, CUDNN_DATA_BFLOAT16, n(batch), n(c.filters), n(y_shape[1]),
                                     n(y_shape[2])));
    check(cudnnSetFilter4dDescriptor(w, CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_NHWC, n(c.filters), n(c.channels), n(c.spec.kernel_h),
                                     n(c.spec.kernel_w)));
    check(cudnnSetConvolution2dDescriptor(convolution, n(c.spec.pad_h), n(c.spec.pad_w), n(c.spec.stride_h), n(c.spec.stride_w),
                                          1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    check(cudnnSetConvolutionMathType(convolution, CUDNN_TENSOR_OP_MATH));
  }
  ~Described() {
    cudnnDestroyConvolutionDescriptor(convolution);
    cudnnDestroyFilterDescriptor(w);
    cudnnDestroyTensorDescriptor(y);
    cudnnDestroyTensorDescriptor(x);
  }
  Described(const Described&) = delete;
  Described& operator=(const Described&) = delete;
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
};

/// The fastest of cuDNN's deterministic algorithms, each timed as ours is: Sutura promises the same bits for the same input, so the
/// others (backward data 0, backward filter 0 and 3: cudnn_cnn.h) are no rivals. The gradient of the weights is bfloat16 and
/// overwritten here, which is less work than ours does.
double best_seconds(Context& ctx, Effort effort, cudnnHandle_t handle, const Convolution& c, std::int64_t batch, Direction d) {
  constexpr std::size_t kMostWorkspace = std::size_t{1} << 30;
  const Described of(c, batch);
  const Shape x_shape{batch, c.pixels, c.pixels, c.channels}, w_shape{c.filters, c.spec.kernel_h, c.spec.kernel_w, c.channels};
  const Shape y_shape = c.spec.output_shape(x_shape, c.filters);
  std::vector<Tensor> x, y;
  for (int i = 0; i < kSets; ++i) {
    x.push_back(random_tensor(ctx, x_shape, DType::kBfloat16, 1 + static_cast<std::uint64_t>(i)));
    y.push_back(random_tensor(ctx, y_shape, DType::kBfloat16, 11 + static_cast<std::uint64_t>(i)));
  }
  Tensor w = random_tensor(ctx, w_shape, DType::kBfloat16, 21);
  const float one = 1.0f, zero = 0.0f;
  double best = std::numeric_limits<double>::infinity();
  const auto attempt = [&](auto workspace_bytes, auto run) {
    std::size_t bytes = 0;
    if (workspace_bytes(&bytes) != CUDNN_STATUS_SUCCESS || bytes > kMostWorkspace) return;
    Tensor workspace = ctx.tensor({static_cast<std::int64_t>(bytes) + 1}, DType::kUint8);
    if (run(0, workspace.data(), bytes) != CUDNN_STATUS_SUCCESS) return;
    try {
      best = std::min(
          best, graph_seconds(ctx, effort, [&](int set) { check(run(static_cast<std::size_t>(set), workspace.data(), bytes)); }));
    } catch (const Error&) {  // one that cannot be recorded is no rival; a lost device ends every later attempt too
    }
  };
  switch (d) {
    case Direction::kForward:
      for (int a = 0; a < CUDNN_CONVOLUTION_FWD_ALGO_COUNT; ++a) {
        const auto algorithm = static_cast<cudnnConvolutionFwdAlgo_t>(a);
        attempt(
            [&](std::size_t* b) {
              return cudnnGetConvolutionForwardWorkspaceSize(handle, of.x, of.w, of.convolution, of.y, algorithm, b);
            },
            [&](std::size_t i, void* space, std::size_t b) {
              return cudnnConvolutionForward(handle, &one, of.x, x[i].data(), of.w, w.data(), of.convolution, algorithm, space, b,
                                             &zero, of.y, y[i].data());
            });
      }
      break;
    case Direction::kData:
      for (int a = CUDNN_CONVOLUTION_BWD_DATA_ALGO_1; a < CUDNN_CONVOLUTION_BWD_DATA_ALGO_COUNT; ++a) {
        const auto algorithm = static_cast<cudnnConvolutionBwdDataAlgo_t>(a);
        attempt(
            [&](std::size_t* b) {
              return cudnnGetConvolutionBackwardDataWorkspaceSize(handle, of.w, of.y, of.convolution, of.x, algorithm, b);
            },
            [&](std::size_t i, void* space, std::size_t b) {
              return cudnnConvolutionBackwardData(handle, &one, of.w, w.data(), of.y, y[i].data(), of.convolution, algorithm,
                                                  space, b, &zero, of.x, x[i].data());
            });
      }
      break;
    case Direction::kWeights:
      for (int a = CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1; a < CUDNN_CONVOLUTION_BWD_FILTER_ALGO_COUNT; ++a) {
        if (a == CUDNN_CONVOLUTION_BWD_FILTER_ALGO_3) continue;
        const auto algorithm = static_cast<cudnnConvolutionBwdFilterAlgo_t>(a);
        attempt(
            [&](std::size_t* b) {
              return cudnnGetConvolutionBackwardFilterWorkspaceSize(handle, of.x, of.y, of.convolution, of.w, algorithm, b);
            },
            [&](std::size_t i, void* space, std::size_t b) {
              return cudnnConvolutionBackwardFilter(handle, &one, of.x, x[i].data(), of.y, y[i].data(), of.convolution, algorithm,
                                                    space, b, &zero, of.w, w.data());
            });
      }
      break;
  }
  require(std::isfinite(best), Errc::kDevice, "cuDNN has no deterministic algorithm for it");
  return best;
}

void measure_library_convolutions(Report& report, Context& ctx) {
  cudnnHandle_t handle = nullptr;
  check(cudnnCreate(&handle));
  check(cudnnSetStream(handle, ctx.stream().stream()));
  report.text("device.cudnn", std::to_string(cudnnGetVersion()));
  for (const Convolution& c : convolutions(report.effort()))
    for (const std::int64_t batch : batches(report.effort()))
      for (const Direction d : {Direction::kForward, Direction::kData, Direction::kWeights})
        report.number(key(c, batch, d) + ".cudnn", "s", [&] { return best_seconds(ctx, report.effort(), handle, c, batch, d); });
  cudnnDestroy(handle);
}

}  // namespace
}  // namespace sutura::bench

int main(int argc, char** argv) {
  using namespace sutura;
  const std::string_view part = argc > 1 ? argv[1] : "";
  const bool quick = argc > 2 && std::string_view(argv[2]) == "--quick";
  if ((part != "product" && part != "convolutions") || argc > (quick ? 3 : 2)) {
    std::fprintf(stderr, "usage: sutura-gpu-libraries product|convolutions [--quick]\n");
    return 2;
  }
  bench::Report report(quick ? bench::Effort::kQuick : bench::Effort::kFull);
  try {
    Context ctx(Backend::kNative);
    part == "product" ? bench::measure_product(report, ctx) : bench::measure_library_convolutions(report, ctx);
  } catch (const Error& e) {
    std::fprintf(stderr, "sutura-gpu-libraries: %s\n", e.what());
    return 3;
  }
  return report.failures() == 0 ? 0 : 1;
}
