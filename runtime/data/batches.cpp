#include "runtime/data/batches.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "core/error.h"

namespace sutura {
namespace {

/// Copies image `from` to the zeroed `to`, moved by (dy, dx).
void copy_moved(const float* from, float* to, const Shape& shape, std::int64_t dy, std::int64_t dx) {
  const std::int64_t height = shape[1], width = shape[2], channels = shape[3];
  const std::int64_t kept = width - std::abs(dx);
  if (kept <= 0) return;
  const std::int64_t from_x = std::max<std::int64_t>(0, -dx), to_x = std::max<std::int64_t>(0, dx);
  for (std::int64_t y = std::max<std::int64_t>(0, dy); y < std::min(height, height + dy); ++y)
    std::memcpy(to + (y * width + to_x) * channels, from + ((y - dy) * width + from_x) * channels,
                static_cast<std::size_t>(kept * channels) * sizeof(float));
}

}  // namespace

std::vector<std::int64_t> epoch_order(std::int64_t n, std::uint64_t seed, std::string_view site, std::int64_t epoch) {
  return permutation(n, {seed, "epoch:" + std::string(site), static_cast<std::uint64_t>(epoch)});
}

Tensor shift_images(const Tensor& batch, std::int64_t max_shift, PhiloxStream stream) {
  require(batch.shape().rank() == 4, Errc::kShapeMismatch,
          "images to shift are [N, H, W, C], got " + batch.shape().text());
  require(max_shift >= 0, Errc::kInvalidArgument, "a shift must not be negative");
  Tensor out = Tensor::zeros(batch.shape());  // [N, H, W, C]
  const std::int64_t stride = batch.shape().row_elements();
  const std::span<const float> from = batch.f32();
  const std::span<float> to = out.f32();
  const auto draw = [&] {
    return static_cast<std::int64_t>(stream.next_below(static_cast<std::uint64_t>(2 * max_shift + 1))) - max_shift;
  };
  for (std::int64_t i = 0; i < batch.shape()[0]; ++i) {
    const std::int64_t vertical = draw();
    const std::int64_t dx = draw();
    const std::int64_t dy = batch.shape()[1] == 1 ? 0 : vertical;
    copy_moved(from.data() + i * stride, to.data() + i * stride, batch.shape(), dy, dx);
  }
  return out;
}

}  // namespace sutura
