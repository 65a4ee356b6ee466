// More work than a launch has blocks: kernels with a bounded grid stride over what remains, which small shapes never reach. Each
// shape here is just above the bound of one kernel; on a CPU it is a large shape and no more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/random/philox.h"
#include "kernels/ops/dropout/dropout.h"
#include "kernels/ops/layer_norm/layer_norm.h"
#include "kernels/ops/pool2d/pool2d.h"
#include "kernels/ops/relu/relu.h"
#include "operation.h"
#include "strides.h"

namespace sutura::testing {
namespace {

class Strides : public ::testing::TestWithParam<Variant> {
 protected:
  void SetUp() override {
    made_ = make_context(GetParam());
    if (!made_) GTEST_SKIP();
  }
  Context& ctx() { return *made_; }
  std::vector<double> values(const Tensor& t) { return to_doubles(ctx().host(Tensor::borrow(t))); }
  /// `few` drawn records, again and again, [records, ...row].
  Tensor repeated(const std::string& name, const Shape& few, std::int64_t records) {
    const std::vector<double> drawn = draw_values({name, few}, DType::kFloat32, 21);
    std::vector<double> all;
    all.reserve(static_cast<std::size_t>(records * few.row_elements()));
    for (std::int64_t n = 0; n < records; ++n) {
      const auto from = drawn.begin() + n % few[0] * few.row_elements();
      all.insert(all.end(), from, from + few.row_elements());
    }
    return ctx().here(to_tensor(all, few.with_batch(records), DType::kFloat32));
  }
  /// Every record must be what it is in a batch of `few`: within 1e-6, as the order of its sums may follow the shape.
  void expect_repeats(const Tensor& many, const Tensor& few) {
    const std::vector<double> got = values(many), once = values(few);
    std::vector<double> want(got.size());
    for (std::size_t i = 0; i < want.size(); ++i) want[i] = once[i % once.size()];
    EXPECT_LE(worst_error(got, {want, {}}), 1e-6);
  }

 private:
  std::optional<Context> made_;
};
INSTANTIATE_TEST_SUITE_P(Backends, Strides, ::testing::ValuesIn(f32_variants()), [](const auto& i) { return text(i.param); });

// Blocks of eight warps, a row each; blocks of one row each.
TEST_P(Strides, MoreSetsThanANormHasBlocks) {
  using Case = std::pair<std::int64_t, std::int64_t>;
  for (const auto& [records, channels] :
       {Case{kStrideSets * kStrideBlocks + 52, 3}, Case{kStrideBlocks + 5, kStrideWarpValues + 1}}) {
    SCOPED_TRACE(channels);
    const Shape few{7, channels};
    const Tensor gamma = repeated("gamma", {1, channels}, 1), scale = Tensor::part(gamma, 0, {channels});
    const auto run = [&](const Tensor& x, const Tensor& g) {
      const std::int64_t rows = x.shape()[0];
      Tensor y = ctx().tensor(x.shape()), grad_x = ctx().tensor(x.shape()), mean = ctx().tensor({rows}),
             rstd = ctx().tensor({rows});
      Tensor a = ctx().zeros({channels}), b = ctx().zeros({channels});
      layer_norm_forward(ctx(), 1e-3f, x, scale, scale, y, mean, rstd);
      layer_norm_backward(ctx(), x, g, scale, mean, rstd, grad_x, a, b);
      return std::pair{std::move(y), std::move(grad_x)};
    };
    const auto [y, grad_x] = run(repeated("x", few, records), repeated("g", few, records));
    const auto [y_few, grad_x_few] = run(repeated("x", few, 7), repeated("g", few, 7));
    expect_repeats(y, y_few);
    expect_repeats(grad_x, grad_x_few);
  }
}

// Blocks of at most eight pixels with 32 threads across their channels (a record has 16, and 25 pooled); blocks of a record each.
TEST_P(Strides, MorePixelsThanAPoolHasBlocks) {
  const Shape few{3, 4, 4, 33};
  const Pool2dSpec spec{2, 2, 1, 1, 1, 1};
  const auto run = [&](const Tensor& x, const Tensor& g, const Tensor& g_global) {
    std::vector<Tensor> out;
    const Shape pooled = spec.output_shape(x.shape());
    for (const Shape& s : {pooled, pooled, x.shape(), x.shape(), x.shape(), g_global.shape()}) out.push_back(ctx().tensor(s));
    Tensor index = ctx().tensor(pooled, DType::kInt32);
    max_pool_forward(ctx(), spec, x, out[0], index);
    avg_pool_forward(ctx(), spec, x, out[1]);
    max_pool_backward(ctx(), spec, index, g, out[2]);
    avg_pool_backward(ctx(), spec, g, out[3]);
    global_avg_pool_backward(ctx(), g_global, out[4]);
    global_avg_pool_forward(ctx(), x, out[5]);
    return out;
  };
  constexpr std::int64_t kMany = kStrideBlocks + 45;  // a multiple of `few`
  static_assert(kMany % 3 == 0 && kMany * 16 > kStrideBlocks * kStrideThreads / 32);
  const auto grads = [&](std::int64_t records) { return repeated("g", {3, 5, 5, 33}, records); };
  const auto global = [&](std::int64_t records) { return repeated("global", {3, 33}, records); };
  const std::vector<Tensor> many = run(repeated("x", few, kMany), grads(kMany), global(kMany));
  const std::vector<Tensor> once = run(repeated("x", few, 3), grads(3), global(3));
  for (std::size_t i = 0; i < many.size(); ++i) {
    SCOPED_TRACE(i);
    expect_repeats(many[i], once[i]);
  }
}

// A thread takes four values where the addresses are aligned, one where they are not; a mask's words likewise.
TEST_P(Strides, MoreElementsThanAMapHasThreads) {
  constexpr std::int64_t kThreads = kStrideBlocks * kStrideThreads, kAligned = kThreads * 4 + 1003, kUnaligned = kThreads + 1003;
  PhiloxStream random(22, "x");
  std::vector<float> xs(static_cast<std::size_t>(kAligned));
  for (float& x : xs) x = random.next_float() - 0.5f;
  const Tensor x = ctx().here(Tensor::from({kAligned}, xs));
  Tensor y = ctx().tensor({kAligned}), mask = ctx().tensor({kAligned}, DType::kUint8);
  const auto expect = [&](const Tensor& got, std::size_t first, auto value) {
    const Tensor host = ctx().host(ctx().clone(got));
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < host.f32().size(); ++i) wrong += host.f32()[i] == value(first + i) ? 0 : 1;
    EXPECT_EQ(wrong, 0u);
  };
  const auto rectified = [&](std::size_t i) { return std::max(xs[i], 0.0f); };
  relu_forward(ctx(), x, y);
  expect(y, 0, rectified);
  Tensor part = Tensor::part(y, 1, {kUnaligned});
  ctx().fill_zero(y);
  relu_forward(ctx(), Tensor::part(x, 1, {kUnaligned}), part);
  expect(part, 1, rectified);
  dropout_forward(ctx(), 0.5f, DropoutKey{23, "drop", 1}, x, y, mask);
  PhiloxStream words(23, "drop", 1);
  expect(y, 0, [&](std::size_t i) { return words.next_float() < 0.5f ? 0.0f : 2.0f * xs[i]; });
}

}  // namespace
}  // namespace sutura::testing
