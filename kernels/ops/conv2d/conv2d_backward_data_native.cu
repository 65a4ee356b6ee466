#include "kernels/cuda/gemm/weights.h"
#include "kernels/ops/conv2d/conv2d_impl.h"

// The data's gradient. Pixels fall into stride_h x stride_w phases: those of one phase are reached by the same taps of the
// window, r = first_h, first_h + stride_h, ..., and their output positions go down by one a tap. So each phase is a product of
// its own without a masked tap: rows are its pixels, columns channels, the depth [taps, filters]. Stride 1 has one phase, the flipped
// convolution.
namespace sutura::SUTURA_DEVICE {
namespace {

/// One dimension of the phases.
struct Phases {
  int extent, kernel, stride, pad;
  // Counts of taps and pixels take two values, as the first phases have one more: dividers for both.
  gemm::Divider taps_more, taps_less, pixels_more, pixels_less;
  Phases(std::int64_t size, std::int64_t k, std::int64_t s, std::int64_t p)
      : extent(gemm::counted(size)),
        kernel(gemm::counted(k)),
        stride(gemm::counted(s)),
        pad(gemm::counted(p)),
        taps_more(gemm::ceil_div(k, s)),
        taps_less(std::max<std::int64_t>(1, k / s)),
        pixels_more(gemm::ceil_div(size, s)),
        pixels_less(std::max<std::int64_t>(1, size / s)) {}
};

/// Phase `at` of a dimension: its first tap, the output position of pixel 0 under that tap, how many taps and pixels it has.
struct Phase {
  int first_tap, shift, taps, pixels;
  __device__ Phase(const Phases& d, int at) {
    first_tap = (at + d.pad) % d.stride;
    shift = (at + d.pad - first_tap) / d.stride;
    taps = (d.kernel - first_tap + d.stride - 1) / d.stride;  // 0 where the stride exceeds the kernel
    if (d.kernel <= first_tap) taps = 0;
    pixels = (d.extent - at + d.stride - 1) / d.stride;
    if (d.extent <= at) pixels = 0;
  }
};
__device__ __forceinline__ const gemm::Divider& tap_divider(const Phases& d, int taps) {
  return taps == d.taps_more.divisor() ? d.taps_more : d.taps_less;
}
__device__ __forceinline__ const gemm::Divider& pixel_divider(const Phases& d, int pixels) {
  return pixels == d.pixels_more.divisor() ? d.pixels_more : d.pixels_less;
}

template <class T>
struct BackwardData {
  static constexpr gemm::Major kMajorA = gemm::Major::kDepth, kMajorB = gemm::Major::kRows;
  const T* grad_y;
  const T* weight;
  T* grad_x;
  int records, out_h, out_w, channels;
  gemm::Divider filters;
  Phases down, across;
  gemm::Pairs pairs;

  /// The last phases first: with the usual padding they have the most taps, and a long block should not start last.
  __device__ auto part(unsigned z) const {
    const int at = down.stride * across.stride - 1 - static_cast<int>(z);
    const int at_h = at / across.stride, at_w = at % across.stride;
    const Phase h(down, at_h), w(across, at_w);
    const int rows = records * h.pixels * w.pixels, depth = h.taps * w.taps * filters.divisor();
    const gemm::Divider& taps_w = tap_divider(across, w.taps);
    const gemm::Divider &pixels_h = pixel_divider(down, h.pixels), &pixels_w = pixel_divider(across, w.pixels);
    const gemm::Window<T> window{.base = grad_y,
                                 .height = out_h,
                                 .width = out_w,
                                 .lines = rows,
                                 .columns = depth,
                                 .across = pixels_w,
                                 .down = pixels_h,
                                 .channels = filters,
                                 .taps_w = taps_w,
                                 .scale_h = 1,
                                 .scale_w = 1,
                                 .shift_h = h.shift,
                                 .shift_w = w.shift,
                                 .step = -1};
    const gemm::TapWeights<T> taps{.base = weight,
                                   .lines = depth,
                                   .columns = channels,
                                   .filters = filters,
                                   .taps_w = taps_w,
                                   .kernel_h = down.kernel,
                                   .kernel_w = across.kernel,
                                   .first_h = h.first_tap,
                                   .first_w = w.first_tap,
                                   .stride_h = down.stride,
                                   .stride_w = across.stride};
    const gemm::StorePixels<T> store{.to = grad_x,
                                     .across = pixels_w,
                                     .down = pixels_h,
                                     .height = down.extent,
                                     .width = across.extent,
                                     .first_h = at_h,
                                     .first_w = at_w,
                                     .stride_h = down.stride,
                                     .stride_w = across.stride,
                                     .pairs = pairs};
    return gemm::Product<gemm::Window<T>, gemm::TapWeights<T>, gemm::StorePixels<T>>{window,   taps, store, rows,
                                                                                     channels, 0,    depth};
  }
};

template <class Precision>
void backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  using T = typename Precision::Element;
  const Shape& out = grad_y.shape();
  const Shape& image = grad_x.shape();
  const std::int64_t filters = out[3], channels = image[3], phases = spec.stride_h * spec.stride_w;
  const std::int64_t rows = image[0] * gemm::ceil_div(image[1], spec.stride_h) * gemm::ceil_div(image[2], spec.stride_w);
  gemm::counted(rows);
  gemm::counted(weight.elements());
  const gemm::Weights<T> weights(ctx, weight);
  const auto* from = static_cast<const T*>(grad_y.data());
  auto* to = static_cast<T*>(grad_x.data());
  const bool chunks = gemm::in_chunks(from, filters) && gemm::in_chunks(weights.data(), channels);
  const gemm::Access access = chunks ? gemm::Access::kChunks : gemm::Access::kElements;
  const BackwardData<T> problem{.grad_y = from,
                                .weight = weights.data(),
                                .grad_x = to,
                                .records = gemm::counted(out[0]),
                                .out_h = gemm::counted(out[1]),
                                .out_w = gemm::counted(out[2]),
                                .channels = gemm::counted(channels),
                                .filters = gemm::Divider(filters),
                                .down = Phases(image[1], spec.kernel_h, spec.stride_h, spec.pad_h),
                                .across = Phases(image[2], spec.kernel_w, spec.stride_w, spec.pad_w),
                                .pairs = gemm::pairs_of(to, channels)};
  const gemm::Block block = gemm::choose_block(rows, channels, phases, access, ctx.stream().runtime().multiprocessors());
  gemm::run<Precision>(ctx, "conv2d_backward_data", problem, block, access, rows, channels, phases);
}

}  // namespace

void conv2d_backward_data(Context& ctx, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  gemm::with_precision(ctx, grad_y.dtype(),
                       [&]<class Precision>(Precision) { backward_data<Precision>(ctx, spec, grad_y, weight, grad_x); });
}

}  // namespace sutura::SUTURA_DEVICE
