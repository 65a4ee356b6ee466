#include "kernels/cuda/gemm/weights.h"
#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/conv2d/conv2d_windows.h"

// Forward convolution as an implicit product: rows are output positions (n, p, q), columns filters, the depth a window [R, S, C].
namespace sutura::SUTURA_DEVICE {
namespace {

template <class T>
struct Forward {
  static constexpr gemm::Major kMajorA = gemm::Major::kDepth, kMajorB = gemm::Major::kDepth;
  gemm::Product<gemm::Window<T>, gemm::Matrix<T>, gemm::StoreForward<T>> product;
  __device__ const auto& part(unsigned) const { return product; }
};

template <class Precision>
void forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Conv2dEpilogue& epilogue,
             Tensor& y) {
  using T = typename Precision::Element;
  const Shape& image = x.shape();
  const Shape& out = y.shape();
  const std::int64_t rows = out[0] * out[1] * out[2], filters = out[3], depth = weight.shape().row_elements();
  const gemm::Weights<T> weights(ctx, weight);
  const auto* from = static_cast<const T*>(x.data());
  const gemm::Access access = gemm::in_chunks(from, image[3]) ? gemm::Access::kChunks : gemm::Access::kElements;
  const gemm::Block block = gemm::choose_block(rows, filters, 1, access, ctx.stream().runtime().multiprocessors());

  const gemm::Window<T> windows = windows_of(spec, from, image, out);
  const gemm::Matrix<T> kernels{weights.data(), gemm::counted(filters), gemm::counted(depth)};
  const auto values = [](const Tensor* t) { return t != nullptr && t->defined() ? t->data() : nullptr; };
  if (epilogue.statistics != nullptr)
    *epilogue.statistics = ctx.tensor({gemm::ceil_div(rows, gemm::block_rows(block)), 2, filters});
  auto* to = static_cast<T*>(y.data());
  const gemm::StoreForward<T> store{
      .y = to,
      .bias = static_cast<const float*>(values(epilogue.bias)),
      .residual = static_cast<const T*>(values(epilogue.residual)),
      .statistics = epilogue.statistics != nullptr ? static_cast<float*>(epilogue.statistics->data()) : nullptr,
      .activation = epilogue.activation,
      .pairs = gemm::pairs_of(to, filters)};
  const Forward<T> problem{{windows, kernels, store, gemm::counted(rows), gemm::counted(filters), 0, gemm::counted(depth)}};
  gemm::run<Precision>(ctx, "conv2d_forward", problem, block, access, rows, filters, 1);
}

}  // namespace

void conv2d_forward_fused(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight,
                          const Conv2dEpilogue& epilogue, Tensor& y) {
  gemm::with_precision(ctx, x.dtype(),
                       [&]<class Precision>(Precision) { forward<Precision>(ctx, spec, x, weight, epilogue, y); });
}

void conv2d_forward(Context& ctx, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  conv2d_forward_fused(ctx, spec, x, weight, {.bias = &bias}, y);
}

}  // namespace sutura::SUTURA_DEVICE
