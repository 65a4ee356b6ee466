#include <cstring>

#include "kernels/ops/concat/concat_impl.h"

namespace sutura::reference {

namespace {

/// Calls copy(part, its row, the joined row's stretch, bytes) for every row and part, left to right.
template <class Parts, class Copy>
void for_stretches(const Parts& parts, std::int64_t rows, Copy copy) {
  std::size_t joined = 0;
  for (std::int64_t row = 0; row < rows; ++row) {
    for (auto* part : parts) {
      const Shape& shape = part->shape();
      const auto bytes = static_cast<std::size_t>(shape[shape.rank() - 1]) * size_bytes(part->dtype());
      if (bytes != 0) copy(*part, static_cast<std::size_t>(row) * bytes, joined, bytes);
      joined += bytes;
    }
  }
}

}  // namespace

void concat_forward(Context&, const std::vector<const Tensor*>& xs, Tensor& y) {
  for_stretches(xs, y.elements() / y.shape()[y.shape().rank() - 1],
                [&](const Tensor& part, std::size_t from, std::size_t to, std::size_t bytes) {
                  std::memcpy(y.bytes().data() + to, part.bytes().data() + from, bytes);
                });
}

void concat_backward(Context&, const Tensor& grad_y, const std::vector<Tensor*>& grad_xs) {
  for_stretches(grad_xs, grad_y.elements() / grad_y.shape()[grad_y.shape().rank() - 1],
                [&](Tensor& part, std::size_t to, std::size_t from, std::size_t bytes) {
                  std::memcpy(part.bytes().data() + to, grad_y.bytes().data() + from, bytes);
                });
}

}  // namespace sutura::reference
