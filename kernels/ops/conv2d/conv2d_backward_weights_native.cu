#include "kernels/cuda/gemm/plan.h"
#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/conv2d/conv2d_windows.h"

// The weights' gradient: rows are filters, columns a window [R, S, C], the depth the output positions (n, p, q) of the whole
// batch. The result is small and the depth long, so the depth is cut into slices that fill the chip; a second kernel adds them in order.
namespace sutura::SUTURA_DEVICE {
namespace {

constexpr unsigned kThreads = 256;

template <class T>
struct BackwardWeights {
  static constexpr gemm::Major kMajorA = gemm::Major::kRows, kMajorB = gemm::Major::kRows;
  gemm::Matrix<T> grad_y;
  gemm::Window<T> windows;
  gemm::StoreSlice store;
  int filters, slice;  // depths of a slice, a multiple of a stage's

  __device__ auto part(unsigned z) const {
    const int begin = static_cast<int>(z) * slice;
    gemm::StoreSlice here = store;
    here.to += static_cast<std::int64_t>(z) * filters * windows.columns;
    const int end = grad_y.lines - begin < slice ? grad_y.lines : begin + slice;
    return gemm::Product<gemm::Matrix<T>, gemm::Window<T>, gemm::StoreSlice>{grad_y,          windows, here, filters,
                                                                             windows.columns, begin,   end};
  }
};

/// to[i] += from[0][i] + from[1][i] + ..., left to right.
/// Limit: memory, every slice once. Shape: a thread an element, so that neighbouring threads read neighbours of a slice.
__global__ void add_slices_kernel(int elements, int slices, const float* from, float* to) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= elements) return;
  float sum = from[i];
  for (int s = 1; s < slices; ++s) sum += from[static_cast<std::int64_t>(s) * elements + i];
  to[i] += sum;
}

void add_slices(Context& ctx, std::int64_t elements, std::int64_t slices, const Tensor& from, Tensor& to) {
  SUTURA_LAUNCH(add_slices_kernel, static_cast<unsigned>(gemm::ceil_div(elements, kThreads)), kThreads, 0, ctx.stream().stream(),
                gemm::counted(elements), static_cast<int>(slices), static_cast<const float*>(from.data()),
                static_cast<float*>(to.data()));
}

constexpr int kSumColumns = 32, kSumLanes = static_cast<int>(kThreads) / kSumColumns;  // a warp reads 32 neighbouring columns
constexpr std::int64_t kSumRows = 1024;                                                // of a block: 128 additions a thread

/// sums[chunk][c] = the sum of x[r][c] over the rows of a chunk: lane by lane, then over the lanes in order.
/// Limit: memory. Shape: a warp reads 32 neighbouring columns, eight warps share the 1024 rows of a block.
template <class T>
__global__ void column_sums_kernel(int rows, int columns, const T* x, float* sums) {
  SUTURA_SHARED(float, partial, kThreads);
  const int lane = static_cast<int>(threadIdx.x) / kSumColumns, within = static_cast<int>(threadIdx.x) % kSumColumns;
  const int column = static_cast<int>(blockIdx.x) * kSumColumns + within;
  const std::int64_t first = static_cast<std::int64_t>(blockIdx.y) * kSumRows;
  const std::int64_t end = first + kSumRows < rows ? first + kSumRows : rows;
  float sum = 0.0f;
  if (column < columns)
    for (std::int64_t r = first + lane; r < end; r += kSumLanes) sum += load_value(x[r * columns + column]);
  partial[threadIdx.x] = sum;
  block_sync();
  if (lane != 0 || column >= columns) return;
  for (int l = 1; l < kSumLanes; ++l) sum += partial[l * kSumColumns + within];
  sums[static_cast<std::int64_t>(blockIdx.y) * columns + column] = sum;
}

template <class T>
void add_bias_gradient(Context& ctx, const T* grad_y, std::int64_t rows, std::int64_t filters, Tensor& grad_bias) {
  const std::int64_t most = 65535;  // blocks along y
  const std::int64_t chunks = gemm::ceil_div(rows, kSumRows);
  require(chunks <= most, Errc::kInvalidArgument, "conv2d: a bias gradient over more than 2^26 positions");
  const Tensor sums = ctx.tensor({chunks, filters});
  const dim3 grid(static_cast<unsigned>(gemm::ceil_div(filters, kSumColumns)), static_cast<unsigned>(chunks));
  SUTURA_LAUNCH(column_sums_kernel<T>, grid, kThreads, 0, ctx.stream().stream(), gemm::counted(rows), gemm::counted(filters),
                grad_y, static_cast<float*>(const_cast<void*>(sums.data())));
  add_slices(ctx, filters, chunks, sums, grad_bias);
}

template <class Precision>
void backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                      Tensor& grad_bias) {
  using T = typename Precision::Element;
  const Shape& image = x.shape();
  const Shape& out = grad_y.shape();
  const std::int64_t positions = out[0] * out[1] * out[2], filters = out[3], window = grad_weight.shape().row_elements();
  const auto* gradients = static_cast<const T*>(grad_y.data());
  const auto* images = static_cast<const T*>(x.data());
  const bool chunks = gemm::in_chunks(gradients, filters) && gemm::in_chunks(images, image[3]);
  const gemm::Access access = chunks ? gemm::Access::kChunks : gemm::Access::kElements;

  constexpr std::int64_t kStep = gemm::kDepthBytes / static_cast<std::int64_t>(sizeof(T));
  const std::int64_t multiprocessors = ctx.stream().runtime().multiprocessors(), stages = gemm::ceil_div(positions, kStep);
  const gemm::Block block =
      gemm::choose_block(filters, window, gemm::choose_slices(1, stages, multiprocessors), access, multiprocessors);
  const std::int64_t wanted = gemm::choose_slices(gemm::blocks_of(block, filters, window), stages, multiprocessors);
  const std::int64_t slice = gemm::ceil_div(stages, wanted) * kStep, slices = gemm::ceil_div(positions, slice);

  Tensor workspace;
  if (slices > 1) workspace = ctx.tensor({slices, filters, window});
  const gemm::StoreSlice store{static_cast<float*>(slices > 1 ? workspace.data() : grad_weight.data()),
                               slices > 1 ? gemm::StoreSlice::Into::kWorkspace : gemm::StoreSlice::Into::kGradient};
  const gemm::Window<T> windows = windows_of(spec, images, image, out);
  const BackwardWeights<T> problem{{gradients, gemm::counted(positions), gemm::counted(filters)},
                                   windows,
                                   store,
                                   gemm::counted(filters),
                                   gemm::counted(slice)};
  gemm::run<Precision>(ctx, "conv2d_backward_weights", problem, block, access, filters, window, slices);
  if (slices > 1) add_slices(ctx, filters * window, slices, workspace, grad_weight);
  if (grad_bias.defined()) add_bias_gradient(ctx, gradients, positions, filters, grad_bias);
}

}  // namespace

void conv2d_backward_weights(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias) {
  gemm::with_precision(ctx, x.dtype(), [&]<class Precision>(Precision) {
    backward_weights<Precision>(ctx, spec, x, grad_y, grad_weight, grad_bias);
  });
}

}  // namespace sutura::SUTURA_DEVICE
