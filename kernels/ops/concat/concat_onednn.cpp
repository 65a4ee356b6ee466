#include <cstring>

#include "kernels/cpu/row_loops.h"
#include "kernels/ops/concat/concat_impl.h"

namespace sutura::onednn {
namespace {

std::size_t row_bytes(const Tensor& t) {
  return static_cast<std::size_t>(t.shape()[t.shape().rank() - 1]) * size_bytes(t.dtype());
}

}  // namespace

void concat_forward(Context& ctx, const std::vector<const Tensor*>& xs, Tensor& y) {
  const std::size_t joined = row_bytes(y);
  const std::int64_t width = y.shape()[y.shape().rank() - 1];
  parallel_for(ctx.engine(), y.elements() / width, width, [&](std::int64_t row, int) {
    auto* to = static_cast<std::byte*>(y.data()) + static_cast<std::size_t>(row) * joined;
    for (const Tensor* x : xs) {
      const std::size_t bytes = row_bytes(*x);
      if (bytes == 0) continue;
      std::memcpy(to, static_cast<const std::byte*>(x->data()) + static_cast<std::size_t>(row) * bytes, bytes);
      to += bytes;
    }
  });
}

void concat_backward(Context& ctx, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs) {
  const std::size_t joined = row_bytes(grad_y);
  const std::int64_t width = grad_y.shape()[grad_y.shape().rank() - 1];
  parallel_for(ctx.engine(), grad_y.elements() / width, width, [&](std::int64_t row, int) {
    const auto* from = static_cast<const std::byte*>(grad_y.data()) + static_cast<std::size_t>(row) * joined;
    for (Tensor* x : grad_xs) {
      const std::size_t bytes = row_bytes(*x);
      if (bytes == 0) continue;
      std::memcpy(static_cast<std::byte*>(x->data()) + static_cast<std::size_t>(row) * bytes, from, bytes);
      from += bytes;
    }
  });
}

}  // namespace sutura::onednn
