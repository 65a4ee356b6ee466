#include <algorithm>
#include <vector>

#include "kernels/cpu/reduce.h"
#include "kernels/ops/linear/linear_impl.h"
#include "kernels/ops/matmul_reference.h"

namespace sutura::reference {

void linear_forward(Context&, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const std::int64_t records = x.shape()[0], in = x.shape()[1], out = weight.shape()[0];
  std::vector<float> columns(static_cast<std::size_t>(in * out));  // [I, O]: outputs side by side, so that they vectorise
  transpose(weight.f32().data(), out, in, columns.data());
  matmul({x.f32().data(), in, 1}, columns.data(), y.f32().data(), records, out, in, Product::kOverwrite);
  if (!bias.defined()) return;
  const float* b = bias.f32().data();
  for (std::int64_t n = 0; n < records; ++n) {
    float* row = y.f32().data() + n * out;
    for (std::int64_t o = 0; o < out; ++o) row[o] += b[o];
  }
}

void linear_backward_data(Context&, const Tensor& grad_y, const Tensor& weight, Tensor& grad_x) {
  const std::int64_t records = grad_y.shape()[0], out = grad_y.shape()[1], in = weight.shape()[1];
  matmul({grad_y.f32().data(), out, 1}, weight.f32().data(), grad_x.f32().data(), records, in, out, Product::kOverwrite);
}

void linear_backward_weights(Context&, const Tensor& x, const Tensor& grad_y, Tensor& grad_weight, Tensor& grad_bias) {
  const std::int64_t records = x.shape()[0], in = x.shape()[1], out = grad_y.shape()[1];
  const float* xs = x.f32().data();
  const float* gs = grad_y.f32().data();
  // A strip of outputs at a time keeps the tree's levels in the cache; the strip's height does not change any sum.
  constexpr std::int64_t kStripElements = 4096;
  const std::int64_t strip = std::max<std::int64_t>(1, kStripElements / in);
  for (std::int64_t first = 0; first < out; first += strip) {
    const std::int64_t count = std::min(strip, out - first);
    PairwiseSum<float> sum(static_cast<std::size_t>(count * in));
    for (std::int64_t n = 0; n < records; ++n) {
      float* leaf = sum.leaf().data();
      for (std::int64_t o = 0; o < count; ++o) {
        const float g = gs[n * out + first + o];
        for (std::int64_t i = 0; i < in; ++i) leaf[o * in + i] = g * xs[n * in + i];
      }
      sum.push();
    }
    const auto total = sum.total();
    float* to = grad_weight.f32().data() + first * in;
    for (std::size_t i = 0; i < total.size(); ++i) to[i] += total[i];
  }
  if (!grad_bias.defined()) return;
  PairwiseSum<float> sum(static_cast<std::size_t>(out));
  for (std::int64_t n = 0; n < records; ++n) {
    std::copy_n(gs + n * out, out, sum.leaf().data());
    sum.push();
  }
  const auto total = sum.total();
  for (std::int64_t o = 0; o < out; ++o) grad_bias.f32()[static_cast<std::size_t>(o)] += total[static_cast<std::size_t>(o)];
}

}  // namespace sutura::reference
