#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/conv2d/conv2d_impl.h"
#include "kernels/ops/matmul_reference.h"

// Every direction is a matrix product with the unrolled windows of one record, a chunk of output positions at a time.
namespace sutura::reference {

namespace {

/// Positions unrolled together: one inner block of matmul, so that chunking leaves the weight gradient's order alone.
constexpr std::int64_t kChunk = 128;

struct Sizes {
  Conv2dSpec spec;
  std::int64_t records, height, width, channels, filters, out_h, out_w;
  std::int64_t window() const { return spec.kernel_h * spec.kernel_w * channels; }
  std::int64_t positions() const { return out_h * out_w; }
  std::int64_t image() const { return height * width * channels; }
};

Sizes sizes_of(const Conv2dSpec& spec, const Shape& x, const Shape& y) {
  return {spec, x[0], x[1], x[2], x[3], y[3], y[1], y[2]};
}

/// Calls run(window_offset, image_offset, length) for every kernel row of the window at `position`: the longest
/// stretches that are contiguous both in the window [R, S, C] and in the image [H, W, C]. Rows and columns in the
/// padding are left out.
template <class Run>
void for_runs(const Sizes& z, std::int64_t position, Run run) {
  const std::int64_t h0 = position / z.out_w * z.spec.stride_h - z.spec.pad_h;
  const std::int64_t w0 = position % z.out_w * z.spec.stride_w - z.spec.pad_w;
  const std::int64_t s_begin = std::max<std::int64_t>(0, -w0);
  const std::int64_t s_end = std::min(z.spec.kernel_w, z.width - w0);
  if (s_begin >= s_end) return;
  for (std::int64_t r = std::max<std::int64_t>(0, -h0); r < std::min(z.spec.kernel_h, z.height - h0); ++r) {
    run((r * z.spec.kernel_w + s_begin) * z.channels, ((h0 + r) * z.width + w0 + s_begin) * z.channels,
        (s_end - s_begin) * z.channels);
  }
}

/// windows [count, R*S*C] of the positions from `first` on; zeros in the padding.
void unroll(const Sizes& z, const float* image, std::int64_t first, std::int64_t count, float* windows) {
  std::memset(windows, 0, static_cast<std::size_t>(count * z.window()) * sizeof(float));
  for (std::int64_t p = 0; p < count; ++p) {
    float* window = windows + p * z.window();
    for_runs(z, first + p, [&](std::int64_t to, std::int64_t from, std::int64_t length) {
      std::memcpy(window + to, image + from, static_cast<std::size_t>(length) * sizeof(float));
    });
  }
}

/// Adds the windows back onto the image, position by position.
void roll_up(const Sizes& z, const float* windows, std::int64_t first, std::int64_t count, float* image) {
  for (std::int64_t p = 0; p < count; ++p) {
    const float* window = windows + p * z.window();
    for_runs(z, first + p, [&](std::int64_t from, std::int64_t to, std::int64_t length) {
      for (std::int64_t i = 0; i < length; ++i) image[to + i] += window[from + i];
    });
  }
}

std::vector<float> chunk_buffer(const Sizes& z) {
  return std::vector<float>(static_cast<std::size_t>(std::min(kChunk, z.positions()) * z.window()));
}

}  // namespace

void conv2d_forward(Context&, const Conv2dSpec& spec, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const Sizes z = sizes_of(spec, x.shape(), y.shape());
  std::vector<float> columns(static_cast<std::size_t>(z.window() * z.filters));  // [R*S*C, K]
  transpose(weight.f32().data(), z.filters, z.window(), columns.data());
  std::vector<float> windows = chunk_buffer(z);
  const float* b = bias.defined() ? bias.f32().data() : nullptr;
  for (std::int64_t n = 0; n < z.records; ++n) {
    for (std::int64_t first = 0; first < z.positions(); first += kChunk) {
      const std::int64_t count = std::min(kChunk, z.positions() - first);
      float* out = y.f32().data() + (n * z.positions() + first) * z.filters;
      unroll(z, x.f32().data() + n * z.image(), first, count, windows.data());
      matmul({windows.data(), z.window(), 1}, columns.data(), out, count, z.filters, z.window(), Product::kOverwrite);
      if (b == nullptr) continue;
      for (std::int64_t p = 0; p < count; ++p) {
        for (std::int64_t k = 0; k < z.filters; ++k) out[p * z.filters + k] += b[k];
      }
    }
  }
}

void conv2d_backward_data(Context&, const Conv2dSpec& spec, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const Sizes z = sizes_of(spec, grad_x.shape(), grad_y.shape());
  std::vector<float> windows = chunk_buffer(z);
  std::ranges::fill(grad_x.f32(), 0.0f);
  for (std::int64_t n = 0; n < z.records; ++n) {
    for (std::int64_t first = 0; first < z.positions(); first += kChunk) {
      const std::int64_t count = std::min(kChunk, z.positions() - first);
      const float* g = grad_y.f32().data() + (n * z.positions() + first) * z.filters;
      matmul({g, z.filters, 1}, weight.f32().data(), windows.data(), count, z.window(), z.filters, Product::kOverwrite);
      roll_up(z, windows.data(), first, count, grad_x.f32().data() + n * z.image());
    }
  }
}

void conv2d_backward_weights(Context&, const Conv2dSpec& spec, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight,
                             Tensor& grad_bias) {
  const Sizes z = sizes_of(spec, x.shape(), grad_y.shape());
  std::vector<float> windows = chunk_buffer(z);
  const std::int64_t weights = z.filters * z.window();
  std::vector<float> bias_chunk(static_cast<std::size_t>(z.filters));
  PairwiseSum<float> sum(static_cast<std::size_t>(weights + z.filters));  // one record's weight, then bias gradient
  for (std::int64_t n = 0; n < z.records; ++n) {
    std::ranges::fill(sum.leaf(), 0.0f);
    float* leaf = sum.leaf().data();
    for (std::int64_t first = 0; first < z.positions(); first += kChunk) {
      const std::int64_t count = std::min(kChunk, z.positions() - first);
      const float* g = grad_y.f32().data() + (n * z.positions() + first) * z.filters;
      unroll(z, x.f32().data() + n * z.image(), first, count, windows.data());
      matmul({g, 1, z.filters}, windows.data(), leaf, z.filters, z.window(), count, Product::kAccumulate);
      std::ranges::fill(bias_chunk, 0.0f);
      for (std::int64_t p = 0; p < count; ++p) {
        for (std::int64_t k = 0; k < z.filters; ++k) bias_chunk[static_cast<std::size_t>(k)] += g[p * z.filters + k];
      }
      for (std::int64_t k = 0; k < z.filters; ++k) leaf[weights + k] += bias_chunk[static_cast<std::size_t>(k)];
    }
    sum.push();
  }
  const float* total = sum.total().data();
  float* to = grad_weight.f32().data();
  for (std::int64_t i = 0; i < weights; ++i) to[i] += total[i];
  if (!grad_bias.defined()) return;
  for (std::int64_t k = 0; k < z.filters; ++k) grad_bias.f32()[static_cast<std::size_t>(k)] += total[weights + k];
}

}  // namespace sutura::reference
