#include <algorithm>
#include <vector>

#include "kernels/ops/channel_sums_reference.h"
#include "kernels/ops/pool2d/pool2d_impl.h"

namespace sutura::reference {

namespace {

/// The part of a window that lies on the image.
struct Window {
  std::int64_t h_begin, h_end, w_begin, w_end;
};

Window window_at(const Pool2dSpec& spec, const Shape& image, std::int64_t p, std::int64_t q) {
  const std::int64_t h = p * spec.stride_h - spec.pad_h;
  const std::int64_t w = q * spec.stride_w - spec.pad_w;
  return {std::max<std::int64_t>(h, 0), std::min(h + spec.kernel_h, image[1]), std::max<std::int64_t>(w, 0),
          std::min(w + spec.kernel_w, image[2])};
}

/// Calls visit(offset of the output's channel 0, offset of the record, window) for every output position, in order.
template <class Visit>
void for_windows(const Pool2dSpec& spec, const Shape& x, const Shape& y, Visit visit) {
  std::int64_t out = 0;
  for (std::int64_t n = 0; n < y[0]; ++n) {
    for (std::int64_t p = 0; p < y[1]; ++p) {
      for (std::int64_t q = 0; q < y[2]; ++q, out += y[3]) visit(out, n * x.row_elements(), window_at(spec, x, p, q));
    }
  }
}

}  // namespace

void max_pool_forward(Context&, const Pool2dSpec& spec, const Tensor& x, Tensor& y, Tensor& index) {
  const std::int64_t channels = x.shape()[3], width = x.shape()[2];
  const float* from = x.f32().data();
  for_windows(spec, x.shape(), y.shape(), [&](std::int64_t out, std::int64_t record, const Window& k) {
    float* best = y.f32().data() + out;
    std::int32_t* place = index.as<std::int32_t>().data() + out;
    const auto start = static_cast<std::int32_t>(k.h_begin * width + k.w_begin);
    for (std::int64_t c = 0; c < channels; ++c) {
      best[c] = from[record + start * channels + c];
      place[c] = start;
    }
    for (std::int64_t h = k.h_begin; h < k.h_end; ++h) {
      for (std::int64_t w = k.w_begin; w < k.w_end; ++w) {
        const std::int64_t at = h * width + w;
        for (std::int64_t c = 0; c < channels; ++c) {
          const float v = from[record + at * channels + c];
          const bool wins = v > best[c] || (v != v && best[c] == best[c]);  // a NaN beats every number, never another NaN
          best[c] = wins ? v : best[c];
          place[c] = wins ? static_cast<std::int32_t>(at) : place[c];
        }
      }
    }
  });
}

void max_pool_backward(Context&, const Pool2dSpec& spec, const Tensor& index, const Tensor& grad_y, Tensor& grad_x) {
  const std::int64_t channels = grad_x.shape()[3];
  std::ranges::fill(grad_x.f32(), 0.0f);
  for_windows(spec, grad_x.shape(), grad_y.shape(), [&](std::int64_t out, std::int64_t record, const Window&) {
    const float* g = grad_y.f32().data() + out;
    const std::int32_t* place = index.as<std::int32_t>().data() + out;
    for (std::int64_t c = 0; c < channels; ++c) grad_x.f32().data()[record + place[c] * channels + c] += g[c];
  });
}

void avg_pool_forward(Context&, const Pool2dSpec& spec, const Tensor& x, Tensor& y) {
  const std::int64_t channels = x.shape()[3], width = x.shape()[2];
  const auto area = static_cast<float>(spec.kernel_h * spec.kernel_w);
  const float* from = x.f32().data();
  for_windows(spec, x.shape(), y.shape(), [&](std::int64_t out, std::int64_t record, const Window& k) {
    float* sum = y.f32().data() + out;
    std::fill_n(sum, channels, 0.0f);
    for (std::int64_t h = k.h_begin; h < k.h_end; ++h) {
      for (std::int64_t w = k.w_begin; w < k.w_end; ++w) {
        const float* pixel = from + record + (h * width + w) * channels;
        for (std::int64_t c = 0; c < channels; ++c) sum[c] += pixel[c];
      }
    }
    for (std::int64_t c = 0; c < channels; ++c) sum[c] /= area;
  });
}

void avg_pool_backward(Context&, const Pool2dSpec& spec, const Tensor& grad_y, Tensor& grad_x) {
  const std::int64_t channels = grad_x.shape()[3], width = grad_x.shape()[2];
  const auto area = static_cast<float>(spec.kernel_h * spec.kernel_w);
  std::ranges::fill(grad_x.f32(), 0.0f);
  for_windows(spec, grad_x.shape(), grad_y.shape(), [&](std::int64_t out, std::int64_t record, const Window& k) {
    const float* g = grad_y.f32().data() + out;
    for (std::int64_t h = k.h_begin; h < k.h_end; ++h) {
      for (std::int64_t w = k.w_begin; w < k.w_end; ++w) {
        float* pixel = grad_x.f32().data() + record + (h * width + w) * channels;
        for (std::int64_t c = 0; c < channels; ++c) pixel[c] += g[c] / area;
      }
    }
  });
}

void global_avg_pool_forward(Context&, const Tensor& x, Tensor& y) {
  const std::int64_t channels = x.shape()[3], positions = x.shape()[1] * x.shape()[2];
  std::vector<double> sums(static_cast<std::size_t>(channels)), block;
  for (std::int64_t n = 0; n < x.shape()[0]; ++n) {
    const float* from = x.f32().data() + n * positions * channels;
    float* to = y.f32().data() + n * channels;
    channel_sums(positions, channels, sums.data(), block, [&](std::int64_t i, std::int64_t) { return double{from[i]}; });
    for (std::int64_t c = 0; c < channels; ++c) {
      to[c] = static_cast<float>(sums[static_cast<std::size_t>(c)] / static_cast<double>(positions));
    }
  }
}

void global_avg_pool_backward(Context&, const Tensor& grad_y, Tensor& grad_x) {
  const std::int64_t channels = grad_x.shape()[3], positions = grad_x.shape()[1] * grad_x.shape()[2];
  const auto count = static_cast<float>(positions);
  for (std::int64_t n = 0; n < grad_x.shape()[0]; ++n) {
    const float* g = grad_y.f32().data() + n * channels;
    float* to = grad_x.f32().data() + n * positions * channels;
    for (std::int64_t p = 0; p < positions; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) to[p * channels + c] = g[c] / count;
    }
  }
}

}  // namespace sutura::reference
